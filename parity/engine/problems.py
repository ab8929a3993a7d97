"""What fails a comparison although no tensor differs: gaps, and what only training or a convention shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from converter.names import count
from parity.engine.conventions import Convention
from parity.engine.findings import Findings
from parity.verdicts.report import Coverage

RESIZE = "align_corners"
"""How logits are resized, as a gap that may be accepted."""
GAPS = {
    "left": ("call", "calls", "that only the reference makes"),
    "added": ("call", "calls", "that only the port makes"),
    "uncovered": ("layer or parameter", "layers or parameters", "with no counterpart"),
    "ambiguous": ("layer", "layers", "with several counterparts of equal weights"),
    "dead": (
        "parameter that influences no output, so that a mistake in it",
        "parameters that influence no output, so that a mistake in them",
        "is invisible",
    ),
}
"""What may stay uncompared: one, several, and what is the matter with them."""


def list_problems(
    coverage: Coverage, found: Findings, dead: Sequence[str], weights: Mapping[str, Any]
) -> Iterator[str]:
    """Gaps that nobody accepted, and weights that differ."""
    if weights.get("different"):
        different = weights["different"]
        more = f", … {len(different) - 3} more" if len(different) > 3 else ""
        differ = count(len(different), "weight", " differs", " differ")
        yield f"{differ} from the source's after conversion: {', '.join(different[:3])}{more}"
    if not found.layers:
        yield "nothing was compared"
    yield from open_gaps(
        {
            "left": tuple(found.leftover.values()),
            "added": tuple(found.unmatched.values()),
            "uncovered": coverage.uncovered,
            "ambiguous": coverage.ambiguous,
            "dead": dead,
        },
        coverage.accepted,
    )


def open_gaps(gaps: Mapping[str, Sequence[str]], accepted: Sequence[str]) -> Iterator[str]:
    """A sentence for each kind of `GAPS` of which `accepted`, globs, does not name all."""
    for kind, names in gaps.items():
        remaining = [n for n in names if not any(fnmatch(n.partition(" #")[0], glob) for glob in accepted)]
        if remaining:
            one, several, what = GAPS[kind]
            more = f" and {len(remaining) - 3} more" if len(remaining) > 3 else ""
            noun = one if len(remaining) == 1 else several
            yield f"{len(remaining)} {noun} {what}: {', '.join(remaining[:3])}{more}; accept by name with --accept"


def train_apart(untied: Sequence[str], accept: Sequence[str]) -> Iterator[str]:
    """Tensors that are one on one side and two on the other."""
    for names in untied:
        if not any(fnmatch(name, glob) for glob in accept for name in names.split(" and ")[:2]):
            yield f"{names}: equal now, they train apart"


def resized_otherwise(
    convention: Convention, known: bool | None, findings: Findings, accept: Sequence[str]
) -> Iterator[str]:
    """Of outputs that differ, it cannot be told how they were resized."""
    found = convention.align_corners
    if known is None or found in (None, known) or convention.resized != "port":
        return
    if any(not layer.path for layer in findings.failing):
        return
    if not any(fnmatch(RESIZE, glob) for glob in accept):
        yield (
            f"the port resizes its logits to the images with align_corners {str(found).lower()}, the reference's "
            f"evaluation with {str(known).lower()}: change it in the port, or --accept {RESIZE}"
        )
