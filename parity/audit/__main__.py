"""`python -m parity.audit docs/paddleseg-audit.md`: run the audit and write its page."""

from __future__ import annotations

import sys
from pathlib import Path

from parity.audit.page import render_page, run_audit
from twins.processor import configure_processor


def main(path: Path, depth: int = 101) -> None:
    """Write the page to `path`."""
    report, port = run_audit(depth)
    path.write_text(render_page(report, port, depth=depth), encoding="utf-8")


if __name__ == "__main__":
    configure_processor()
    main(Path(sys.argv[1]))
