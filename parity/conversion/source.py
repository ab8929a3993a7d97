"""A checkpoint in the reference's own keys: a family's, or those of a torch module of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from converter.convert import checked_plan
from converter.files import Checkpoint, file_digest, read_checkpoint
from converter.manifest import Manifest, list_versions, make_manifest
from converter.origin import describe_network, trace
from parity.networks.modules import COUNTER
from parity.options import Options

Array = np.ndarray[Any, Any]
COUNTS = "a counter of batches, which Paddle does not keep"


@dataclass(frozen=True)
class Source:
    """The checkpoint's `tensors`, and a `manifest` that does not say yet what becomes of them.

    `keys` maps a name in the reference's state dict to the checkpoint's; `reason` says why it is the reference's.
    """

    tensors: Mapping[str, Array]
    keys: Mapping[str, str]
    manifest: Manifest
    reason: str


def read_source(options: Options, reference: nn.Module) -> Source:
    """The source of `options`, for the reference that was built for it. Raises InputError if it is not whole."""
    assert options.source is not None
    path, checkpoint = options.source, read_checkpoint(options.source, options.reading)
    if options.reference is not None:
        return _of_module(checkpoint, reference, options.reference)
    origin = trace(
        checkpoint, digest=lambda: file_digest(path), family=options.family, abn_semantics=options.abn_semantics
    )
    plan, known = checked_plan(origin.detection, str(path)), origin.manifest
    recurrence = options.recurrence if known is None or options.recurrence is not None else known.recurrence
    manifest = make_manifest(plan, origin.checkpoint, dtype="", recurrence=recurrence)
    manifest.reversible &= origin.exact
    manifest.notes = describe_network(origin, chosen=options.abn_semantics is not None)
    keys = {name: step.source for step, name in plan.transfers}
    return Source(origin.checkpoint.tensors, keys, manifest, origin.detection.reason)


def _of_module(checkpoint: Checkpoint, reference: nn.Module, spec: str) -> Source:
    tensors = checkpoint.tensors
    manifest = Manifest(
        family=None,
        num_classes=0,
        depth=0,
        recurrence=None,
        source={},
        target=None,
        wrappers=list(checkpoint.wrappers),
        dtype="",
        reversible=True,
        versions=list_versions(),
        skipped=list(checkpoint.skipped),
        sets=dict(checkpoint.sets),
        notes=list(checkpoint.notes),
        reference=spec,
    )
    for key, array in tensors.items():
        if _counts(key):
            manifest.drop(key, array, COUNTS)
    keys = {name: name for name in reference.state_dict() if not _counts(name)}
    return Source(tensors, keys, manifest, f"its keys are those of {spec}")


def _counts(key: str) -> bool:
    return key.rpartition(".")[2] == COUNTER
