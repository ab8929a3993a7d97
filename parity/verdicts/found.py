"""What the search for a cause ends with, whatever was searched: a layer or a gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from parity.verdicts.report import Cause

ROUNDING = 1e-15
"""What a proved hypothesis leaves at least, in double precision."""
EXACTER = 100.0
"""Times as near: a hypothesis that repeats the port's numbers so much better than another is the right one."""


@dataclass(frozen=True)
class Found:
    """What is known of a difference: its cause, or how many hypotheses failed and what was measured.

    `untried` are those that there was no time for, one at a time.
    """

    cause: Cause | None = None
    tried: int = 0
    facts: tuple[str, ...] = ()
    untried: int = 0


class Named(Protocol):
    """A hypothesis: what it is called, what the port does, and what to write instead."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def fix(self) -> str: ...


Own = TypeVar("Own", bound=Named)


def keep_nearest(proved: Sequence[tuple[Own, float]]) -> list[tuple[Own, float]]:
    """Of hypotheses that repeat the port's numbers, with what each leaves, those that leave as little as the best."""
    best = max(min(left for _, left in proved), ROUNDING)
    return [(one, left) for one, left in proved if left <= EXACTER * best]


def name_cause(proved: Sequence[tuple[Named, float]], before: float, where: str) -> Cause:
    """The cause that `proved` hypotheses are; several are all named, as one in all of `where`."""
    names, texts, fixes = (
        list(dict.fromkeys(getattr(one, field) for one, _ in proved)) for field in ("name", "text", "fix")
    )
    unsure = f": these are one {where}" if len(texts) > 1 else ""
    return Cause(
        name=" or ".join(names),
        text=f"{', or '.join(texts)}{unsure}",
        fix=", or ".join(fixes),
        residual=max(left for _, left in proved),
        proved=True,
        before=before,
    )
