"""Training from converted weights: PaddleSeg's loop and torch's, on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import paddle
import pytest

import paddleseg_port.run
from benchmarks.curves import draw_curves, make_ticks
from benchmarks.finetune import Case, Curve, draw_batches, finetune_in_paddleseg, finetune_in_torch
from paddleseg_port.build import make_builder
from paddleseg_port.components import CCNetNormalize
from paddleseg_port.files import guarded_files
from paddleseg_port.model import use_plain_norm
from tests.models.networks import default_dtype

STEPS = 4
LIMIT = 1e-6
"""Relative, in float64. PaddleSeg's log keeps figures as float32, which is 6e-8; the networks are 1e-8 apart."""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Without dropout, which draws other masks in each framework, and in float64.

    In float32 a machine's kernels decide on which side of its kink an activation close to zero falls, and the fourth
    loss moves by 1e-4 with it: as far as a mistake might move it.
    """
    case = Case(folder=tmp_path_factory.mktemp("finetune"), steps=STEPS, every=STEPS, dropout=0.0)
    case.write()
    normalise = CCNetNormalize.__call__

    def normalise_in_float64(self: CCNetNormalize, data: dict[str, Any]) -> dict[str, Any]:
        found = normalise(self, data)
        return {**found, "img": found["img"].astype("float64")}

    with pytest.MonkeyPatch.context() as patch, default_dtype("float64"):
        patch.setattr(CCNetNormalize, "__call__", normalise_in_float64)
        yield case


@pytest.fixture(scope="module")
def expected(case: Case) -> tuple[Curve, list[float]]:
    """The mIoU and the losses of torch."""
    return finetune_in_torch(case, seed=0)


def test_the_updates_are_the_same(case: Case, expected: tuple[Curve, list[float]]) -> None:
    """The first loss compares forward and criterion; each later one, the update, schedule and batch before it."""
    curve, losses = finetune_in_paddleseg(case, seed=0)
    assert losses == pytest.approx(expected[1], rel=LIMIT)
    assert len(set(losses)) == STEPS
    assert curve == pytest.approx(expected[0], rel=LIMIT)
    assert curve[STEPS] > curve[0]


def mistake_epsilon(model: Any) -> None:
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer.epsilon = layer._epsilon = 1e-3


def mistake_half_precision(model: Any) -> None:
    model.head.refine.conv.register_forward_post_hook(lambda *call: call[-1].astype("float16").astype("float64"))


def mistake_biased_variance(model: Any) -> None:
    use_plain_norm(model)
    model.batch_norm = "biased"


@pytest.mark.parametrize(
    ("mistake", "first"), [(mistake_epsilon, 0), (mistake_half_precision, 0), (mistake_biased_variance, None)]
)
def test_a_mistake_is_seen(
    mistake: Callable[[Any], None],
    first: int | None,
    case: Case,
    expected: tuple[Curve, list[float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the loss of update `first`; a running variance shows in the mIoU alone, since no loss reads it."""
    start = paddleseg_port.run._start_from

    def start_wrong(*arguments: Any) -> Any:
        model = start(*arguments)
        mistake(model)
        return model

    monkeypatch.setattr(paddleseg_port.run, "_start_from", start_wrong)
    curve, losses = finetune_in_paddleseg(case, seed=0)
    wrong = [step for step in range(STEPS) if losses[step] != pytest.approx(expected[1][step], rel=LIMIT)]
    assert wrong[:1] == ([] if first is None else [first])
    assert curve[STEPS] != pytest.approx(expected[0][STEPS], rel=LIMIT)


def test_each_epoch_has_every_picture_in_a_new_order(case: Case) -> None:
    with guarded_files(downloads=False):
        builder = make_builder(case.config, opts=["batch_size=1"])
    labels = [label.numpy().tobytes() for _, label in draw_batches(builder, 32)]
    assert sorted(labels[:16]) == sorted(labels[16:])
    assert len(set(labels)) == 16
    assert labels[:16] != labels[16:]


def test_curves_are_drawn_to_scale() -> None:
    picture = draw_curves({"a": [{0: 0.0, 10: 20.0}], "b<": [{0: 0.0, 10: 10.0}]}, x="updates", y="%")
    assert picture.count("<polyline") == 2
    assert "b&lt;" in picture
    ends = [line.split('"')[1].split()[-1] for line in picture.splitlines() if line.startswith("<polyline")]
    assert ends[0].split(",")[0] == ends[1].split(",")[0]
    assert float(ends[0].split(",")[1]) < float(ends[1].split(",")[1])


@pytest.mark.parametrize(
    ("most", "ticks"),
    [(31.2, [0, 5, 10, 15, 20, 25, 30]), (120, [0, 20, 40, 60, 80, 100, 120]), (0.25, [0, 0.05, 0.1, 0.15, 0.2, 0.25])],
)
def test_ticks_are_round(most: float, ticks: list[float]) -> None:
    assert make_ticks(most) == pytest.approx(ticks)
