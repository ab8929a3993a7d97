"""The README's table of families is what the code can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.directions import possible_keys, render_table
from converter.files.write import FORMATS
from families import FAMILIES, get_family

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_has_the_table() -> None:
    assert render_table() in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_goes_to_both_twins_and_home(family: str) -> None:
    keys = {ending: possible_keys(get_family(family), ending) for ending in FORMATS}
    assert keys[".pdparams"][0] == "canonical"
    assert all("canonical" in possible for possible in keys.values())
    assert {key for possible in keys.values() for key in possible} == {"canonical", family}
    assert family in keys[".safetensors"]


def test_a_families_name_is_enough_to_be_in_it() -> None:
    rows = render_table().splitlines()
    assert len(rows) == 2 + len(FAMILIES)
    for family, row in zip(sorted(FAMILIES), rows[2:], strict=True):
        assert row.startswith(f"| `{family}`: ")
