"""Many names in few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.names import LISTED, collapse, count, summarize

COLLAPSED = {
    "one": (["conv1.weight"], {"conv1.weight": 1}),
    "range": ([f"layer3.{i}.bn1.weight" for i in range(23)], {"layer3.{0…22}.bn1.weight": 23}),
    "two ranges": (["l1.0.w", "l2.3.w", "l1.5.w"], {"l{1…2}.{0…5}.w": 3}),
    "numeric order": (["a.9", "a.10"], {"a.{9…10}": 2}),
    "apart": (["a.1.w", "b.1.w", "a.2.w"], {"a.{1…2}.w": 2, "b.1.w": 1}),
    "number of numbers": (["a.1", "a.1.2"], {"a.1": 1, "a.1.2": 1}),
    "no number": (["gamma", "gamma"], {"gamma": 2}),
    "shapes": (["x is (3, 4), y needs (4, 4)"], {"x is (3, 4), y needs (4, 4)": 1}),
    "nothing": ([], {}),
    "a sign of its own": (["a#.w", "a1.w"], {"a#.w": 1, "a1.w": 1}),
    "sign and number": (["a#1.w", "a#2.w"], {"a#{1…2}.w": 2}),
    "leading zero": (["a.01.w", "a.1.w"], {"a.01.w": 1, "a.1.w": 1}),
    "number too long": (["a" + "9" * 5000], {"a" + "9" * 5000: 1}),
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_collapse(name: str) -> None:
    names, expected = COLLAPSED[name]
    assert collapse(names) == expected


@given(st.lists(st.text("ab.#0129_", max_size=8), max_size=12))
def test_every_name_is_counted(names: list[str]) -> None:
    assert sum(collapse(names).values()) == len(names)


def test_summarize() -> None:
    few = [chr(97 + i) for i in range(LISTED)]
    assert summarize(few) == ", ".join(few)
    assert summarize([*few, "y", "z"]) == ", ".join(few) + " and 2 more"
    assert summarize([f"layer1.{i}.w" for i in range(100)]) == "layer1.{0…99}.w"
    assert summarize([]) == ""


def test_numbers_and_words_agree() -> None:
    assert count(1, "weight", " differs", " differ") == "1 weight differs"
    assert count(2, "weight", " differs", " differ") == "2 weights differ"
    assert count(0, "probe") == "0 probes"
    assert count(2, "class") == "2 classes"
