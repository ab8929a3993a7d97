"""Differences of architectures, in words, and none forgotten."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from families import FAMILIES, Architecture, get_family
from families.architecture import FLOAT32_EPSILON
from families.differences import TRAITS, describe, list_differences

MMSEG = get_family("mmseg").architecture
OTHER = {
    "stem_widths": (1, 2, 3),
    "pool_ceil_mode": True,
    "average_pool_shortcut": True,
    "contracted_dilation": False,
    "norm_epsilon": 1e-3,
    "head_activation": "leaky_relu",
    "fuse_activation": "leaky_relu",
    "fuse_conv_bias": True,
    "auxiliary_activation": "leaky_relu",
    "auxiliary_conv_bias": True,
    "auxiliary_width": 512,
    "leaky_slope": 0.2,
    "dropout": "element",
    "dropout_rate": 0.5,
    "auxiliary": False,
}


def test_every_field_has_a_name() -> None:
    names = [field.name for field in fields(Architecture)]
    assert list(TRAITS) == names
    assert set(OTHER) == set(names) - {"heads"}


@pytest.mark.parametrize("name", OTHER)
def test_each_field_is_seen(name: str) -> None:
    (difference,) = list_differences(MMSEG, replace(MMSEG, **{name: OTHER[name]}))
    assert difference.startswith(TRAITS[name].label)
    assert ", not " in difference


@pytest.mark.parametrize("family", FAMILIES)
def test_none_from_itself(family: str) -> None:
    architecture = get_family(family).architecture
    assert list_differences(architecture, architecture) == []
    assert list_differences(architecture, replace(architecture, norm_epsilon=architecture.norm_epsilon)) == []


def test_a_c_float_is_the_double_it_stands_for() -> None:
    assert list_differences(replace(MMSEG, norm_epsilon=1e-5), replace(MMSEG, norm_epsilon=FLOAT32_EPSILON)) == []
    assert list_differences(replace(MMSEG, norm_epsilon=1e-5), replace(MMSEG, norm_epsilon=1.001e-5))


def test_heads_are_not_compared_with_none() -> None:
    official, imagenet = get_family("official").architecture, get_family("imagenet").architecture
    assert list_differences(official, imagenet) == ["heads two, not none"]
    assert "auxiliary width" not in describe(imagenet)
    assert describe(official)["stem"] == "64-64-128"
