"""`python -m seg`: the command `ccnet-seg`."""

from __future__ import annotations

from cli import seg_main

if __name__ == "__main__":
    seg_main()
