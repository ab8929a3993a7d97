"""Checkpoints in several files, as an index beside them lists: `{"weight_map": {key: file}}`.

Source of the format: huggingface/transformers utils/hub.py (`get_checkpoint_shard_files`); PaddleNLP writes it too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.documents import read_document, record
from converter.files.unpickle import one_line

INDEX = ".index.json"
SCHEMA = record(
    {"weight_map": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}}, more=True
)
SHARD = re.compile(r"[-_.](\d{3,6})-of-(\d{3,6})(?=\.[A-Za-z]+$)")


def read_shards(path: Path, read: Callable[[Path], Any]) -> dict[str, Any]:
    """The tensors that the index at `path` lists, each from its file by `read`, which lies beside it.

    Raises InputError if the index is damaged, a file is missing, or a key in none or not in its own.
    """
    files: dict[str, list[str]] = {}
    for key, name in read_document(path, SCHEMA, "index of shards")["weight_map"].items():
        if name != Path(name).name or name.endswith(INDEX):
            raise InputError(f"{path}: {one_line(key)} is in no file beside the index; download the whole folder again")
        files.setdefault(name, []).append(key)
    tensors: dict[str, Any] = {}
    for name, keys in files.items():
        shard = path.with_name(name)
        if not shard.exists():
            raise InputError(f"{path}: the shard {one_line(name)} is missing; download it too, to the same folder")
        held = read(shard)
        missing = [key for key in keys if not isinstance(held, dict) or not isinstance(held.get(key), np.ndarray)]
        if missing:
            raise InputError(
                f"{shard}: has no tensor {one_line(missing[0])}, which {path.name} says; download it again"
            )
        tensors |= {key: held[key] for key in keys}
    return tensors


def name_shard(path: Path) -> str | None:
    """What a file is that is one shard of several; None of any other."""
    found = SHARD.search(path.name)
    if found is None or int(found[2]) < 2:
        return None
    whole = path.name[: found.start()]
    beside = [other.name for other in path.parent.glob("*" + INDEX) if other.name.startswith(whole)]
    where = f"give {beside[0]}" if beside else f"give the {INDEX} that belongs to it"
    return f"one shard of {int(found[2])}; {where}"
