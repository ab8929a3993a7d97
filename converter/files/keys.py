"""From the keys of a state dict to the network's own: without strangers, and without what stands before them all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.known import count_known
from converter.files.reading import UnfitReadingError
from converter.files.strangers import STRANGERS
from converter.files.unpickle import one_line
from converter.names import summarize

Array = np.ndarray[Any, Any]

WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "_forward_module.", "student.", "online_model.")
"""What the wrappers of torch, and habit, put before every key of any network."""
WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What wrappers of a part put into its keys."""
SOME = "module."
"""A prefix that is taken off where only some keys have it."""
NEVER_SINGLE = 8
"""A prefix is common only to at least so many keys, unless it is a wrapper's."""

LONGEST, LONGEST_KEY = 256, 4096
"""Characters of a prefix, and of a key; a hostile file may have millions."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`tensors` by the network's own names, `own` by the file's; `prefix` is what was taken off.

    `collisions` are names that came out twice, `left_out` says which entries are none of the network's.
    """

    tensors: dict[str, Array]
    own: dict[str, Array]
    prefix: tuple[str, ...]
    collisions: tuple[str, ...]
    left_out: tuple[str, ...]


def clean_keys(path: Path, state: Mapping[Any, Any], ignore: tuple[str, ...] = ()) -> Keys:
    """The tensors of a state dict. Raises InputError for a key that is no name, and an `ignore` that fits none."""
    for key in state:
        _check_key(path, key)
    others = [f"{one_line(key)} ({_describe(item)})" for key, item in state.items() if not isinstance(item, np.ndarray)]
    own = {key: item for key, item in state.items() if isinstance(item, np.ndarray)}
    ignored = _match(own, ignore)
    for glob in ignore:
        if not _match(own, (glob,)):
            raise UnfitReadingError(f"{path}: --ignore {one_line(glob)} fits no key")
    kept = [key for key in own if key not in ignored]
    left_out = [*others, *([f"{summarize(ignored)} (--ignore)"] if ignored else [])]
    for reason, globs in STRANGERS.items():
        strangers = [key for key in _match(kept, globs) if not _is_known(key)]
        if strangers and len(strangers) < len(kept):
            kept = [key for key in kept if key not in set(strangers)]
            left_out.append(f"{summarize(strangers)} ({reason})")
    if not kept:
        raise UnfitReadingError(f"{path}: --ignore leaves nothing of it")
    prefix = find_prefix(kept) or _find_partial_prefix(kept)
    tensors: dict[str, Array] = {}
    collisions = []
    for key in kept:
        name = _shorten(key.removeprefix(prefix))
        if name in tensors:
            collisions.append(name)
        tensors[name] = own[key]
    some = {piece for key in kept for piece in (SOME, *WITHIN) if _has(key.removeprefix(prefix), piece)}
    return Keys(
        tensors=tensors,
        own=own,
        prefix=tuple(dict.fromkeys([*([prefix] if prefix else []), *sorted(some)])),
        collisions=tuple(collisions),
        left_out=tuple(left_out),
    )


def find_prefix(keys: list[str]) -> str:
    """What stands before every key and is no part of the network: a wrapper's, or what hides a CCNet's keys."""
    common = os.path.commonprefix(keys) if len(keys) > 1 else keys[0].rpartition(".")[0] + "."
    common = common[:LONGEST]
    prefix = ""
    while piece := next((piece for piece in WRAPPERS if common[len(prefix) :].startswith(piece)), None):
        longer = prefix + piece
        all_known = count_known(key.removeprefix(prefix) for key in keys) == len(keys)
        if all_known or _count(keys, prefix) > _count(keys, longer):
            break
        prefix = longer
    ends = [end for end in range(len(prefix) + 1, len(common) + 1) if common[end - 1] in "._/" or end == len(common)]
    best = max(ends, key=lambda end: _count(keys, common[:end]), default=len(prefix))
    if len(keys) >= NEVER_SINGLE and _count(keys, common[:best]) > _count(keys, prefix):
        return common[:best]
    return prefix


def _find_partial_prefix(keys: list[str]) -> str:
    """The prefix behind which most of a CCNet's keys are, although others, which are then unexpected, lack it."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(key.partition(".")[0], []).append(key)
    largest = max(groups.values(), key=len)
    prefix = find_prefix(largest)
    return prefix if 2 * _count(largest, prefix) > len(keys) > 2 * _count(keys, "") else ""


def _count(keys: list[str], prefix: str) -> int:
    return count_known(_shorten(key.removeprefix(prefix)) for key in keys)


def _shorten(name: str) -> str:
    for piece in WITHIN:
        name = name.replace(f".{piece}", ".").removeprefix(piece)
    return name.removeprefix(SOME)


def _has(key: str, piece: str) -> bool:
    return key.startswith(piece) or (piece in WITHIN and f".{piece}" in key)


def _match(keys: Iterable[str], globs: tuple[str, ...]) -> list[str]:
    """The keys that fit a glob, as a whole or from a dot on."""
    return [key for key in keys if any(fnmatchcase(key, glob) or fnmatchcase(key, f"*.{glob}") for glob in globs)]


def _is_known(key: str) -> bool:
    """Whether a CCNet has a tensor of this name, maybe in a wrapper."""
    names = [key[:LONGEST]]
    while piece := next((piece for piece in WRAPPERS if names[-1].startswith(piece)), None):
        names.append(names[-1].removeprefix(piece))
    return count_known(names) > 0


def _check_key(path: Path, key: Any) -> None:
    if not isinstance(key, str):
        raise InputError(f"{path}: a key is a {type(key).__name__}, not a string; save it with names that are text")
    if len(key) > LONGEST_KEY:
        raise InputError(f"{path}: key {one_line(key)} has {len(key)} characters; no network calls a tensor so")
    if not key.isprintable():
        raise InputError(f"{path}: key {one_line(key)} cannot be printed")


def _describe(item: Any) -> str:
    return getattr(item, "problem", f"a {type(item).__name__}, not a tensor")
