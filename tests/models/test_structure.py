"""The twins' module trees, tensors, source and arguments: one and the same in both frameworks."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

import pytest

from converter import to_paddle
from families import DEPTHS, FAMILIES, canonical_shapes
from tests.models.networks import PACKAGES
from tests.references.twins import FRAMEWORKS

NETWORKS = [name for name, family in FAMILIES.items() if family.architecture.heads]
MIRRORED = (
    "attention.py",
    "backbone.py",
    "ccnet.py",
    "data.py",
    "initialise.py",
    "layers.py",
    "losses.py",
    "trainer.py",
    "weights.py",
)
PADDLE_ONLY = ("BatchNorm.forward(self, features: Tensor)",)
"""Torch's own rounds as the reference does; Paddle's float64 evaluation is written out."""


def build(framework: str, family: str = "official", **size: int) -> Any:
    return PACKAGES[framework].build_uninitialised(family, **{"num_classes": 19, "recurrence": 2, "depth": 18, **size})


def tree(model: Any) -> list[tuple[str, str]]:
    """(path, class) of every module, in order; classes as torch spells them."""
    is_torch = hasattr(model, "named_modules")
    modules = model.named_modules() if is_torch else model.named_sublayers(include_self=True)
    return [(path, type(module).__name__.replace("2D", "2d")) for path, module in modules]


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the state dict, but for torch's batch counters."""
    tensors = model.state_dict().items()
    return {name: tuple(tensor.shape) for name, tensor in tensors if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("family", NETWORKS)
def test_module_trees_are_equal(family: str, depth: int) -> None:
    ours, theirs = (tree(build(framework, family, depth=depth)) for framework in FRAMEWORKS)
    assert ours == theirs
    assert dict(ours)["head.attention"] == "CrissCrossAttention"
    assert sum(name == "Bottleneck" for _, name in ours) == sum(DEPTHS[depth].blocks)


def test_another_module_tree_is_seen() -> None:
    renamed = build("paddle")
    renamed.head.attention.queries = renamed.head.attention.query
    del renamed.head.attention.query
    assert tree(renamed) != tree(build("torch"))
    assert tree(build("paddle", "mmseg")) != tree(build("torch", "official"))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("family", NETWORKS)
def test_state_dicts_are_canonical(family: str, depth: int) -> None:
    canonical = canonical_shapes(FAMILIES[family].architecture, num_classes=5, depth=depth)
    of_torch, of_paddle = (shapes(build(framework, family, depth=depth, num_classes=5)) for framework in FRAMEWORKS)
    assert list(of_torch.items()) == list(canonical.items())
    assert list(of_paddle.items()) == [(to_paddle(name), shape) for name, shape in canonical.items()]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_recurrence_is_in_no_state_dict(framework: str) -> None:
    states = [shapes(build(framework, recurrence=recurrence)) for recurrence in range(4)]
    assert all(state == states[0] for state in states)
    assert build(framework, recurrence=3).head.recurrence == 3


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "unknown"}, "unknown family 'unknown'; known: .*official"),
        ({"depth": 34}, "unknown depth 34; known: 18, 50, 101"),
        ({"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ({"recurrence": -1}, "recurrence must be at least 0, not -1"),
    ],
)
def test_impossible_networks_are_refused(framework: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PACKAGES[framework].build_ccnet(**{"depth": 18, **arguments})


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_fresh_network_is_of_the_default_size(framework: str) -> None:
    model = PACKAGES[framework].build_ccnet(depth=18)
    assert model.training
    assert model.head.recurrence == 2
    assert shapes(model) == shapes(build(framework))
    assert {str(parameter.dtype).rpartition(".")[2] for parameter in model.parameters()} == {"float32"}
    assert float(model.head.attention.gamma) == 0


def outline(path: Path) -> list[str]:
    """Public classes, functions and their arguments, in order, class names spelt as torch does."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.append(f"{node.name}({', '.join(map(ast.unparse, node.bases))})")
            found += [f"{node.name}.{line}" for line in signatures(node.body)]
    found += signatures(ast.parse(path.read_text(encoding="utf-8")).body)
    renamed = {"2D": "2d", "nn.Layer": "nn.Module", "UnbiasedBatchNorm": "nn.BatchNorm2d"}
    return [functools.reduce(lambda line, pair: line.replace(*pair), renamed.items(), line) for line in found]


def signatures(body: list[ast.stmt]) -> list[str]:
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    return [f"{node.name}({ast.unparse(node.args)})" for node in functions if not re.match("_[^_]", node.name)]


@pytest.mark.parametrize("file", MIRRORED)
def test_sources_have_one_outline(file: str) -> None:
    ours, theirs = (outline(Path(PACKAGES[framework].__path__[0]) / file) for framework in FRAMEWORKS)
    assert [line for line in theirs if line not in PADDLE_ONLY] == ours
    assert ours
