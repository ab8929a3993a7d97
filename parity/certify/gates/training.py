"""Gates "training data" and "training": batches from one random stream, and what a number of steps on them do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from parity.certify.gate import Check, Evidence
from parity.certify.limits import (
    DIVERGENCE,
    DIVERGENCE_REASON,
    EXACT,
    EXACT_REASON,
    LOSS,
    LOSS_REASON,
    STEP,
    STEP_REASON,
    TRAJECTORY,
    TRAJECTORY_REASON,
)
from parity.certify.measure import Found, greatest, relative, worst
from parity.certify.sides import Side, load_state, velocities
from parity.certify.subject import Subject, decoded
from training.dataset import TrainingSet
from training.recipe import Recipe, recipe_of

Array = np.ndarray[Any, Any]
Batch = tuple[Array, Array]

PICTURES, BATCH = 16, 2
COMPARED_BATCHES = 8
BASE_RATE = 1e-3
"""A tenth of the usual: from stand-in weights the usual rate overflows within a few steps."""


def data(subject: Subject) -> Evidence:
    """The first augmented batches of both loaders, value by value."""
    sides = subject.torch("float32"), subject.paddle("float32")
    ours, theirs = (_batches(subject, side, COMPARED_BATCHES) for side in sides)
    counts = {"images": 0, "labels": 0}
    for expected, actual in zip(ours, theirs, strict=True):
        for name, left, right in zip(counts, expected, actual, strict=True):
            same = left.shape == right.shape and left.dtype == right.dtype
            counts[name] += int((left != right).sum()) if same else left.size
    ignored = float(np.mean([(labels == 255).mean() for _, labels in ours]))
    checks = [
        Check(name=f"values of {name} that differ", measured=count, limit=EXACT, reason=EXACT_REASON)
        for name, count in counts.items()
    ]
    return Evidence(checks=checks, remarks=[f"{len(ours)} batches of {BATCH}, {ignored:.1%} of the pixels ignored"])


def run(subject: Subject) -> Evidence:
    """Steps on the same batches: each from torch's state, and as they come, in both precisions."""
    recipe = replace(recipe_of(subject.family), base_rate=BASE_RATE)
    batches = _batches(subject, subject.torch("float32"), subject.steps)
    checks = _isolated(subject, recipe, batches[: len(TRAJECTORY)])
    curves = {}
    for dtype in ("float64", "float32"):
        for side in (subject.torch(dtype), subject.paddle(dtype)):
            name = f"{'torch' if side.framework == 'torch' else 'Paddle'} {dtype}"
            curves[name] = _losses(subject, side, recipe, batches, name)
    exact, actual = curves["torch float64"], curves["Paddle float64"]
    for step, limit in zip(range(len(exact)), TRAJECTORY, strict=False):
        detail = f"{actual[step]:.15g}, torch has {exact[step]:.15g}"
        measured = relative(actual[step], exact[step])
        checks.append(
            Check(
                name=f"loss of step {step + 1}", measured=measured, limit=limit, reason=TRAJECTORY_REASON, detail=detail
            )
        )
    checks += [_divergence(curves, dtype) for dtype in ("float64", "float32")]
    remark = f"{len(batches)} steps; float64 losses end {relative(actual[-1], exact[-1]):.1e} apart"
    return Evidence(checks=checks, remarks=[remark], curves=curves)


def _divergence(curves: dict[str, list[float]], dtype: str) -> Check:
    """Paddle's greatest distance from torch's float64 losses over that of torch's own float32."""
    exact, rounded, actual = (np.array(curves[name]) for name in ("torch float64", "torch float32", f"Paddle {dtype}"))
    own = max(float(np.abs(rounded - exact).max()), float(np.finfo(np.float32).eps * np.abs(exact).max()))
    return Check(
        name=f"divergence in {dtype}",
        measured=float(np.abs(actual - exact).max()) / own,
        limit=DIVERGENCE,
        reason=DIVERGENCE_REASON,
        detail=f"torch's own is {own:.1e}",
    )


def _batches(subject: Subject, side: Side, count: int) -> list[Batch]:
    """Batches as `side`'s loader gives them, as arrays."""
    training_set = TrainingSet(
        subject.samples("train", PICTURES),
        decoded,
        side.augmentation(subject.size),
        length=count * BATCH,
        seed=subject.seed,
    )
    return [(side.array(images), side.array(labels)) for images, labels in side.loader(training_set, batch=BATCH)]


def _scaled(batch: Batch) -> Batch:
    """Pixels in units of a hundred levels where they have no scale of their own: stand-in weights saturate else."""
    images, labels = batch
    return images.astype(np.float64) / max(float(np.abs(images).max()) / 2, 1.0), labels


def _trainer(subject: Subject, side: Side, recipe: Recipe) -> Any:
    side.share_dropout(subject.seed)
    side.train()
    return side.make_trainer(side.criterion(), recipe)


def _step(side: Side, trainer: Any, batch: Batch) -> float:
    images, labels = _scaled(batch)
    return float(trainer.step(side.tensor(images), side.tensor(labels)))


def _losses(subject: Subject, side: Side, recipe: Recipe, batches: Sequence[Batch], name: str) -> list[float]:
    trainer = _trainer(subject, side, recipe)
    found = []
    for number, batch in enumerate(batches, 1):
        subject.progress(f"training, {name}, step {number} / {len(batches)}")
        found.append(_step(side, trainer, batch))
    return found


def _isolated(subject: Subject, recipe: Recipe, batches: Sequence[Batch]) -> list[Check]:
    """Each step in both frameworks from torch's parameters, statistics and velocities."""
    ours, theirs = subject.torch(), subject.paddle()
    trainers = [_trainer(subject, side, recipe) for side in (ours, theirs)]
    state: Found = 0.0, ""
    loss: Found = 0.0, ""
    for number, batch in enumerate(batches, 1):
        subject.progress(f"training, isolated, step {number} / {len(batches)}")
        if number > 1:
            load_state(theirs, ours.state())
            velocities(theirs, trainers[1], velocities(ours, trainers[0]))
        losses = [_step(side, trainer, batch) for side, trainer in zip((ours, theirs), trainers, strict=True)]
        loss = max(loss, (relative(losses[1], losses[0]), f"step {number}"))
        expected = ours.state()
        distance, where = worst(theirs.state(), expected, greatest(expected))
        state = max(state, (distance, f"step {number}, {where}"))
    return [
        Check(name="loss from torch's state", measured=loss[0], limit=LOSS, reason=LOSS_REASON, detail=loss[1]),
        Check(name="step from torch's state", measured=state[0], limit=STEP, reason=STEP_REASON, detail=state[1]),
    ]
