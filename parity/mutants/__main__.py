"""`python -m parity.mutants docs/mutants.md`: run the catalogue and write its tables."""

from __future__ import annotations

import sys
from pathlib import Path

from parity.mutants.run import DEFAULT_DEPTH, run_catalogue
from parity.mutants.tables import print_outcomes, render_markdown
from twins.processor import configure_processor


def main(path: Path) -> int:
    """Run everything, write `path`; 0 if every outcome is as it must be, else 1."""
    outcomes = run_catalogue(progress=lambda name: print(name, file=sys.stderr))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_markdown(outcomes, depth=DEFAULT_DEPTH), encoding="utf-8")
    print_outcomes(outcomes)
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    configure_processor()
    sys.exit(main(Path(sys.argv[1])))
