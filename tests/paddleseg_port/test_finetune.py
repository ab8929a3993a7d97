"""Training from converted weights: PaddleSeg's loop and torch's, on the same batches."""

from __future__ import annotations

import pytest

from benchmarks.curves import draw_curves, make_ticks
from benchmarks.finetune import Case, draw_batches, finetune_in_paddleseg, finetune_in_torch
from paddleseg_port.build import make_builder

STEPS = 4


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Without dropout, which draws other masks in each framework."""
    case = Case(folder=tmp_path_factory.mktemp("finetune"), steps=STEPS, every=STEPS, dropout=0.0)
    case.write()
    return case


def test_the_updates_are_the_same(case: Case) -> None:
    """The first loss compares forward and criterion; each later one, the update, schedule and batch before it."""
    (curve, losses), (expected_curve, expected_losses) = (
        finetune(case, seed=0) for finetune in (finetune_in_paddleseg, finetune_in_torch)
    )
    assert len(losses) == len(expected_losses) == STEPS
    assert losses == pytest.approx(expected_losses, rel=1e-4)
    assert losses[0] == pytest.approx(expected_losses[0], rel=1e-6)
    assert len(set(losses)) == STEPS
    assert curve[0] == pytest.approx(expected_curve[0], abs=1e-3)
    assert curve[STEPS] == pytest.approx(expected_curve[STEPS], abs=0.05)
    assert curve[STEPS] > curve[0]


def test_each_epoch_has_every_picture_in_a_new_order(case: Case) -> None:
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
