"""Healthy files of every kind that a command reads, and what reads each."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save

from converter import Checkpoint, read_checkpoint
from converter.files.npz import Archive
from converter.files.pdparams import write_pdparams
from converter.manifest import make_manifest, read_manifest, write_manifest
from converter.plan import make_plan
from paddleseg_port.configs import check_config
from parity.certify.certificate import read_certificate
from parity.pairing.match import read_mapping
from parity.reports.dump import compare_dumps
from recipe.pictures import open_picture
from tests.converter.checkpoints import make_tensors
from tests.converter.pickles import array, mapping, named, tensor, value, write_legacy, write_pickle, write_zip

REPOSITORY = Path(__file__).parents[2]
Reader = Callable[[Path], Any]


def read_picture(path: Path) -> None:
    """Decode it."""
    with open_picture(path) as picture:
        picture.convert("RGB").load()


def read_arrays(path: Path) -> None:
    """All of them."""
    with Archive(path) as archive:
        for name in archive.names:
            archive.read(name)


def read_dump(path: Path) -> None:
    """As the index of a dump, and with it the dump."""
    folder = path.parent / "dump"
    folder.mkdir(exist_ok=True)
    (folder / "index.json").write_bytes(path.read_bytes())
    np.savez(folder / "tensors.npz", **{"000000": np.arange(3.0)})
    compare_dumps(folder, folder)


def make_seeds(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """Name of a file -> its content, and its reader. Files are made in `folder`."""
    state = {"conv.weight": torch.ones(2, 3), "n": torch.tensor(3), "half": torch.ones(4).bfloat16()}
    arrays = {name: np.asarray(item.float()) for name, item in state.items()}
    made = {name: folder / name for name in ("zip.pth", "old.pth", "packed.pth", "a.pdparams", "a.npz", "m.json")}
    torch.save({"state_dict": state, "meta": {"epoch": 3}}, made["zip.pth"])
    torch.save(state, made["old.pth"], _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(made["zip.pth"]) as source, zipfile.ZipFile(made["packed.pth"], "w", 8) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    with made["a.pdparams"].open("wb") as file:
        write_pdparams(file, arrays.items())
    np.savez_compressed(made["a.npz"], **arrays)
    tensors = make_tensors()
    begun = make_manifest(
        make_plan(tensors, "official"),
        Checkpoint(path=folder, format="pth", tensors=tensors),
        dtype="float32",
        recurrence=2,
    )
    write_manifest(made["m.json"], begun)
    pickles = [
        mapping({"w": array(), "m": value([1, (2, {"a": None})])}),
        mapping({"w": tensor(), "f": named("a", "B")}),
    ]
    written = [write_zip(folder / "p.pth", pickles[1]), write_legacy(folder / "q.pth", pickles[1])]
    written.append(write_pickle(folder / "p.pdparams", pickles[0]))
    probe = {"path": "a", "call": 0, "output": 0, "input": "x", "dtype": "float64", "entry": "000000", "shape": [3]}
    gate = {"name": "a", "verdict": "passed", "measured": 1.0, "limit": None, "reason": "r", "seconds": 1}
    entry = {"name": "a", "sha256": None}
    certificate = {"verdict": "incomplete", "source": entry, "target": entry, "gates": [gate], "date": "today"}
    picture, photo = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (9, 7), (1, 2, 3)).save(picture, "PNG")
    Image.new("RGB", (9, 7), (1, 2, 3)).save(photo, "JPEG")
    checkpoints = {
        path.name: (path.read_bytes(), read_checkpoint) for path in (*made.values(), *written) if path.suffix[1] == "p"
    }
    return {
        **checkpoints,
        "a.safetensors": (save(arrays), read_checkpoint),
        "a.npz": (made["a.npz"].read_bytes(), read_arrays),
        "m.json": (json.dumps(asdict(begun)).encode()[:6000] + b"}", read_manifest),
        "w.json": (made["m.json"].read_bytes(), read_manifest),
        "c.json": (json.dumps(certificate).encode(), read_certificate),
        "pairs.json": (b'{"a": "b", "c.d": "e"}', read_mapping),
        "dump.json": (json.dumps([probe]).encode(), read_dump),
        "s.index.json": (b'{"weight_map": {"conv.weight": "zip.pth"}}', read_checkpoint),
        "a.yml": ((REPOSITORY / "configs" / "generated.yml").read_bytes(), check_config),
        "a.png": (picture.getvalue(), read_picture),
        "a.jpg": (photo.getvalue(), read_picture),
    }
