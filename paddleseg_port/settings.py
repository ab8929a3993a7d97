"""What a config leaves open, from the manifest beside its weights; and what contradicts itself, refused."""

from __future__ import annotations

from math import isclose
from pathlib import Path
from typing import Any

from converter.errors import InputError
from converter.files import file_digest
from converter.manifest import Manifest, manifest_path, read_manifest
from families import Preprocessing, get_family

Settings = dict[str, Any]

PORT, NORMALISE = "CCNetPort", "CCNetNormalize"
DEFAULTS: Settings = {"family": "official", "recurrence": 2}
"""What the port takes where neither the config nor a manifest tells, and no file could."""
TOLD: dict[str, tuple[str, ...]] = {
    PORT: ("family", "num_classes", "depth", "recurrence", "align_corners"),
    "CCNet": ("num_classes", "recurrence", "align_corners"),
}
"""By the model's type, its arguments that a manifest knows too. PaddleSeg's CCNet is of one family, its depth is its
backbone's."""
OF_BACKBONE = ("depth",)
"""What the manifest of a backbone tells of the whole network."""
HALVES = (0.5, 0.5, 0.5)
"""Normalize's own mean and deviation."""
SPLITS = ("train_dataset", "val_dataset")


def settle(settings: Settings, weights: Path | None, config: Path, *, evaluates: bool) -> list[str]:
    """Complete a config's `settings` by the manifest of its `weights`, and its transforms by the model's family.

    Returns lines that say what was taken. Raises InputError for what contradicts itself, for a manifest that
    describes another file and, if the network `evaluates`, for converted weights that see another mean.
    """
    model = settings.get("model") or {}
    manifest = None if weights is None else _find_manifest(model, weights)
    notes = [] if manifest is None or weights is None else _take(model, manifest, manifest_path(weights), config)
    if model.get("type") == PORT:
        if evaluates:
            notes += _name_defaults(model, config)
        notes += _settle_transforms(settings, model, config, strict=evaluates and manifest is not None)
    return notes


def _name_defaults(model: Settings, config: Path) -> list[str]:
    taken = [f"{name} {value}" for name, value in DEFAULTS.items() if model.get(name) is None]
    return [f"{config}: tells neither, nor does a manifest: {', '.join(taken)}, the port's defaults"] if taken else []


def _settle_transforms(settings: Settings, model: Settings, config: Path, *, strict: bool) -> list[str]:
    """Give the model's family to each CCNetNormalize that names none. A foreign Normalize is refused if `strict`."""
    family = model.get("family") or DEFAULTS["family"]
    notes = []
    for split in SPLITS:
        for transform in (settings.get(split) or {}).get("transforms") or []:
            name = transform.get("type") if isinstance(transform, dict) else None
            if name == NORMALISE:
                transform.setdefault("family", family)
            if name not in PREPROCESSINGS:
                continue
            if _agree(PREPROCESSINGS[name](transform), get_family(family).preprocessing):
                continue
            complaint = f"{config}: {name} of {split} is not the preprocessing of the model's family, {family}"
            if strict or name == NORMALISE:
                raise InputError(f"{complaint}; take type: {NORMALISE}, whose family is the model's if left out")
            notes.append(f"{complaint}, which {NORMALISE} is")
    return notes


def _find_manifest(model: Settings, weights: Path) -> Manifest | None:
    path = manifest_path(weights)
    if model.get("type") not in TOLD or not weights.is_file() or not path.exists():
        return None
    manifest = read_manifest(path)
    target = manifest.target or {}
    if Path(target.get("name", "")).suffix != weights.suffix:  # the checkpoint that was converted, say
        return None
    if target.get("sha256") != file_digest(weights):
        raise InputError(
            f"{path}: describes another file than {weights.name}, which was changed or exchanged since; "
            "move the manifest away to go on without it"
        )
    return manifest


def _take(model: Settings, manifest: Manifest, path: Path, config: Path) -> list[str]:
    """Fill what `model` leaves open; what was taken, in words."""
    taken = []
    for name in TOLD[model["type"]] if manifest.num_classes else OF_BACKBONE:
        value = getattr(manifest, name)
        if value is None:
            continue
        if model.get(name) is None:
            model[name] = value
            taken.append(f"{name} {value}")
        elif model[name] != value:
            raise InputError(
                f"{config}: its model has {name} {model[name]}, {path} says {value}; give --opts model.{name}={value}, "
                "or move the manifest away if the config is right"
            )
    return [f"{path}: tells {', '.join(taken)}, which the config does not"] if taken else []


def _agree(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether both make the same numbers of a picture."""
    numbers = zip((*one.mean, *one.deviation), (*other.mean, *other.deviation), strict=True)
    return one.channel_order == other.channel_order and all(isclose(a, b, rel_tol=1e-3) for a, b in numbers)


def _of_family(transform: Settings) -> Preprocessing:
    return get_family(transform["family"]).preprocessing


def _of_normalize(transform: Settings) -> Preprocessing:
    """PaddleSeg's, which takes shares of 255."""
    mean, deviation = ([255 * float(value) for value in transform.get(name, HALVES)] for name in ("mean", "std"))
    return Preprocessing(
        channel_order="RGB",
        mean=(mean[0], mean[1], mean[2]),
        deviation=(deviation[0], deviation[1], deviation[2]),
        align_corners=False,
    )


PREPROCESSINGS = {NORMALISE: _of_family, "Normalize": _of_normalize}
"""By a transform's type, from its arguments to what it makes of a picture."""
