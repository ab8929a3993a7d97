"""Gate "training": what a number of steps on the same batches do, by each side's own loss, optimiser and schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.certify.causes.criteria import Edit
from parity.certify.causes.engine import Numbers
from parity.certify.causes.training import Step, explain_steps
from parity.certify.dropout import functions_drop_nothing
from parity.certify.gate import Check, Evidence, HandIn, NotRunError
from parity.certify.gates.data import BATCH, load
from parity.certify.limits import (
    DIVERGENCE,
    DIVERGENCE_REASON,
    LOSS,
    LOSS_REASON,
    STATISTIC,
    STATISTIC_REASON,
    STEP,
    STEP_REASON,
    TRAJECTORY,
    TRAJECTORY_REASON,
)
from parity.certify.measure import Distance, greatest, noise_ratio, relative, sample, worst
from parity.certify.outputs import in_order
from parity.certify.sides import STATISTICS, Side
from parity.certify.state import load_state, statistics_of, velocities
from parity.certify.subject import Subject
from parity.reports.reprod_log import THRESHOLD
from parity.verdicts.found import Found
from twins.tolerances import FLOAT32_NOISE_RATIO

Array = np.ndarray[Any, Any]
Batch = tuple[Array, Array]
State = dict[str, Array]

NAMES = {"torch": "torch", "paddle": "Paddle"}
CHANCE = 1e-3
"""Of the loss: one rounded activation on the other side of a ReLU moves a trajectory as far within some steps,
and which framework meets one is chance."""
RATE_SHARE = 0.1
"""Of each side's own rate: from stand-in weights the usual one overflows within a few steps."""


@dataclass
class _Course:
    """Losses of all steps, and the running statistics after the first."""

    losses: list[float] = field(default_factory=list)
    statistics: State = field(default_factory=dict)


def run(subject: Subject) -> Evidence:
    """Steps on the same batches: each from the reference's state, and as they come, in both precisions."""
    with functions_drop_nothing():
        return _run(subject)


def _run(subject: Subject) -> Evidence:
    batches = list(_batches(subject))
    steps = _isolated(subject, batches[: len(TRAJECTORY)])
    checks = _check_isolated(steps)
    runs = {}
    for dtype in ("float64", "float32"):
        for side in (subject.torch(dtype), subject.paddle(dtype)):
            name = f"{NAMES[side.framework]} {dtype}"
            runs[name] = _follow(subject, side, batches, name)
    curves = {name: run.losses for name, run in runs.items()}
    exact, actual = curves["torch float64"], curves["Paddle float64"]
    for step, limit in zip(range(len(exact)), TRAJECTORY, strict=False):
        detail = f"the port's {actual[step]:.15g}, the reference's {exact[step]:.15g}"
        measured = relative(actual[step], exact[step])
        checks.append(
            Check(
                name=f"loss of step {step + 1}", measured=measured, limit=limit, reason=TRAJECTORY_REASON, detail=detail
            )
        )
    checks += [_divergence(curves, dtype) for dtype in ("float64", "float32")]
    checks.append(_statistics(*(run.statistics for run in runs.values())))
    remark = f"{len(batches)} steps; float64 losses end {relative(actual[-1], exact[-1]):.1e} apart"
    return Evidence(
        checks=checks,
        remarks=[remark],
        curves=curves,
        explain=lambda: _explain(subject, steps, batches[0]),
        hand_in=_hand_in(exact, actual),
    )


def _hand_in(expected: Sequence[float], actual: Sequence[float]) -> HandIn:
    """The float64 losses as they come, of the steps that must agree to what the guide's package allows."""
    steps = [number for number, limit in enumerate(TRAJECTORY[: len(expected)]) if limit <= THRESHOLD]
    reference, port = (
        {f"loss of step {number + 1}": np.array(side[number]) for number in steps} for side in (expected, actual)
    )
    return HandIn(reference=reference, port=port)


