"""Plans: every tensor once, or a list that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converter import make_plan, read_checkpoint
from converter.operations import OPERATIONS
from converter.plan import infer_depth
from families import DEPTHS, canonical_shapes, get_family
from tests.converter.checkpoints import NETWORKS, Array, make_tensors, save_pth, source_shapes, without

Tensors = dict[str, Array]


def flat_tensors(family: str, *, depth: int, num_classes: int) -> Tensors:
    """A checkpoint of any size in no memory: each tensor repeats one value."""
    shapes = source_shapes(family, depth=depth, num_classes=num_classes)
    return {key: np.broadcast_to(np.float32(0.5), shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("num_classes", [1, 19, 21, 150])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("family", NETWORKS)
def test_a_whole_checkpoint_is_planned_one_to_one(family: str, depth: int, num_classes: int) -> None:
    tensors = flat_tensors(family, depth=depth, num_classes=num_classes)
    plan = make_plan(tensors, family)
    assert plan, plan.explain()
    assert (plan.family.name, plan.depth, plan.num_classes) == (family, depth, num_classes)
    sources = [step.source for step in plan.steps]
    assert len(sources) == len(set(sources)) == len(tensors)
    assert set(sources) == set(tensors)
    canonical = canonical_shapes(plan.family.architecture, num_classes=num_classes, depth=depth)
    assert [name for _, name in plan.transfers] == list(canonical)
    for step, name in plan.transfers:
        result = OPERATIONS[step.operation].apply(tensors[step.source])
        assert result.shape == step.shape == canonical[name]
    assert all(step.source.endswith("num_batches_tracked") for step in plan.drops)
    assert all(step.reason for step in plan.steps)


@pytest.mark.parametrize(("family", "folded"), [("official", True), ("pure_pytorch", False)])
def test_only_scales_of_in_place_abn_are_folded(family: str, folded: bool) -> None:
    plan = make_plan(make_tensors(family), family)
    scales = {name for _, name in plan.transfers if name.endswith("norm.weight")}
    assert len(scales) > 20
    assert {name for step, name in plan.transfers if step.operation == "fold"} == (scales if folded else set())


def test_batch_counters_may_be_absent() -> None:
    plan = make_plan(without(make_tensors(), ending="num_batches_tracked"), "official")
    assert plan, plan.explain()
    assert plan.drops == []


def changed(key: str, value: Array) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, key: value}


def poisoned(key: str, value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        array = tensors[key].copy()
        array.flat[-1] = value
        return {**tensors, key: array}

    return change


BIAS = np.zeros(8, np.float32)
DAMAGES: dict[str, tuple[Callable[[Tensors], Tensors], str, str]] = {
    "missing": (lambda tensors: without(tensors, ending="head.cca.gamma"), "missing", "1 missing: head.cca.gamma"),
    "missing, collapsed": (
        lambda tensors: without(tensors, ending="bn2.running_var"),
        "missing",
        "9 missing: bn2.running_var, layer{1…4}.{0…1}.bn2.running_var",
    ),
    "unexpected": (changed("fc.weight", BIAS), "unexpected", "1 unexpected: fc.weight"),
    "unexpected leaf": (changed("bn1.momentum", BIAS), "unexpected", "1 unexpected: bn1.momentum"),
    "unexpected block": (changed("layer2.7.bn1.weight", BIAS), "unexpected", "1 unexpected: layer2.7.bn1.weight"),
    "wrong shape": (
        changed("bn1.bias", BIAS[:7]),
        "wrong shape or dtype",
        "1 wrong shape or dtype: bn1.bias is (7,), backbone.stem.0.norm.bias needs (8,)",
    ),
    "0-d for (1,)": (
        changed("head.cca.gamma", np.array(0.7, np.float32)),
        "wrong shape or dtype",
        "1 wrong shape or dtype: head.cca.gamma is (), head.attention.gamma needs (1,)",
    ),
    "transposed": (
        lambda tensors: {**tensors, "dsn.3.weight": tensors["dsn.3.weight"].transpose(1, 0, 2, 3)},
        "wrong shape or dtype",
        "1 wrong shape or dtype: dsn.3.weight is (64, 19, 1, 1), auxiliary_head.classifier.weight needs (19, 64, 1, 1)",
    ),
    "classes": (
        changed("dsn.3.bias", np.zeros(21, np.float32)),
        "wrong shape or dtype",
        "1 wrong shape or dtype: dsn.3.bias is (21,), auxiliary_head.classifier.bias needs (19,)",
    ),
    "integers": (
        changed("bn1.bias", BIAS.astype(np.int32)),
        "wrong shape or dtype",
        "1 wrong shape or dtype: bn1.bias is int32, backbone.stem.0.norm.bias needs a floating dtype",
    ),
    "NaN": (poisoned("bn1.running_mean", np.nan), "not finite", "1 not finite: bn1.running_mean"),
    "infinity": (poisoned("conv2.weight", np.inf), "not finite", "1 not finite: conv2.weight"),
    "negative infinity": (poisoned("dsn.0.bias", -np.inf), "not finite", "1 not finite: dsn.0.bias"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_problem_is_listed_alone(name: str) -> None:
    damage, listed, expected = DAMAGES[name]
    plan = make_plan(damage(make_tensors()), "official")
    assert not plan
    assert list(plan.problems()) == [listed]
    assert plan.explain() == expected


def test_two_keys_for_one_target(tmp_path: Path) -> None:
    tensors = make_tensors()
    path = save_pth(tmp_path / "twice.pth", {**tensors, "module.conv1.weight": tensors["conv1.weight"] + 1})
    checkpoint = read_checkpoint(path)
    plan = make_plan(checkpoint.tensors, "official", collisions=checkpoint.collisions)
    assert plan.problems() == {"two keys for one target": ("conv1.weight",)}


def test_all_problems_are_reported_together() -> None:
    tensors = make_tensors()
    for damage, _, _ in DAMAGES.values():
        tensors = damage(tensors)
    plan = make_plan(tensors, "official", collisions=["conv3.weight"])
    explained = plan.explain()
    assert explained.splitlines() == [explained]
    assert [part.partition(": ")[0] for part in explained.split("; ")] == [
        "9 missing",
        "3 unexpected",
        "4 wrong shape or dtype",
        "1 two keys for one target",
        "3 not finite",
    ]


def test_values_need_not_be_checked() -> None:
    tensors = poisoned("bn1.bias", np.nan)(make_tensors())
    assert make_plan(tensors, "official", check_values=False)


def test_classes_come_from_the_auxiliary_head_if_the_main_one_has_none() -> None:
    tensors = without(make_tensors(num_classes=5), ending=("head.bottleneck.3.weight", "head.bottleneck.3.bias"))
    plan = make_plan(tensors, "official")
    assert plan.num_classes == 5
    assert plan.problems() == {"missing": ("head.bottleneck.3.weight", "head.bottleneck.3.bias")}


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_of_a_damaged_checkpoint(depth: int) -> None:
    """The nearest depth, so that the problems are few."""
    tensors = flat_tensors("official", depth=depth, num_classes=19)
    last = f"layer3.{DEPTHS[depth].blocks[2] - 1}."
    damaged = {key: value for key, value in tensors.items() if not key.startswith(last)}
    assert infer_depth(damaged, get_family("official")) == depth
    plan = make_plan(damaged, "official")
    assert list(plan.problems()) == ["missing"]
    assert all(key.startswith(last) for key in plan.missing)
