"""Where weights come from: a family's own checkpoint, or a converted file that is traced back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.bridge import from_paddle
from converter.detect import Detection, detect
from converter.errors import InputError
from converter.files import Checkpoint, file_digest
from converter.files.known import is_key
from converter.files.unpickle import one_line
from converter.manifest import Manifest, manifest_path, read_manifest, restore
from converter.names import count
from converter.operations import OPERATIONS
from converter.plan import AUXILIARY_LEFT_OUT, Plan, expected_tensors, make_plan
from families import Family, Rule, get_family
from families.architecture import LayerKind
from families.rules import Assignment

Array = np.ndarray[Any, Any]

CANONICAL_LAYERS: dict[LayerKind, LayerKind] = {
    "conv": "conv",
    "norm": "norm",
    "abn": "norm",
    "paddle_norm": "norm",
    "scale": "scale",
    "scalar_scale": "scale",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A checkpoint in its family's own keys, and the plan that reads it.

    `converted`: the file had canonical names. `exact`: these are the very bits that it was converted
    from. `manifest` is the converted file's, if there is one.
    """

    checkpoint: Checkpoint
    detection: Detection
    converted: bool = False
    exact: bool = True
    manifest: Manifest | None = None

    @property
    def own_names(self) -> dict[str, str]:
        """Key in the family's checkpoint -> name in the file, of one that was converted for a port of the user's."""
        if self.manifest is None or self.manifest.port is None:
            return {}
        return {entry["source"]: entry["target"] for entry in self.manifest.tensors}

    @property
    def plan(self) -> Plan:
        """The plan of the detection."""
        return self.detection.plan


def trace(
    checkpoint: Checkpoint, *, digest: Callable[[], str], family: str | None = None, abn_semantics: str | None = None
) -> Origin:
    """The origin of a checkpoint. `digest` gives the file's SHA-256, by which its manifest is known.

    Raises InputError if it is not a whole checkpoint of one family, or `abn_semantics` would be wrong for it.
    """
    of_port = find_port_manifest(checkpoint, digest)
    if of_port is not None:
        return _restore(checkpoint, of_port, abn_semantics)
    if not has_canonical_names(checkpoint):
        checkpoint = with_torch_leaves(checkpoint)
        detection = _detect(checkpoint, family=family)
        chosen = read_as(detection.plan.family, abn_semantics)
        if chosen != detection.plan.family:
            detection = Detection(_plan(checkpoint, chosen), detection.reason)
        return Origin(checkpoint=checkpoint, detection=detection)
    manifest = _find_manifest(checkpoint, digest, family)
    if manifest is None:
        return _invert(checkpoint, family, abn_semantics)
    return _restore(checkpoint, manifest, abn_semantics)


def has_canonical_names(checkpoint: Checkpoint) -> bool:
    """Whether the file has the twins' names."""
    return any(name.startswith("backbone.stage1.") for name in checkpoint.tensors)


def canonical_form(family: Family) -> Family:
    """`family` with the twins' names for its own."""
    rules = tuple(Rule(rule.target, rule.target, CANONICAL_LAYERS[rule.layer]) for rule in family.rules)
    return replace(family, rules=rules, unused=(), left_out=())


def read_as(family: Family, abn_semantics: str | None) -> Family:
    """`family`, its norms read "plain" or by "fold", or as it does (None). Raises InputError where that is wrong."""
    if abn_semantics is None or abn_semantics == family.scales:
        return family
    if abn_semantics == "plain":  # the user's word: they are folded already, or were trained as BatchNorm's
        return family.plain()
    if family.fold_optional:
        return family.folded()
    raise InputError(
        f"--abn-semantics {abn_semantics}: {family.name} is made with BatchNorm, which scales by weight; "
        "leave the option out"
    )


def canonical_tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    """The tensors of a file with the twins' names, with torch's leaf names."""
    tensors = {from_paddle(name): array for name, array in checkpoint.tensors.items()}
    for name, array in tensors.items():
        if array.dtype.kind != "f" and not name.endswith("num_batches_tracked"):
            raise InputError(f"{checkpoint.path}: {name} is {array.dtype}, the twins need a floating dtype")
    return tensors