def _divergence(curves: dict[str, list[float]], dtype: str) -> Check:
    """Paddle's greatest distance from torch's float64 losses over that of torch's own float32."""
    exact, rounded, actual = (np.array(curves[name]) for name in ("torch float64", "torch float32", f"Paddle {dtype}"))
    own = float(np.abs(rounded - exact).max())
    return Check(
        name=f"divergence in {dtype}",
        measured=float(np.abs(actual - exact).max()) / max(own, CHANCE * float(np.abs(exact).max())),
        limit=DIVERGENCE,
        reason=DIVERGENCE_REASON,
        detail=f"the reference's own is {own:.1e}",
    )


def _statistics(exact: State, _: State, rounded: State, actual: State) -> Check:
    """Running statistics after the first step in float32, which no later difference has reached."""
    ratios = {name: noise_ratio(actual[name], rounded[name], exact[name]) for name in exact}
    where = max(ratios, key=lambda name: ratios[name])
    return Check(
        name="running statistics in float32",
        measured=ratios[where],
        limit=FLOAT32_NOISE_RATIO,
        reason="over the reference's own distance from the float64 truth: ordinary rounding",
        detail=where,
    )


def _batches(subject: Subject) -> Iterator[Batch]:
    """The batches that all networks train on: the port's own loader's, cut to the gate's size, or the toolkit's."""
    source = subject.port_kit["loader"].run if "loader" in subject.port_kit else None
    if source is None:
        yield from load(subject, subject.torch("float32", layers=False), subject.steps, subject.size)
        return
    height, width = subject.size
    for (images, labels), _ in zip(source.batches(subject.dataset), range(subject.steps), strict=False):
        if len(images) < BATCH or images.shape[2] < height or images.shape[3] < width:
            raise NotRunError(
                f"the port's own loader gives {images.shape}, less than {BATCH} pictures of {subject.size}"
            )
        pairs = [_cut(*pair, subject.size) for pair in zip(images[:BATCH], labels[:BATCH], strict=True)]
        yield np.stack([image for image, _ in pairs]), np.stack([label for _, label in pairs])


