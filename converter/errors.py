"""Errors that a command reports in one line. `exit_code` is the process's."""

from __future__ import annotations


class ConverterError(Exception):
    """A conversion did not succeed."""

    exit_code = 1


class InputError(ConverterError):
    """The user's files or options do not allow the conversion."""

    exit_code = 2
