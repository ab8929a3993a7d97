"""What an evaluation reports in one line."""

from __future__ import annotations


class EvaluationError(Exception):
    """An evaluation cannot be completed."""

    exit_code = 1


class DatasetError(EvaluationError):
    """The user's data set or options do not allow an evaluation."""

    exit_code = 2
