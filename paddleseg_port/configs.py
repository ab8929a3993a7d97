"""PaddleSeg's YAML, looked through before PaddleSeg reads it: plain values, of a size that can be written out.

PaddleSeg parses with a loader that makes Python objects of some tags, follows `_base_` wherever it leads, and writes
the config out with every alias in full, which a kilobyte can make gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from converter.errors import InputError
from converter.files.unpickle import one_line

BASE = "_base_"
BASES = 20
"""Files that a config may inherit from, over all generations."""
LARGEST = 1 << 20
"""Bytes of a config."""
NODES, DEPTH = 100_000, 40
"""Values in a config, aliases counted as often as they stand there, and how deep they may be nested."""
TAG = "tag:yaml.org,2002:"
PLAIN = frozenset(TAG + name for name in ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp"))


def check_config(config: Path) -> list[Path]:
    """The files that a config consists of: itself, and what it inherits from.

    Raises InputError unless all are files of plain YAML, without Python's objects.
    """
    pending: list[tuple[Path, ...]] = [(config,)]
    for count, line in enumerate(pending):  # which grows on the way
        path, heir = line[-1], line[-2:][0]
        root = _compose(path, heir)
        if path.resolve() in {ancestor.resolve() for ancestor in line[:-1]}:
            raise InputError(f"{heir}: inherits from {path}, which it was reached from; one {BASE} has to go")
        if count > BASES:
            raise InputError(f"{config}: inherits from more than {BASES} files")
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"{path}: is no YAML mapping; name a PaddleSeg config (.yml)")
        _measure(root, path, {}, DEPTH)
        pending += [(*line, path.parent / name) for name in _bases(root)]
    return [line[-1] for line in pending]


def _compose(path: Path, heir: Path) -> yaml.Node | None:
    if not path.exists():
        named = "" if path == heir else f", which {heir} inherits from"
        raise InputError(f"{path}: no such file{named}; name a PaddleSeg config (.yml)")
    if not path.is_file():
        raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'not a regular file'}; name a config (.yml)")
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise InputError(f"{path}: has more than {LARGEST} bytes; it is no config")
        text = path.read_text(encoding="utf-8") if size else ""  # the kernel's own files have none, and may be endless
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable YAML ({one_line(' '.join(str(error).split()))})") from None


def _measure(node: yaml.Node, path: Path, known: dict[int, int], depth: int) -> int:
    """How many values `node` stands for. Raises InputError for too many, too deep ones, and tags that are not plain."""
    line = node.start_mark.line + 1
    if node.tag not in PLAIN:
        raise InputError(f"{path}: {one_line(node.tag.replace(TAG, '!!'))} in line {line} is no plain value")
    if isinstance(node, yaml.ScalarNode):
        return 1
    if depth == 0:
        raise InputError(f"{path}: is nested too deeply, or in itself, in line {line}")
    if id(node) not in known:
        known[id(node)] = 1 + sum(_measure(child, path, known, depth - 1) for child in _children(node))
    if known[id(node)] > NODES:
        raise InputError(f"{path}: stands for more than {NODES} values once its aliases are written out, line {line}")
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        yield from item if isinstance(item, tuple) else (item,)


def _bases(root: yaml.MappingNode) -> list[str]:
    named = [value for key, value in root.value if isinstance(key, yaml.ScalarNode) and key.value == BASE]
    listed = [item for value in named for item in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
    return [str(item.value) for item in listed if isinstance(item, yaml.ScalarNode)]
