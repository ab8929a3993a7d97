"""Layer outputs on disk, and the comparison of two such dumps.

A dump is a folder with `index.json`, a list of probes (`path`, `call`, `output`, `input`, `mode`, `dtype`,
`shape`, and `entry`, the name in the archive), and `tensors.npz`, which `numpy.load` reads.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from converter.files.atomic import staged
from converter.files.documents import SIZES, Schema, read_document, record
from converter.files.npz import Archive
from converter.files.unpickle import one_line
from converter.names import count
from parity.errors import ParityInputError
from parity.reports.folder import try_folder
from parity.verdicts.comparison import compare, failed, to_array
from parity.verdicts.report import Coverage, Layer, Report
from twins.lazy import Tensor, torch

SIDES = ("paddle", "torch")
INDEX, TENSORS = "index.json", "tensors.npz"
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 1 << 31}
PROBE = record(
    {
        "path": TEXT,
        "call": COUNT,
        "output": COUNT,
        "input": TEXT,
        "mode": TEXT,
        "dtype": {"enum": ["float64", "float32"]},
        "shape": SIZES,
        "entry": TEXT,
    },
    optional=("mode", "shape"),
)
SCHEMA: Schema = {"type": "array", "items": PROBE}
Key = tuple[str, int, int, str, str]


class DumpWriter:
    """Writes both sides of a comparison to `folder/paddle` and `folder/torch` as it goes. A `Sink`."""

    def __init__(self, paths: dict[str, list[Path]]) -> None:
        self._paths = paths
        self._indices: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        self._archives = {
            side: zipfile.ZipFile(tensors, "w", zipfile.ZIP_STORED) for side, (tensors, _) in paths.items()
        }

    @staticmethod
    @contextmanager
    def open(folder: Path | None) -> Iterator[DumpWriter | None]:
        """A writer for `folder`, or None for None. Raises ParityInputError or InputError if it cannot be written."""
        if folder is None:
            yield None
            return
        with ExitStack() as stack:  # half a dump is none
            for side in SIDES:
                try_folder(folder / side)
            writer = DumpWriter(
                {side: stack.enter_context(staged(folder / side / TENSORS, folder / side / INDEX)) for side in SIDES}
            )
            stack.callback(writer._let_go)
            yield writer
            writer._finish()

    def __call__(self, layer: Layer, actual: Tensor, expected: Tensor) -> None:
        for side, tensor in zip(SIDES, (actual, expected), strict=True):
            index = self._indices[side]
            entry = f"{len(index):06d}"
            with self._archives[side].open(f"{entry}.npy", "w", force_zip64=True) as file:
                npy.write_array(file, to_array(tensor), allow_pickle=False)
            keys = ("path", "call", "output", "input", "mode", "dtype")
            probe = {key: getattr(layer, key) for key in keys}
            index.append({**probe, "shape": list(tensor.shape), "entry": entry})

    def _finish(self) -> None:
        for side, (_, index) in self._paths.items():
            self._archives[side].close()
            index.write_text(json.dumps(self._indices[side], indent=1) + "\n", encoding="utf-8")

    def _let_go(self) -> None:
        for archive in self._archives.values():
            with suppress(OSError, ValueError):  # a full disk, an entry that is still open
                archive.close()


class Dump:
    """A dump opened for reading. Raises ParityInputError if the folder is not one, InputError if a file is damaged."""

    def __init__(self, folder: Path) -> None:
        if not (folder / INDEX).exists():
            fault = f"it has no {INDEX}" if folder.is_dir() else "no such folder"
            raise ParityInputError(f"{folder}: neither a recording nor a dump of ccnet-parity ({fault})")
        index = read_document(folder / INDEX, SCHEMA, "index of a dump")
        self._archive = Archive(folder / TENSORS)
        self.probes: dict[Key, dict[str, Any]] = {_key(probe): probe for probe in index}
        missing = {probe["entry"] for probe in index} - set(self._archive.names)
        if missing or len(self.probes) < len(index):
            wrong = f"{TENSORS} lacks {one_line(min(missing))}" if missing else "a probe stands there twice"
            raise ParityInputError(f"{folder}: not a dump of ccnet-parity ({wrong})")

    def tensor(self, key: Key) -> Tensor:
        """The tensor of one probe. Raises InputError if it is damaged, ParityInputError if torch has no such dtype."""
        array = self._archive.read(self.probes[key]["entry"])
        try:
            return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        except TypeError:
            raise ParityInputError(f"{self._archive.path}: {_label(key)} is {array.dtype}, which torch lacks") from None


def compare_dumps(actual_folder: Path, expected_folder: Path) -> Report:
    """Compare two dumps, probe by probe; the expected one's float64 tensors are float32's truth.

    Probes that only one has are a problem of the report. Raises ParityInputError if either is not a dump.
    """
    actual, expected = Dump(actual_folder), Dump(expected_folder)
    layers = [_compare_probe(key, actual, expected) for key in expected.probes if key in actual.probes]
    missing = [_label(key) for key in expected.probes if key not in actual.probes]
    extra = [_label(key) for key in actual.probes if key not in expected.probes]
    problems = [
        f"{count(len(names), 'probe')} only in {folder}: {', '.join(names[:3])}"
        for names, folder in ((missing, expected_folder), (extra, actual_folder))
        if names
    ]
    if not layers:
        problems.append("nothing was compared")
    return Report(
        layers=tuple(layers),
        coverage=Coverage(
            paired=tuple(dict.fromkeys(layer.path for layer in layers)),
            unpaired_reference=tuple(missing),
            unpaired_port=tuple(extra),
            origin="dumps",
        ),
        problems=tuple(problems),
    )


def _compare_probe(key: Key, actual: Dump, expected: Dump) -> Layer:
    path, call, output, name, dtype = key
    exact = (path, call, output, name, "float64")
    truth = expected.tensor(exact) if dtype == "float32" and exact in expected.probes else None
    ours, theirs = actual.tensor(key), expected.tensor(key)
    if truth is not None and truth.shape != theirs.shape:
        comparison = failed(f"the float64 tensor's shape is {tuple(truth.shape)}")
    else:
        comparison = compare(ours, theirs, truth)
    return Layer(
        path=path,
        call=call,
        output=output,
        input=name,
        shape=tuple(theirs.shape),
        mode="free",
        dtype=dtype,
        comparison=comparison,
    )


def _key(probe: dict[str, Any]) -> Key:
    return probe["path"], probe["call"], probe["output"], probe["input"], probe["dtype"]


def _label(key: Key) -> str:
    return f"{key[0] or '(network)'} #{key[1]} ({key[4]}, {key[3]})"
