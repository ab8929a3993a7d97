"""What a checkpoint file is and holds, without converting it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converter.detect import Detection, detect
from converter.errors import InputError
from converter.files import Checkpoint, Reading, file_digest, read_checkpoint
from converter.manifest import manifest_path, read_manifest
from converter.origin import (
    Origin,
    canonical_form,
    canonical_tensors,
    describe_network,
    from_port,
    has_canonical_names,
    with_torch_leaves,
)
from converter.target import CANONICAL
from families import get_family

Array = np.ndarray[Any, Any]
NAME_HASH = re.compile(r"-([0-9a-f]{8})\.pth$")
"""The first digits of the file's own SHA-256 that open-mmlab's releases end with."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything `ccnet-convert --inspect` tells; its fields are the keys of its JSON.

    `family` is None, and `reason` says why, if it cannot be told; then so are `keys` ("canonical" or the
    family's name), `architecture` and what else follows from them. `problems` are what a conversion would
    refuse, by kind. `parameters` counts elements that are trained, `buffers` the others. `suspicious` are
    tensors by what is odd about them. `name_hash` is the hash in the file's name, `name_hash_matches`
    whether the file has it. `auxiliary` tells whether the network has its auxiliary head, `sets` are all state dicts of
    the file with the number of their tensors, `notes` what a conversion would tell.
    """

    file: str
    format: str
    bytes: int
    sha256: str
    name_hash: str | None
    name_hash_matches: bool | None
    family: str | None
    reason: str
    keys: str | None = None
    depth: int | None = None
    num_classes: int | None = None
    recurrence: int | None = None
    align_corners: bool | None = None
    architecture: Mapping[str, Any] | None = None
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    tensors: int
    parameters: int
    buffers: int
    wrappers: list[str]
    skipped: list[str]
    dtypes: Mapping[str, Mapping[str, int]]
    suspicious: Mapping[str, list[str]]
    negative_scales: int | None = None
    published: list[dict[str, Any]] = field(default_factory=list)
    auxiliary: bool | None = None
    sets: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.name_hash_matches is not False

    def to_json(self) -> dict[str, Any]:
        """The contract of `ccnet-convert --inspect --json`."""
        return asdict(self)


def inspect_file(path: Path, *, family: str | None = None, reading: Reading | None = None) -> Inspection:
    """Inspect the file at `path`, read as `reading` says.

    Raises InputError if it cannot be read; an unknown family is no error.
    """
    checkpoint = from_port(read_checkpoint(path, reading))
    if not has_canonical_names(checkpoint):
        checkpoint = with_torch_leaves(checkpoint)
    digest = file_digest(path)
    found = NAME_HASH.search(path.name)
    name_hash = found and found[1]
    detection, reason, facts = _identify(checkpoint, digest, family)
    buffers = sum(array.size for name, array in checkpoint.tensors.items() if _is_buffer(name))
    return Inspection(
        file=path.name,
        format=checkpoint.format,
        bytes=path.stat().st_size,
        sha256=digest,
        name_hash=name_hash,
        name_hash_matches=digest.startswith(name_hash) if name_hash else None,
        reason=reason,
        tensors=len(checkpoint.tensors),
        parameters=sum(array.size for array in checkpoint.tensors.values()) - buffers,
        buffers=buffers,
        wrappers=list(checkpoint.wrappers),
        skipped=list(checkpoint.skipped),
        dtypes=_count_dtypes(checkpoint),
        suspicious=find_suspicious(checkpoint.tensors),
        sets=dict(checkpoint.sets),
        notes=_list_notes(checkpoint, detection),
        **(_describe(checkpoint, detection) if detection else {"family": None}),
        **facts,
    )


def find_suspicious(tensors: Mapping[str, Array]) -> dict[str, list[str]]:
    """What is odd -> the tensors of which it is true, such as NaN values or a variance that is not positive."""
    found: dict[str, list[str]] = {}
    for name, array in tensors.items():
        for oddity in _oddities(name, array):
            found.setdefault(oddity, []).append(name)
    return found


def _oddities(name: str, array: Array) -> Iterator[str]:
    if array.dtype.kind != "f" or not array.size:
        return
    finite = np.isfinite(array)
    if not finite.all():
        if np.isnan(array).any():
            yield "NaN"
        if np.isinf(array).any():
            yield "infinite"
        return
    low, high = array.min(), array.max()
    if low == high == 0:
        yield "all zero"
    elif low == high and array.size > 1:
        yield "constant"
    if name.endswith(("running_var", "_variance")) and low <= 0:
        yield "variance not positive"


def _identify(checkpoint: Checkpoint, digest: str, family: str | None) -> tuple[Detection | None, str, dict[str, Any]]:
    """The family's plan, why, and what only a manifest knows."""
    facts: dict[str, Any] = {}
    options: dict[str, Any] = {"without_auxiliary": checkpoint.reading.without_auxiliary}
    try:
        if not has_canonical_names(checkpoint):
            detection = detect(checkpoint.tensors, path="", family=family, collisions=checkpoint.collisions, **options)
            return detection, detection.reason, facts
        beside = manifest_path(checkpoint.path)
        manifest = read_manifest(beside) if beside.exists() else None
        if manifest is not None and (manifest.target or {}).get("sha256") == digest:
            family, facts = manifest.family, {"recurrence": manifest.recurrence}
        detection = detect(canonical_tensors(checkpoint), path="", family=family, form=canonical_form, **options)
        return detection, "its manifest says so" if facts else detection.reason, facts
    except InputError as error:
        return None, str(error).removeprefix(": "), facts


def _list_notes(checkpoint: Checkpoint, detection: Detection | None) -> list[str]:
    if detection is None:
        return list(checkpoint.notes)
    origin = Origin(checkpoint=checkpoint, detection=detection, converted=has_canonical_names(checkpoint))
    return describe_network(origin)


def _describe(checkpoint: Checkpoint, detection: Detection) -> dict[str, Any]:
    plan = detection.plan
    family, name = get_family(plan.family.name), checkpoint.path.name
    heads = family.architecture.heads
    scales = [step.source for step, target in plan.transfers if target.endswith("norm.weight")]
    tensors = canonical_tensors(checkpoint) if has_canonical_names(checkpoint) else checkpoint.tensors
    return {
        "family": family.name,
        "keys": CANONICAL if has_canonical_names(checkpoint) else family.name,
        "depth": plan.depth,
        "num_classes": plan.num_classes if heads else None,
        "align_corners": family.preprocessing_for(name).align_corners if heads else None,
        "architecture": asdict(plan.family.architecture),
        "auxiliary": plan.auxiliary if heads else None,
        "problems": {kind: list(entries) for kind, entries in plan.problems().items()},
        "negative_scales": sum(int(np.signbit(tensors[scale]).sum()) for scale in scales),
        "published": [asdict(figure) for figure in family.published_for(name, depth=plan.depth)],
    }


def _count_dtypes(checkpoint: Checkpoint) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for array in checkpoint.tensors.values():
        count = counts.setdefault(str(array.dtype), {"tensors": 0, "elements": 0})
        count["tensors"] += 1
        count["elements"] += array.size
    return counts


def _is_buffer(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "_mean", "_variance", "num_batches_tracked"))
