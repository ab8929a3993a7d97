"""Folders, and the rooms of `parity`, import downwards only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = (
    ("families",),
    ("converter", "recipe"),
    ("models_paddle", "models_torch"),
    ("twins",),
    ("cityscapes",),
    ("paddleseg_port",),
    ("parity",),
    ("ccnet_cli",),
    ("cli",),
)
"""From the cellar to the roof."""
PARITY = (
    ("parity.environment", "parity.errors"),
    ("parity.verdicts",),
    ("parity.networks",),
    ("parity.causes", "parity.pairing"),
    ("parity.engine",),
    ("parity.reports",),
    ("parity.options",),
    ("parity.build",),
    ("parity.command",),
    ("parity.certify", "parity.conversion", "parity.recordings", "parity.testing"),
    ("parity.mutants",),
)


def find_climbing(imports: Iterator[tuple[str, str]], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """The imports (importing module, imported module) that do not go down."""
    floor_of = {room: number for number, rooms in enumerate(floors) for room in rooms}
    depth = floors[0][0].count(".") + 1
    found = []
    for importing, imported in imports:
        upper, lower = (".".join(module.split(".")[:depth]) for module in (importing, imported))
        if upper in floor_of and lower in floor_of and upper != lower and floor_of[lower] >= floor_of[upper]:
            found.append(f"{importing} imports {imported}")
    return found


def list_imports() -> Iterator[tuple[str, str]]:
    for folder in (room for rooms in HOUSE for room in rooms):
        for path in [ROOT / f"{folder}.py"] if folder == "cli" else sorted((ROOT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    yield from ((module, f"{node.module}.{name.name}") for name in node.names)
                elif isinstance(node, ast.Import):
                    yield from ((module, name.name) for name in node.names)


@pytest.mark.parametrize("floors", [HOUSE, PARITY], ids=["house", "parity"])
def test_imports_go_down(floors: tuple[tuple[str, ...], ...]) -> None:
    assert find_climbing(list_imports(), floors) == []


def test_every_folder_has_its_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    rooms = {
        f"parity.{path.stem}"
        for path in (ROOT / "parity").iterdir()
        if path.suffix in ("", ".py") and path.name[:2] != "__"
    }
    assert packages | {"cli"} == {room for rooms in HOUSE for room in rooms}
    assert rooms == {room for rooms in PARITY for room in rooms}


def test_one_that_climbs_is_seen() -> None:
    assert find_climbing(iter([("families.x", "parity.engine"), ("cli", "families")]), HOUSE) == [
        "families.x imports parity.engine"
    ]
    same_floor = iter([("parity.causes.settings", "parity.pairing.match")])
    assert find_climbing(same_floor, PARITY) == ["parity.causes.settings imports parity.pairing.match"]
