"""Stand-in checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converter import detect
from families import FAMILIES
from twins.standin import make_state_dict

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("family", ["official", "pure_pytorch"])
def test_layout_is_the_references(family):
    manifest = json.loads((GOLDEN / f"manifest_{family}.json").read_text())
    state = make_state_dict(family)
    assert {key: (list(array.shape), str(array.dtype)) for key, array in state.items()} == {
        key: (shape, dtype) for key, shape, dtype in manifest
    }


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_detected_as_its_family(family):
    detection = detect(make_state_dict(family, depth=18, num_classes=7), path="stand-in")
    plan = detection.plan
    assert plan
    assert (plan.family.name, plan.depth) == (family, 18)
    assert plan.num_classes == (7 if plan.family.architecture.heads else 19)  # a backbone alone knows of no classes


def test_values_are_a_function_of_the_seed_alone():
    first, again, other = (make_state_dict(depth=18, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["conv1.weight"], other["conv1.weight"])


def test_folded_scales_have_both_signs_and_gamma_is_not_zero():
    state = make_state_dict(depth=18)
    assert (state["head.convb.1.weight"] < 0).any()
    assert (state["head.convb.1.weight"] > 0).any()
    assert state["head.cca.gamma"].all()
