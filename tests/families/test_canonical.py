"""The canonical tensors: sizes by hand, and both twins held to them."""

from __future__ import annotations

import math
from typing import Any

import pytest

import models_paddle
import models_torch
from converter import to_paddle
from converter.plan import expected_tensors
from families import DEPTHS, FAMILIES, canonical_shapes, check_size, get_family
from models_torch import build_ccnet
from tests.converter.checkpoints import NETWORKS

OFFICIAL = get_family("official").architecture


@pytest.mark.parametrize(("depth", "blocks"), [(18, 8), (50, 16), (101, 33)])
def test_number_of_tensors(depth: int, blocks: int) -> None:
    """Five per convolution and norm; three of them in a stem or block, one in a shortcut, four in the heads."""
    conv_norms = 3 + 3 * blocks + 4 + 4
    biases_of_auxiliary, gamma, attention, classifiers = 1, 1, 6, 4
    names = canonical_shapes(OFFICIAL, num_classes=19, depth=depth)
    assert len(names) == 5 * conv_norms + biases_of_auxiliary + gamma + attention + classifiers


SHAPES = {
    "backbone.stem.0.conv.weight": (64, 3, 3, 3),
    "backbone.stem.2.conv.weight": (128, 64, 3, 3),
    "backbone.stage1.0.reduce.conv.weight": (64, 128, 1, 1),
    "backbone.stage1.0.shortcut.conv.weight": (256, 128, 1, 1),
    "backbone.stage3.22.spatial.conv.weight": (256, 256, 3, 3),
    "backbone.stage4.2.expand.norm.running_var": (2048,),
    "head.reduce.conv.weight": (512, 2048, 3, 3),
    "head.attention.gamma": (1,),
    "head.attention.query.weight": (64, 512, 1, 1),
    "head.attention.value.bias": (512,),
    "head.fuse.conv.weight": (512, 2560, 3, 3),
    "head.classifier.weight": (19, 512, 1, 1),
    "auxiliary_head.fuse.conv.weight": (512, 1024, 3, 3),
    "auxiliary_head.fuse.conv.bias": (512,),
    "auxiliary_head.classifier.bias": (19,),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_the_published_size(name: str) -> None:
    assert canonical_shapes(OFFICIAL, num_classes=19, depth=101)[name] == SHAPES[name]


def test_size_of_the_published_network() -> None:
    """71 million values: the 286 MB of the published files."""
    shapes = canonical_shapes(OFFICIAL, num_classes=19, depth=101)
    assert round(sum(map(math.prod, shapes.values())) * 4 / 1e6) in range(280, 290)


@pytest.mark.parametrize("num_classes", [1, 19, 150])
@pytest.mark.parametrize("family", NETWORKS)
def test_the_twin_has_these_tensors_in_this_order(family: str, num_classes: int) -> None:
    shapes = canonical_shapes(FAMILIES[family].architecture, num_classes=num_classes, depth=18)
    state = build_ccnet(family, num_classes=num_classes, depth=18).state_dict()
    twin = {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert list(twin.items()) == list(shapes.items())


@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize("package", [models_paddle, models_torch], ids=["paddle", "torch"])
@pytest.mark.parametrize(
    ("family", "depth"), [*((family, 18) for family in FAMILIES), ("official", 50), ("mmseg", 101)]
)
def test_what_a_conversion_is_held_to_is_what_the_twins_load(
    family: str, depth: int, package: Any, auxiliary: bool
) -> None:
    """`ccnet-convert` builds no network: it compares with this description, so that it needs no framework."""
    chosen = FAMILIES[family]
    heads = bool(chosen.architecture.heads)
    described = chosen if auxiliary or not heads else chosen.without_auxiliary()
    assignments, shapes = expected_tensors(described, depth=depth, num_classes=19)
    rename = to_paddle if package is models_paddle else str
    expected = {rename(item.target): shapes[item.target] for item in assignments if item.target is not None}
    size = {"num_classes": 19, "recurrence": 0, "depth": depth, "auxiliary": auxiliary or not heads}
    state = package.build_uninitialised(family, **size).state_dict()
    twin = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert {name: tuple(tensor.shape) for name, tensor in twin.items()} == expected
    assert all("float32" in str(tensor.dtype) for tensor in twin.values())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"depth": 34}, "unknown depth 34; known: 18, 50, 101"),
        ({"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ({"recurrence": -1}, "recurrence must be at least 0, not -1"),
    ],
)
def test_sizes_that_cannot_be_built(size: dict[str, int], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        check_size(**{"num_classes": 19, "recurrence": 2, "depth": 101, **size})


@pytest.mark.parametrize("depth", DEPTHS)
def test_sizes_that_can_be_built(depth: int) -> None:
    check_size(num_classes=1, recurrence=0, depth=depth)
