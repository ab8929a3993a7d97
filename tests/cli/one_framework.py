"""`python one_framework.py MISSING… -- ARGUMENTS`: ccnet-parity where these packages cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


class Missing:
    """As if they were not installed."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main() -> None:
    words = sys.argv[1:]
    sys.path[0] = str(Path(__file__).parents[2])
    end = words.index("--")
    sys.meta_path.insert(0, Missing(words[:end]))
    sys.argv = ["ccnet-parity", *words[end + 1 :]]
    from ccnet_cli.start import parity

    parity()


if __name__ == "__main__":
    main()