def _cut(image: Array, labels: Array, size: tuple[int, int]) -> Batch:
    """A piece of `size` (H, W) from the middle of the labelled pixels: without one a loss means nothing."""
    middle = [int(np.median(places)) if len(places) else 0 for places in np.nonzero(labels != 255)]
    rows, columns = (
        slice(start := min(max(centre - side // 2, 0), whole - side), start + side)
        for centre, side, whole in zip(middle, size, labels.shape, strict=True)
    )
    return image[:, rows, columns], labels[rows, columns]


def _scaled(batch: Batch) -> Batch:
    """Pixels in units of a hundred levels where they have no scale of their own: stand-in weights saturate else."""
    images, labels = batch
    return images.astype(np.float64) / max(float(np.abs(images).max()) / 2, 1.0), labels


def _trainer(subject: Subject, side: Side) -> Any:
    side.share_dropout(subject.seed)
    side.train()
    return side.make_trainer(_criterion(subject, side), share=RATE_SHARE)


def _criterion(subject: Subject, side: Side, edit: Edit = lambda criterion: None) -> Any:
    """The side's own loss, edited, of the outputs as its network gives them; the toolkit's takes them in order.

    Where the port resizes its logits as the reference's loss does, the reference's are resized by the very same
    numbers: Paddle keeps some of them as float32.
    """
    criterion = side.criterion(subject.mining)
    edit(criterion)
    if side.kit["loss"].run is not None:
        return criterion
    form = subject.forms[1]
    if side.name == "port" or form.align_corners != subject.preprocessing.align_corners:
        return lambda outputs, labels: criterion(tuple(in_order(outputs)), labels)
    return lambda outputs, labels: criterion(tuple(form.bring(in_order(outputs), labels.shape[1:])), labels)


def _step(side: Side, trainer: Any, batch: Batch, classes: int) -> float:
    return float(trainer.step(*_prepared(side, batch, classes)))


def _prepared(side: Side, batch: Batch, classes: int) -> tuple[Any, Any]:
    images, labels = _scaled(batch)
    return side.tensor(images), side.tensor(np.where(labels < classes, labels, 255))


def _follow(subject: Subject, side: Side, batches: Sequence[Batch], name: str) -> _Course:
    trainer = _trainer(subject, side)
    run = _Course()
    for number, batch in enumerate(batches, 1):
        subject.progress(f"training, {name}, step {number} / {len(batches)}")
        run.losses.append(_step(side, trainer, batch, subject.num_classes))
        if number == 1:
            run.statistics = statistics_of(side)
    return run


def _isolated(subject: Subject, batches: Sequence[Batch]) -> list[Step]:
    """Each step in both frameworks from torch's parameters, statistics and velocities."""
    sides = subject.torch(), subject.paddle()
    ours, theirs = sides
    trainers = [_trainer(subject, side) for side in sides]
    steps = []
    for number, batch in enumerate(batches, 1):
        subject.progress(f"training, isolated, step {number} / {len(batches)}")
        kept = velocities(ours, trainers[0])
        if number > 1:
            if kept.keys() != velocities(theirs, trainers[1]).keys():
                break  # of an optimiser that keeps something else: each step from one state is the first
            load_state(theirs, ours.state())
            velocities(theirs, trainers[1], kept)
        before, rate = ours.state(), trainers[0].rate
        losses = [
            _step(side, trainer, batch, subject.num_classes) for side, trainer in zip(sides, trainers, strict=True)
        ]
        expected, actual = (side.state() for side in sides)
        steps.append(
            Step(
                rate=rate,
                before=sample(before),
                velocities=sample(kept),
                gradients=sample(ours.gradients()),
                losses=(losses[0], losses[1]),
                after=(sample(expected), sample(actual)),
                apart={
                    "step": _apart(actual, expected, statistics=False),
                    "statistics": _apart(actual, expected, statistics=True),
                },
            )
        )
    return steps


def _apart(actual: State, expected: State, *, statistics: bool) -> Distance:
    """How far running statistics are apart, or all the rest."""
    chosen = {name: array for name, array in expected.items() if name.endswith(STATISTICS) == statistics}
    return worst({name: actual[name] for name in chosen}, chosen, greatest(chosen))


def _check_isolated(steps: Sequence[Step]) -> list[Check]:
    numbered = list(enumerate(steps, 1))
    found = {"loss": max((relative(*reversed(step.losses)), f"step {number}") for number, step in numbered)}
    for kind in ("step", "statistics"):
        ends = ((step.apart[kind], number) for number, step in numbered)
        found[kind] = max((distance, f"step {number}{where and f', {where}'}") for (distance, where), number in ends)
    limits = {"loss": (LOSS, LOSS_REASON), "step": (STEP, STEP_REASON), "statistics": (STATISTIC, STATISTIC_REASON)}
    return [
        Check(name=f"{kind} from the reference's state", measured=measured, limit=limit, reason=reason, detail=where)
        for (kind, (measured, where)), (limit, reason) in zip(found.items(), limits.values(), strict=True)
    ]


def _explain(subject: Subject, steps: Sequence[Step], batch: Batch) -> Found:
    """Why a step is another, where the reference's loss and optimiser are the recipe's."""
    if any(subject.reference_kit[part].run is not None for part in ("loss", "optimiser", "schedule")):
        return Found()
    side = subject.torch()
    side.share_dropout(subject.seed)
    side.train()
    before = side.state()
    images, labels = _prepared(side, batch, subject.num_classes)
    outputs: list[Any] = []

    def again(edit: Edit, is_whole: bool) -> tuple[float, Numbers]:
        criterion = _criterion(subject, side, edit)
        if is_whole:
            load_state(side, before)
            loss = side.make_trainer(criterion, share=RATE_SHARE).step(images, labels)
            return float(loss), sample(side.state())
        with side.without_gradients():
            outputs[:] = outputs or [side.model(images)]
            return float(criterion(outputs[0], labels)), {}

    return explain_steps(steps, subject.recipe, subject.mining is not None, again)
