"""What is said of each family agrees with what is known of it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from families import FAMILIES, Family, get_family

REPOSITORY = Path(__file__).parents[2]


def test_lookup() -> None:
    assert get_family("official") is FAMILIES["official"]
    with pytest.raises(ValueError, match=f"unknown family 'Official'; known: {', '.join(sorted(FAMILIES))}"):
        get_family("Official")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_families_are_frozen(family: Family) -> None:
    assert FAMILIES[family.name] is family
    assert family.description
    with pytest.raises(dataclasses.FrozenInstanceError):
        family.architecture.dropout_rate = 0.5  # type: ignore[misc]


def test_in_what_the_pure_pytorch_family_differs() -> None:
    official, pure = get_family("official").architecture, get_family("pure_pytorch").architecture
    values = dataclasses.asdict(pure)
    differing = {name for name, value in dataclasses.asdict(official).items() if value != values[name]}
    assert differing == {"norm_epsilon", "head_activation", "fuse_activation", "auxiliary_activation"}
    assert pure.norm_epsilon == 1e-5
    assert official.norm_epsilon == 9.999999747378752e-06
    assert official.leaky_slope == 0.009999999776482582


def test_published_figures_of_the_official_family() -> None:
    assert [(figure.recurrence, figure.miou) for figure in get_family("official").published] == [
        (1, 77.91),
        (2, 79.74),
        (2, 80.0),
    ]


@pytest.mark.parametrize("package", ["families", "converter"])
def test_no_framework_is_imported(package: str) -> None:
    command = [sys.executable, "-c", f"import sys, {package}; print('torch' in sys.modules, 'paddle' in sys.modules)"]
    process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["False", "False"]
