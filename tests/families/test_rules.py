"""Key tables against the reference implementations' own state dictionaries, and tables that are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converter.operations import OPERATIONS
from families import DEPTHS, FAMILIES, Family, Rule, canonical_shapes, get_family
from families.rules import LAYERS, assign, match_template
from tests.converter.checkpoints import source_shapes
from tests.golden.weights import load_manifest


def names(family: Family, depth: int = 18) -> list[str]:
    return list(canonical_shapes(family.architecture, num_classes=19, depth=depth))


@pytest.mark.parametrize("family", ["official", "pure_pytorch"])
def test_keys_and_shapes_are_the_reference_implementation_s(family: str) -> None:
    reference = {key: shape for key, shape, _ in load_manifest(family)}
    assert source_shapes(family, depth=101) == reference


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_has_one_key(family: str, depth: int) -> None:
    chosen = FAMILIES[family]
    assignments = assign(chosen, names(chosen, depth))
    sources = [item.source for item in assignments]
    assert len(sources) == len(set(sources))
    assert [item.target for item in assignments if item.target] == names(chosen, depth)
    assert all(item.operation in OPERATIONS for item in assignments if item.target)
    assert all(item.operation == "drop" for item in assignments if item.target is None)


def test_counters_are_dropped_with_their_layer() -> None:
    dropped = [item.source for item in assign(get_family("official"), names(get_family("official"))) if not item.target]
    assert "layer1.0.bn1.num_batches_tracked" in dropped
    assert "head.cca.num_batches_tracked" not in dropped
    assert all(key.endswith(".num_batches_tracked") for key in dropped)


@pytest.mark.parametrize("missing", range(len(get_family("official").rules)))
def test_a_table_with_a_rule_too_few(missing: int) -> None:
    family = get_family("official")
    rules = family.rules[:missing] + family.rules[missing + 1 :]
    with pytest.raises(ValueError, match="family official: 0 rules for "):
        assign(replace(family, rules=rules), names(family))


@pytest.mark.parametrize(
    "rule",
    [
        Rule("stem", "backbone.stem.0.conv", "conv"),
        Rule("block{stage}.{block}", "backbone.stage{stage}.{block}.reduce.norm", "norm"),
        Rule("gamma", "head.attention.gamma", "scalar_scale"),
    ],
)
def test_a_table_with_two_rules_for_one_tensor(rule: Rule) -> None:
    family = get_family("official")
    with pytest.raises(ValueError, match="family official: 2 rules for "):
        assign(replace(family, rules=(*family.rules, rule)), names(family))


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        ("layer{stage}.{block}.conv1", "layer3.22.conv1", {"stage": "3", "block": "22"}),
        ("layer{stage}.{block}.conv1", "layer3.22.conv10", None),
        ("layer{stage}.{block}.conv1", "layer3.x.conv1", None),
        ("layer{stage}.{block}.conv1", "module.layer3.0.conv1", None),
        ("head.conva.0", "head.conva.0", {}),
        ("head.conva.0", "headxconva.0", None),
        ("conv1", "conv1\n", None),
    ],
)
def test_templates(template: str, name: str, expected: dict[str, str] | None) -> None:
    assert match_template(template, name) == expected


def test_leaves_of_a_layer_are_distinct() -> None:
    for leaves in LAYERS.values():
        assert len({leaf.source for leaf in leaves}) == len(leaves)
        assert all(leaf.reason for leaf in leaves)
