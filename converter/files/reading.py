"""What the user says of how a checkpoint is read."""

from __future__ import annotations

from dataclasses import dataclass

from converter.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`entry` is the set of weights to take, as a dotted path; `ignore` are globs of keys to leave out.

    `without_auxiliary` leaves the auxiliary head out, whatever the file has of it.
    """

    entry: str | None = None
    ignore: tuple[str, ...] = ()
    without_auxiliary: bool = False


class UnfitReadingError(InputError):
    """A file has nothing of what `Reading` names."""
