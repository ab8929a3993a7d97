"""Where weights come from: a family's own checkpoint, or a converted file that is traced back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.bridge import from_paddle
from converter.detect import Detection, detect
from converter.errors import InputError
from converter.files import Checkpoint
from converter.manifest import Manifest, manifest_path, read_manifest, restore
from converter.operations import OPERATIONS
from converter.plan import Plan, expected_tensors, make_plan
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
    def plan(self) -> Plan:
        """The plan of the detection."""
        return self.detection.plan


def trace(
    checkpoint: Checkpoint, *, digest: Callable[[], str], family: str | None = None, abn_semantics: str | None = None
) -> Origin:
    """The origin of a checkpoint. `digest` gives the file's SHA-256, by which its manifest is known.

    Raises InputError if it is not a whole checkpoint of one family, or `abn_semantics` would be wrong for it.
    """
    if not has_canonical_names(checkpoint):
        detection = _detect(checkpoint, family=family)
        chosen = read_as(detection.plan.family, abn_semantics)
        if chosen != detection.plan.family:
            detection = Detection(
                make_plan(checkpoint.tensors, chosen, collisions=checkpoint.collisions), detection.reason
            )
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
    return replace(family, rules=rules, unused=())


def read_as(family: Family, abn_semantics: str | None) -> Family:
    """`family`, its norms read "plain" or by "fold", or as it does (None). Raises InputError where that is wrong."""
    folds = any(rule.layer == "abn" for rule in family.rules)
    if abn_semantics is None or folds == (abn_semantics == "fold"):
        return family
    if family.fold_optional:
        return family.folded()
    why = "InPlaceABN, which scales by |weight| + eps" if folds else "BatchNorm, which scales by weight"
    raise InputError(f"--abn-semantics {abn_semantics}: {family.name} is made with {why}")


def canonical_tensors(checkpoint: Checkpoint) -> dict[str, Array]:
    """The tensors of a file with the twins' names, with torch's leaf names."""
    return {from_paddle(name): array for name, array in checkpoint.tensors.items()}


def _detect(checkpoint: Checkpoint, **options: Any) -> Detection:
    return detect(checkpoint.tensors, path=str(checkpoint.path), collisions=checkpoint.collisions, **options)


def _find_manifest(checkpoint: Checkpoint, digest: Callable[[], str], family: str | None) -> Manifest | None:
    path = manifest_path(checkpoint.path)
    if not path.exists():
        return None
    manifest = read_manifest(path)
    if manifest.target is None or manifest.target.get("sha256") != digest():
        raise InputError(
            f"{path}: describes another file than {checkpoint.path.name}, which was changed or exchanged since; "
            "move the manifest away to convert without it"
        )
    if family is not None and family != manifest.family:
        raise InputError(f"{checkpoint.path}: its manifest says {manifest.family}, not {family}")
    return manifest


def _restore(checkpoint: Checkpoint, manifest: Manifest, abn_semantics: str | None) -> Origin:
    try:
        tensors = restore(checkpoint.tensors, manifest)
        family = get_family(manifest.family)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{manifest_path(checkpoint.path)}: is damaged ({error})") from None
    if manifest.folded and family.fold_optional:
        family = family.folded()
    plan = make_plan(tensors, read_as(family, abn_semantics))
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
        raise InputError(
            f"{checkpoint.path}: {low} scales of {item.target} are below 1e-5, which |weight| + 1e-5 cannot be; "
            "they were trained as BatchNorm's and fit no InPlaceABN"
        )
    return source