def with_torch_leaves(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint with a torch family's keys; those of a Paddle port end in `_mean` and `_variance`."""
    names = {}
    for key in checkpoint.tensors:
        torch_name = from_paddle(key)
        is_own = torch_name == key or torch_name in checkpoint.tensors or is_key(key) or not is_key(torch_name)
        names[key] = key if is_own else torch_name
    if all(key == name for key, name in names.items()):
        return checkpoint
    return replace(checkpoint, tensors={names[key]: array for key, array in checkpoint.tensors.items()})


def describe_network(origin: Origin, *, chosen: bool = False) -> list[str]:
    """What the user should know of the network that was read; `chosen` if it is he who said how scales are read."""
    plan, tensors = origin.plan, origin.checkpoint.tensors
    notes = list(origin.checkpoint.notes)
    if plan.family.architecture.heads and not plan.auxiliary:
        given = any(step.reason == AUXILIARY_LEFT_OUT for step in plan.drops)
        whose = "the file's is left out" if given else "the file has none"
        notes.append(f"a network without the auxiliary head, which only training needs: {whose}")
    folded = [tensors[step.source] for step in plan.steps if step.operation == "fold" and step.source in tensors]
    if folded and not origin.converted and not chosen and not any(np.signbit(scale).any() for scale in folded):
        notes.append(
            "no scale is negative, although InPlaceABN's usually are in part: if these were folded already or are "
            "plain BatchNorm's, --abn-semantics plain takes them as they are"
        )
    return notes


def _plan(checkpoint: Checkpoint, family: Family) -> Plan:
    return make_plan(
        checkpoint.tensors,
        family,
        collisions=checkpoint.collisions,
        without_auxiliary=checkpoint.reading.without_auxiliary,
    )


def _detect(checkpoint: Checkpoint, **options: Any) -> Detection:
    return detect(
        checkpoint.tensors,
        path=str(checkpoint.path),
        collisions=checkpoint.collisions,
        without_auxiliary=checkpoint.reading.without_auxiliary,
        **options,
    )


def find_port_manifest(checkpoint: Checkpoint, digest: Callable[[], str]) -> Manifest | None:
    """The manifest of a file in the names of a port of the user's, which nothing else can read."""
    path = manifest_path(checkpoint.path)
    if not path.is_file() or has_canonical_names(checkpoint):
        return None
    manifest = read_manifest(path)
    if manifest.port is None or (manifest.target or {}).get("name") != checkpoint.path.name:
        return None
    _check_digest(path, manifest, checkpoint, digest)
    return manifest


def from_port(checkpoint: Checkpoint) -> Checkpoint:
    """A file in the names of a port of the user's, under the keys that its manifest tells; any other as it is."""
    manifest = find_port_manifest(checkpoint, lambda: file_digest(checkpoint.path))
    if manifest is None:
        return checkpoint
    notes = (*checkpoint.notes, f"it has the names of {manifest.port}; its manifest tells what they were")
    return replace(checkpoint, tensors=restore_tensors(checkpoint, manifest), notes=notes)


def restore_tensors(checkpoint: Checkpoint, manifest: Manifest) -> dict[str, Array]:
    """The tensors of a converted file, under the keys they came from. Raises InputError for a damaged manifest."""
    try:
        return restore(checkpoint.named_as({entry["target"] for entry in manifest.tensors}), manifest)
    except (LookupError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{manifest_path(checkpoint.path)}: is damaged ({one_line(str(error))})") from None


def _check_digest(path: Path, manifest: Manifest, checkpoint: Checkpoint, digest: Callable[[], str]) -> None:
    if manifest.target is None or manifest.target.get("sha256") != digest():
        raise InputError(
            f"{path}: describes another file than {checkpoint.path.name}, which was changed or exchanged since; "
            "move the manifest away to convert without it"
        )


def _find_manifest(checkpoint: Checkpoint, digest: Callable[[], str], family: str | None) -> Manifest | None:
    path = manifest_path(checkpoint.path)
    if not path.exists():
        return None
    manifest = read_manifest(path)
    _check_digest(path, manifest, checkpoint, digest)
    if family is not None and family != manifest.family:
        raise InputError(f"{checkpoint.path}: its manifest says {manifest.family}, not {family}")
    return manifest


def scaled_as(family: Family, manifest: Manifest) -> Family:
    """`family`, its scales read as they were for a converted file."""
    folds = any(entry["operation"] == "fold" for entry in manifest.tensors)
    return family if folds == (family.scales == "fold") else read_as(family, "fold" if folds else "plain")


def _restore(checkpoint: Checkpoint, manifest: Manifest, abn_semantics: str | None) -> Origin:
    if manifest.family is None:
        raise InputError(
            f"{checkpoint.path}: are weights of {manifest.port}, from {manifest.source.get('name')} of "
            f"{manifest.reference}, which is of no known family; ccnet-convert takes them back to a .pth"
        )
    tensors = restore_tensors(checkpoint, manifest)
    try:
        family = get_family(manifest.family)
    except ValueError as error:
        raise InputError(f"{manifest_path(checkpoint.path)}: is damaged ({one_line(str(error))})") from None
    plan = make_plan(
        tensors,
        read_as(scaled_as(family, manifest), abn_semantics),
        without_auxiliary=checkpoint.reading.without_auxiliary,
    )
    return Origin(
        checkpoint=replace(checkpoint, tensors=tensors),
        detection=Detection(plan, "its manifest says so"),
        converted=True,
        exact=manifest.reversible,
        manifest=manifest,
    )


def _invert(checkpoint: Checkpoint, family: str | None, abn_semantics: str | None) -> Origin:
    """Without a manifest: every folded scale positive, and no batch counters."""
    named = replace(checkpoint, tensors=canonical_tensors(checkpoint))
    found = _detect(named, family=family, form=canonical_form)
    if not found.plan:
        name = found.plan.family.name
        raise InputError(f"{checkpoint.path}: not a complete {name} checkpoint: {found.plan.explain()}")
    chosen = read_as(get_family(found.plan.family.name), abn_semantics)
    if not found.plan.auxiliary:
        chosen = chosen.without_auxiliary()
    assignments, _ = expected_tensors(chosen, depth=found.plan.depth, num_classes=found.plan.num_classes)
    tensors = {
        item.source: _undo(item, named.tensors[item.target], checkpoint)
        for item in assignments
        if item.target is not None
    }
    plan = make_plan(tensors, chosen)
    return Origin(
        checkpoint=replace(checkpoint, tensors=tensors),
        detection=Detection(plan, f"{found.reason}; no manifest is beside it"),
        converted=True,
        exact=not any(step.operation == "fold" for step in plan.steps),
    )


def _undo(item: Assignment, array: Array, checkpoint: Checkpoint) -> Array:
    operation = OPERATIONS[item.operation]
    source = operation.invert(array, operation.assume(array), array.dtype)
    again = operation.apply(source).astype(np.float64)
    low = int((np.abs(again - array) > 2 * np.finfo(array.dtype).eps * np.abs(array)).sum())
    if low:
        below = count(low, "scale", " is below 1e-5", " are below 1e-5")
        raise InputError(
            f"{checkpoint.path}: {below} in {item.target}, which |weight| + 1e-5 cannot be; trained as BatchNorm's, it "
            "fits no InPlaceABN; --abn-semantics plain takes all as they are"
        )
    return source
