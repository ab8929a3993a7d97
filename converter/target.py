"""Whose keys a target has, and in which format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from converter.bridge import to_paddle
from converter.errors import InputError
from converter.files.atomic import check_writable
from converter.files.write import FORMATS
from converter.manifest import manifest_path
from families import Family, get_family
from families.differences import list_differences

CANONICAL = "canonical"
"""The keys of the twins, as opposed to a family's own."""
OWN_FORMATS = {"torch": ("pth", "safetensors"), "paddle": ("pdparams", "safetensors")}
"""In which the reference implementations of each framework keep their own keys."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file to be written; `keys` is CANONICAL or the name of the family whose keys it gets."""

    path: Path
    format: str
    keys: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and, where conversion takes something away, the manifest that keeps it."""
        return (self.path, manifest_path(self.path)) if self.keys == CANONICAL else (self.path,)

    @property
    def twin(self) -> str | None:
        """The twin that the file is for; None for the reference implementation."""
        if self.keys != CANONICAL:
            return None
        return "Paddle" if self.format == "pdparams" else "torch"

    def rename(self, name: str) -> str:
        """A canonical name as this file has it: Paddle's leaves in a Paddle file."""
        return to_paddle(name) if self.format == "pdparams" else name


def check_target(source: Path, target: Path, *, force: bool) -> None:
    """Raise InputError unless `target`'s name says its format and it can be written."""
    if target.suffix not in FORMATS:
        raise InputError(f"{target}: a checkpoint's name ends in {_either(FORMATS)}")
    check_writable(target, force=force)
    if target.exists() and target.samefile(source):
        raise InputError(f"{target}: is the source itself; name another target")


def choose_target(path: Path, family: Family, *, keys: str | None = None) -> Target:
    """The target at `path` for weights of `family`, with `keys` or those its ending implies.

    Raises InputError if the weights cannot have those keys, or the format not hold them.
    """
    format_name = FORMATS[path.suffix]
    if keys is None:
        own = family.framework == "torch" and format_name in OWN_FORMATS["torch"]
        keys = family.name if own else CANONICAL
    if keys != CANONICAL:
        _check_keys(path, format_name, family, keys)
    return Target(path=path, format=format_name, keys=keys)


def _check_keys(path: Path, format_name: str, family: Family, keys: str) -> None:
    try:
        wanted = get_family(keys)
    except ValueError as error:
        raise InputError(f"{path}: {error}, or {CANONICAL}") from None
    if wanted.name != family.name:
        raise InputError(f"{path}: {explain_misfit(family, wanted)}")
    if format_name not in OWN_FORMATS[wanted.framework]:
        endings = [ending for ending, name in FORMATS.items() if name in OWN_FORMATS[wanted.framework]]
        raise InputError(f"{path}: {keys}'s own keys go into {_either(endings)}; name such a target")


def explain_misfit(family: Family, wanted: Family) -> str:
    """Why weights of `family` are not weights of `wanted`, and what is possible instead."""
    differences = list_differences(family.architecture, wanted.architecture)
    nearest = (
        f"the nearest that is possible is the Paddle twin of {family.name}: "
        f"a .pdparams target without --to {wanted.name}, for models_paddle"
    )
    return f"{family.name} weights are of another network than {wanted.name}'s ({'; '.join(differences)}); {nearest}"


def _either(endings: Iterable[str]) -> str:
    *most, last = endings
    return f"{', '.join(most)} or {last}"
