"""The sidecar of a converted checkpoint: what became of what, and what the way back needs."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from converter.files import Checkpoint
from converter.files.atomic import recover
from converter.files.documents import (
    BASE64,
    DTYPE,
    NUMBER_DTYPES,
    SHA256,
    SIZES,
    Schema,
    nullable,
    read_document,
    record,
)
from converter.operations import OPERATIONS
from converter.plan import AUXILIARY_LEFT_OUT, Plan, Step

Array = np.ndarray[Any, Any]
Record = dict[str, Any]

TEXT: Schema = {"type": "string"}
A_DTYPE = f"({'|'.join((*NUMBER_DTYPES, 'keep'))})"
TEXTS: Schema = {"type": "array", "items": TEXT}
FILE = record(
    {"name": TEXT, "bytes": {"type": "integer", "minimum": 0}, "sha256": SHA256}, optional=("name", "bytes", "sha256")
)
LARGEST_KEPT = 16 << 20
"""Characters of dropped tensors in a manifest, which must not be too large to be read; 1000 classes of ImageNet fit."""
TOO_LARGE = "; too large to be kept for the way back"
SIZE: Schema = SIZES["items"]
SMALL: Schema = {**SIZE, "maximum": 10_000}
TENSOR = record(
    {
        "source": TEXT,
        "target": TEXT,
        "operation": {"enum": list(OPERATIONS)},
        "shape": SIZES,
        "dtype": DTYPE,
        "source_dtype": DTYPE,
        "source_shape": SIZES,
        "rows": {**SIZES, "minItems": 2, "maxItems": 2},
    },
    optional=("source_dtype", "source_shape", "rows"),
)
DROPPED = record(
    {
        "source": TEXT,
        "reason": TEXT,
        "dtype": DTYPE,
        "shape": SIZES,
        "data": BASE64,
        "value": {"type": ["number", "boolean", "array"]},
    },
    optional=("shape", "data", "value"),
)
FOLDED = record(
    {
        "source": TEXT,
        "signs": BASE64,
        "negative": {"type": "integer", "minimum": 0},
        "inexact": record({"indices": BASE64, "values": BASE64}),
    },
    optional=("inexact",),
)
SCHEMA = record(
    {
        "family": nullable(TEXT),
        "num_classes": SIZE,
        "depth": SMALL,
        "recurrence": nullable(SMALL),
        "source": FILE,
        "target": nullable(FILE),
        "wrappers": TEXTS,
        "dtype": {"type": "string", "pattern": f"^{A_DTYPE}(, {A_DTYPE})*$"},
        "reversible": {"type": "boolean"},
        "tensors": {"type": "array", "items": TENSOR},
        "dropped": {"type": "array", "items": DROPPED},
        "folded": {"type": "array", "items": FOLDED},
        "versions": {"type": "object", "additionalProperties": TEXT},
        "align_corners": nullable({"type": "boolean"}),
        "skipped": TEXTS,
        "auxiliary": {"type": "boolean"},
        "scales": nullable({"enum": ["fold", "plain"]}),
        "sets": {"type": "object", "additionalProperties": {"type": "integer"}},
        "notes": TEXTS,
        "port": nullable(TEXT),
        "reference": nullable(TEXT),
    },
    optional=(
        "tensors",
        "dropped",
        "folded",
        "versions",
        "align_corners",
        "skipped",
        "auxiliary",
        "scales",
        "sets",
        "notes",
        "port",
        "reference",
    ),
)
"""What a manifest is. Fields that older versions did not write are optional."""


@dataclass(kw_only=True)
class Manifest:
    """Everything about one conversion; its fields are the keys of `out.manifest.json`.

    `recurrence` is the user's word, or None: no checkpoint contains it. `tensors` and `dropped` are in
    the target's order; `folded` holds, per folded tensor, its signs as base64 of packed bits and the
    elements that the fold's inverse does not give back. `reversible` tells whether the target's dtype
    holds every source value, so that `restore` is bit-exact. `align_corners` is of the resize of logits,
    by the source's file name or the user's word; None without heads. `skipped` names entries of the file
    that were not read. `auxiliary` tells whether the network has its auxiliary head, `scales` how those that could be
    folded were read ("fold" or "plain"), `sets` all state dicts of the file with the number of their tensors, and
    `notes` what else the user was told.

    Of a port of the user's, `port` names him that it was converted for, and `reference` his own reference, which is of
    no family (`family` None). A tensor that is a part of the source's has its `rows` there, [first, last + 1); one of
    another shape has the `source_shape`.
    """

    family: str | None
    num_classes: int
    depth: int
    recurrence: int | None
    source: Record
    target: Record | None
    wrappers: list[str]
    dtype: str
    reversible: bool
    tensors: list[Record] = field(default_factory=list)
    dropped: list[Record] = field(default_factory=list)
    folded: list[Record] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    align_corners: bool | None = None
    skipped: list[str] = field(default_factory=list)
    auxiliary: bool = True
    scales: str | None = None
    sets: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    port: str | None = None
    reference: str | None = None

    def drop(self, key: str, array: Array, reason: str) -> None:
        """Record a tensor that goes nowhere, with what the way back needs of it.

        Of an auxiliary head that was left out it is the shape alone, and of what a manifest has no room for.
        """
        entry: Record = {"source": key, "reason": reason, "dtype": str(array.dtype)}
        if array.size == 1 and reason != AUXILIARY_LEFT_OUT:
            self.dropped.append({**entry, "value": array.tolist()})
            return
        entry["shape"] = list(array.shape)
        kept = sum(len(one.get("data", "")) for one in self.dropped)
        if reason == AUXILIARY_LEFT_OUT or kept + array.nbytes * 4 / 3 > LARGEST_KEPT:
            self.reversible = False
            entry["reason"] += TOO_LARGE * (reason != AUXILIARY_LEFT_OUT)
        else:
            little = array.astype(array.dtype.newbyteorder("<"))
            entry["data"] = base64.b64encode(little.tobytes()).decode("ascii")
        self.dropped.append(entry)

    def add(self, step: Step, target_name: str, source: Array, target: Array) -> Array:
        """Record one transfer; returns `target`."""
        return self.add_tensor(step.source, target_name, step.operation, source, target)

    def add_copy(self, key: str, source: Array, target: Array) -> Array:
        """Record a tensor that keeps its key; returns `target`."""
        return self.add_tensor(key, key, "copy", source, target)

    def add_tensor(
        self, source_name: str, target_name: str, operation: str, source: Array, target: Array, **more: Any
    ) -> Array:
        """Record what became of a tensor, by which operation, and `more` of the fields above; returns `target`."""
        entry: Record = {
            "source": source_name,
            "target": target_name,
            "operation": operation,
            "shape": list(target.shape),
            "dtype": str(target.dtype),
            **more,
        }
        if source.dtype != target.dtype:
            entry["source_dtype"] = str(source.dtype)
        self.tensors.append(entry)
        if not np.can_cast(source.dtype, target.dtype):
            self.reversible = False
        record = OPERATIONS[operation].record(source, target)
        if record:
            self.folded.append({"source": source_name, **record})
        return target


def make_manifest(
    plan: Plan,
    checkpoint: Checkpoint,
    *,
    dtype: str,
    recurrence: int | None,
    align_corners: bool | None = None,
) -> Manifest:
    """A manifest of `plan` without its transfers, which are added as they are done."""
    manifest = Manifest(
        family=plan.family.name,
        num_classes=plan.num_classes if plan.family.architecture.heads else 0,
        depth=plan.depth,
        recurrence=recurrence,
        source={},
        target=None,
        wrappers=list(checkpoint.wrappers),
        dtype=dtype,
        reversible=True,
        versions=list_versions(),
        align_corners=align_corners,
        skipped=list(checkpoint.skipped),
        auxiliary=plan.auxiliary,
        scales=plan.family.scales,
        sets=dict(checkpoint.sets),
    )
    for step in plan.drops:
        manifest.drop(step.source, checkpoint.tensors[step.source], step.reason)
    return manifest


def describe_file(name: str, path: Path, digest: str) -> Record:
    """`{"name", "bytes", "sha256"}` of the file at `path`, called `name`."""
    return {"name": name, "bytes": path.stat().st_size, "sha256": digest}


def manifest_path(target: Path) -> Path:
    """`out.pdparams` -> `out.manifest.json`."""
    return target.parent / f"{target.stem}.manifest.json"  # also of a folder, such as ".", which has no name


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest` as JSON, one tensor a line."""
    lines = []
    for key, value in asdict(manifest).items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n  ".join(json.dumps(item) for item in value)
            lines.append(f'"{key}": [\n  {items}\n ]')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    path.write_text("{\n " + ",\n ".join(lines) + "\n}\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`. Raises InputError if it is missing or not one."""
    recover(path.parent)
    return Manifest(**read_document(path, SCHEMA, "manifest"))


def restore(tensors: Mapping[str, Array], manifest: Manifest) -> dict[str, Array]:
    """The way back: converted `tensors`, by their names in the target, to the source's keys and dtypes.

    Bit-exact if `manifest.reversible`. Dropped tensors come back with their recorded values, where there are any.
    Raises KeyError, ValueError or OverflowError where the manifest contradicts itself
    or the tensors.
    """
    records = {record["source"]: record for record in manifest.folded}
    restored: dict[str, Array] = {}
    for entry in manifest.tensors:
        dtype = np.dtype(entry.get("source_dtype", entry["dtype"]))
        operation = OPERATIONS[entry["operation"]]
        source = entry["source"]
        array = operation.invert(tensors[entry["target"]], records.get(source, {}), dtype)
        if "source_shape" in entry:
            array = array.reshape(entry["source_shape"])
        restored[source] = _joined(source, restored.get(source), array, entry.get("rows"))
    for entry in manifest.dropped:
        if entry["source"] in restored:
            raise ValueError(f"{entry['source']} comes from two places")
        if "data" in entry or "value" in entry:
            restored[entry["source"]] = _dropped_array(entry)
    return restored


def _joined(source: str, known: Array | None, part: Array, rows: list[int] | None) -> Array:
    """What is `known` of a tensor, with a `part` of it. A port's shared tensor comes under each of its names."""
    first, last = rows or (0, None)
    if known is None and first == 0:
        return part
    if known is not None and rows and first == len(known):
        return np.concatenate([known, part])
    again = known if known is None or rows is None else known[first:last]
    if known is None or again is None or (again.shape, again.tobytes()) != (part.shape, part.tobytes()):
        raise ValueError(f"{source} comes from two places")
    return known


def _dropped_array(entry: Record) -> Array:
    dtype = np.dtype(entry["dtype"])
    if "value" in entry:
        return np.asarray(entry["value"], dtype=dtype)
    data = np.frombuffer(base64.b64decode(entry["data"], validate=True), dtype.newbyteorder("<"))
    return data.reshape(entry["shape"]).astype(dtype)


def list_versions() -> dict[str, str]:
    """Of what a conversion rests on: Python and packages -> versions."""
    versions = {"python": platform.python_version()}
    for package in ("ccnet-parity", "numpy", "paddlepaddle", "paddlepaddle-gpu"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
