"""From a port's weights back to the keys of the user's own reference, which is of no family, by the manifest alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from converter.errors import ConverterError, InputError
from converter.files import Reading, check_readable, file_digest, read_checkpoint
from converter.files.atomic import staged
from converter.files.write import FORMATS, read_tensors, write_tensors
from converter.manifest import Manifest, describe_file, list_versions, manifest_path, read_manifest
from converter.origin import find_port_manifest, restore_tensors
from converter.target import check_target

ENDINGS = (".pth", ".safetensors")


def is_of_no_family(path: Path) -> bool:
    """Whether a manifest beside `path` says that its weights come from a reference of the user's."""
    beside = manifest_path(path)
    if not beside.is_file():
        return False
    manifest = read_manifest(beside)
    return manifest.family is None and (manifest.target or {}).get("name") == path.name


def convert_back(
    source: Path,
    target: Path,
    *,
    reading: Reading | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: Callable[[str], None] = lambda phase: None,
) -> Manifest:
    """Write a port's weights under the keys that they came from, bit for bit as its manifest says.

    The written file is read back and compared bit for bit before it takes its name. Returns a manifest of this way,
    which is written nowhere. Raises InputError for files that cannot be converted, ConverterError if the result is not
    right.
    """
    check_readable(source)
    if target.suffix not in ENDINGS:
        raise InputError(f"{target}: the reference's own keys go into a .pth or .safetensors; name such a target")
    check_target(source, target, force=force)
    progress("reading")
    checkpoint, digest = read_checkpoint(source, reading), file_digest(source)
    known = find_port_manifest(checkpoint, lambda: digest)
    if known is None:
        raise InputError(f"{manifest_path(source)}: does not describe {source.name}")
    tensors = restore_tensors(checkpoint, known)
    dtype = ", ".join(sorted({str(array.dtype) for array in tensors.values()}))
    made = replace(known, source=describe_file(source.name, source, digest), target=None, dtype=dtype)
    made = replace(made, tensors=[], dropped=[], folded=[], versions=list_versions())
    for key, array in tensors.items():
        made.add_copy(key, array, array)
    made.reversible = known.reversible
    if not dry_run:
        with staged(target, replace=force) as (path,):
            progress("writing")
            write_tensors(path, FORMATS[target.suffix], tensors.items())
            progress("reading back")
            written = read_tensors(path, FORMATS[target.suffix])
            if written.keys() != tensors.keys() or any(not _same(written[key], tensors[key]) for key in tensors):
                raise ConverterError(f"{target}: differs from what was to be written; try another disk")
            made.target = describe_file(target.name, path, file_digest(path))
    return made


def _same(one: np.ndarray, other: np.ndarray) -> bool:  # type: ignore[type-arg]
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
