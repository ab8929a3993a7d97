"""A network that ran on another machine: its modules, weights, and what entered and left each of them.

    recording = Recording(Path("reference"))
    recording.modules, recording.inputs, recording.events("2×3×97×65", "float64")

It is a folder, described in docs/recordings.md: `recording.json`, and safetensors files with all arrays. Nothing of it
is run, and no framework is needed to read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from converter.errors import InputError
from converter.files import file_digest
from converter.files.documents import DTYPE, SHA256, SIZES, Schema, nullable, read_document, record
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.modules import ModuleInfo, Place

Array = np.ndarray[Any, Any]

VERSION = 1
INDEX = "recording.json"
TEXT: Schema = {"type": "string"}
IDENTIFIER: Schema = {"type": "string", "pattern": r"^[^\W\d]\w*(\.[^\W\d]\w*)*$"}
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 1 << 31}
FLAG: Schema = {"type": "boolean"}
ENTRY: Schema = {"type": "string", "pattern": "^t[0-9]+$"}
ENTRIES: Schema = {"type": "array", "items": ENTRY}
FILE: Schema = {"type": "string", "pattern": r"^tensors-[0-9]{5}\.safetensors$"}
NUMBER: Schema = {"type": "number"}
MODULE = record(
    {
        "path": TEXT,
        "kind": TEXT,
        "class": IDENTIFIER,
        "package": IDENTIFIER,
        "attributes": {"type": "object", "propertyNames": {"pattern": "^_?[A-Za-z][A-Za-z0-9_]*$"}},
        "magnitude": FLAG,
        "tensors": {
            "type": "object",
            "additionalProperties": record({"entry": ENTRY, "parameter": FLAG, "memory": COUNT}),
        },
    }
)
EVENT = record(
    {
        "kind": {"enum": ["input", "output"]},
        "path": TEXT,
        "call": COUNT,
        "names": {"type": "array", "items": TEXT},
        "tensors": ENTRIES,
        "truth": nullable(ENTRIES),
    }
)
VARIANTS = ("decimal", "float32")
"""Float64 passes with the scalars of the reference written otherwise, where that makes other numbers of them."""
PASS = record(
    {
        "input": TEXT,
        "dtype": {"enum": ["float64", "float32"]},
        "variant": {"enum": ["", *VARIANTS]},
        "events": {"type": "array", "items": EVENT},
    }
)
FLOOR = record({"input": TEXT, "dtype": TEXT, "path": TEXT, "call": COUNT, "output": COUNT, "floor": NUMBER})
SCHEMA = record(
    {
        "version": {"enum": [VERSION]},
        "side": {"enum": ["reference", "port"]},
        "keep": {"enum": ["tensors", "digests"]},
        "name": TEXT,
        "weights": record({"name": TEXT, "sha256": SHA256, "of": TEXT}),
        "loaded": FLAG,
        "environment": {"type": "object"},
        "modules": {"type": "array", "items": MODULE},
        "inputs": {
            "type": "array",
            "items": record(
                {"name": TEXT, "args": ENTRIES, "kwargs": {"type": "object", "additionalProperties": ENTRY}}
            ),
        },
        "outputs": COUNT,
        "uninfluential": {"type": "array", "items": TEXT},
        "dead": {"type": "array", "items": TEXT},
        "floors": {"type": "array", "items": FLOOR},
        "variants": {
            "type": "object",
            "propertyNames": {"enum": list(VARIANTS)},
            "additionalProperties": {"type": "array", "items": TEXT},
        },
        "passes": {"type": "array", "items": PASS},
        "tensors": {
            "type": "object",
            "additionalProperties": record({"file": FILE, "shape": SIZES, "dtype": DTYPE, "whole": FLAG}),
        },
        "files": {"type": "object", "additionalProperties": SHA256},
    }
)
"""What `recording.json` is."""


class RecordedModule:
    """Stands for a module: of a class of the same name and package, with its attributes that are plain values."""

    recorded_magnitude = False
    """Whether it scales by |weight| + epsilon."""


@dataclass(frozen=True)
class Sample:
    """What is kept of a tensor in a recording of digests: `values` at evenly spread places, of all in `shape`."""

    values: Array
    shape: tuple[int, ...]


class Recording:
    """A recording opened for reading.

    Raises ParityInputError if the folder is none, InputError if a file of it is damaged or was changed.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / INDEX).exists():
            fault = f"it has no {INDEX}" if folder.is_dir() else "no such folder"
            raise ParityInputError(f"{folder}: not a recording of ccnet-parity record ({fault})")
        self.folder = folder
        self.index = read_document(folder / INDEX, SCHEMA, "recording", largest=1 << 30)
        for name, digest in self.index["files"].items():
            if not (folder / name).is_file() or file_digest(folder / name) != digest:
                raise InputError(f"{folder / name}: is missing, or was changed since it was recorded")
        self._open: dict[str, Any] = {}
        self._weights: dict[int, Array] = {}

    @property
    def side(self) -> str:
        return str(self.index["side"])

    @property
    def name(self) -> str:
        return str(self.index["name"])

    @property
    def is_whole(self) -> bool:
        """Whether all tensors were kept."""
        return bool(self.index["keep"] == "tensors")

    @property
    def uninfluential(self) -> tuple[str, ...]:
        return tuple(self.index["uninfluential"])

    @property
    def dead(self) -> tuple[str, ...]:
        return tuple(self.index["dead"])

    @cached_property
    def modules(self) -> dict[str, ModuleInfo]:
        """As of a live network; their modules can tell their attributes, and not run."""
        return {entry["path"]: self._module(order, entry) for order, entry in enumerate(self.index["modules"])}

    @cached_property
    def inputs(self) -> dict[str, Arguments]:
        """By name, what the network was called with."""
        return {
            entry["name"]: Arguments(
                tuple(map(self.array, entry["args"])), {name: self.array(one) for name, one in entry["kwargs"].items()}
            )
            for entry in self.index["inputs"]
        }

    @cached_property
    def floors(self) -> dict[tuple[str, str, str, int, int], float]:
        """(input, dtype, path, call, output) -> how far the network carries rounding there, over the RMS."""
        return {
            (one["input"], one["dtype"], one["path"], one["call"], one["output"]): one["floor"]
            for one in self.index["floors"]
        }

    @property
    def variants(self) -> list[str]:
        """The other float64 passes that were recorded."""
        return list(self.index["variants"])

    def describe(self, variant: str) -> str:
        """The scalars of another pass, beside those that the network has."""
        return ", ".join(self.index["variants"][variant])

    def events(self, name: str, dtype: str, variant: str = "") -> list[Mapping[str, Any]]:
        """What entered and left each module, in order, on the input called `name`; empty if that was not recorded."""
        wanted = name, dtype, variant
        passes = [one for one in self.index["passes"] if (one["input"], one["dtype"], one["variant"]) == wanted]
        return [event for one in passes for event in one["events"]]

    def tensors(self, entries: list[str]) -> tuple[Any, ...]:
        """The arrays of an event, or samples of them."""
        return tuple(
            self.array(entry)
            if self.index["tensors"][entry]["whole"]
            else Sample(self.array(entry), tuple(self.index["tensors"][entry]["shape"]))
            for entry in entries
        )

    def array(self, entry: str) -> Array:
        """One array, read from its file. Raises InputError if it is not what the index says."""
        try:
            described = self.index["tensors"][entry]
            path = self.folder / described["file"]
            if described["file"] not in self._open:
                self._open[described["file"]] = safe_open(path, framework="np")
            array: Array = self._open[described["file"]].get_tensor(entry)
        except (KeyError, OSError, SafetensorError) as error:
            raise InputError(f"{self.folder}: has no readable {entry} ({error})") from None
        shape = tuple(described["shape"])
        if array.dtype != np.dtype(described["dtype"]) or (described["whole"] and array.shape != shape):
            raise InputError(f"{path}: {entry} is {array.dtype} {array.shape}, not {described['dtype']} {shape}")
        return array

    def _module(self, order: int, entry: Mapping[str, Any]) -> ModuleInfo:
        kind = type(entry["class"], (RecordedModule,), {"__module__": entry["package"]})
        module = kind()
        module.recorded_magnitude = entry["magnitude"]
        for name, value in entry["attributes"].items():
            setattr(module, name, tuple(value) if isinstance(value, list) else value)
        tensors = {name: self._weight(one["entry"], one["memory"]) for name, one in entry["tensors"].items()}
        for name, array in tensors.items():
            vars(module)[name] = array
        return ModuleInfo(
            path=entry["path"],
            module=module,
            kind=entry["kind"],
            order=order,
            tensors=tensors,
            places={name: (Place(module, name),) for name in tensors},
            parameters=frozenset(name for name, one in entry["tensors"].items() if one["parameter"]),
        )

    def _weight(self, entry: str, memory: int) -> Array:
        """What was one tensor in memory is one array."""
        if memory not in self._weights:
            self._weights[memory] = self.array(entry)
        return self._weights[memory]


def open_recording(folder: Path, side: str) -> Recording:
    """The recording of a "reference" or a "port". Raises ParityInputError if it is the other's."""
    recording = Recording(folder)
    if recording.side != side:
        raise ParityInputError(f"{folder}: the recording of a {recording.side}, not of a {side}")
    return recording
