"""What a parity command reports in one line."""

from __future__ import annotations


class ParityInputError(Exception):
    """The user's files or options do not allow a comparison."""

    exit_code = 2
