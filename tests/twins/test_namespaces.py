"""Which of two modules of one name an import finds: ours, or the user's."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import converter
from twins import namespaces
from twins.namespaces import NAMES, ROOT, user_code


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """The user's folder, with a `converter` of his own."""
    monkeypatch.setattr(sys, "path", list(dict.fromkeys(sys.path)))
    monkeypatch.setattr(namespaces, "_hidden", {})
    known = set(sys.modules)
    (tmp_path / "converter").mkdir()
    (tmp_path / "converter" / "__init__.py").write_text("WHOSE = 'mine'\n")
    (tmp_path / "converter" / "helpers.py").write_text("def ours():\n    import families.rules\n    return families\n")
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def run(code: str, file: Path) -> dict[str, object]:
    """What the code defines, as if it stood in that file."""
    names: dict[str, object] = {"__file__": str(file), "__name__": file.stem, "__package__": ""}
    exec(code, names)
    return names


def test_each_import_finds_what_belongs_to_its_file(folder):
    with user_code(folder):
        users = run("import converter\nfrom converter.helpers import ours\n", folder / "port.py")
        own = run("import converter\nfrom converter import read_checkpoint\n", ROOT / "parity" / "networks" / "port.py")
        assert users["converter"].WHOSE == "mine"
        assert own["converter"] is converter
        assert importlib.import_module("converter") is users["converter"]
        assert users["ours"]() is sys.modules["families"]  # where the user has none, ours
    assert sys.modules["converter"] is converter
    assert "converter.helpers" not in sys.modules


def test_the_users_modules_are_the_same_the_next_time(folder):
    found = []
    for _ in range(2):
        with user_code(folder):
            found.append(run("import converter", folder / "port.py")["converter"])
    assert found[0] is found[1]
    assert found[0] is not converter


def test_one_folder_within_another(folder, tmp_path_factory):
    """The reference's, then the port's."""
    other = tmp_path_factory.mktemp("other")
    with user_code(folder), user_code(other):
        assert run("import converter", other / "port.py")["converter"].WHOSE == "mine"
        assert sys.path[0] == str(other)
    assert sys.modules["converter"] is converter


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_everything_is_as_before_whatever_the_users_code_raises(folder, kind):
    path, importing = list(sys.path), builtins.__import__
    with pytest.raises(kind), user_code(folder):
        run(f"import converter\nraise {kind.__name__}", folder / "port.py")
    assert sys.path == path
    assert builtins.__import__ is importing
    assert sys.modules["converter"] is converter


def test_the_users_changes_of_the_path_stay_and_lose_nothing(folder):
    before = list(sys.path)
    with user_code(folder):
        sys.path[:] = ["/added"]
    assert sys.path == ["/added", *before]


@pytest.mark.parametrize(("file", "found"), [("helpers.py", True), ("deep/helpers.py", True), ("weights.txt", False)])
def test_a_folder_is_a_module_if_there_are_modules_in_it(folder, file, found):
    path = folder / "recipe" / file
    path.parent.mkdir(parents=True)
    path.touch()
    with user_code(folder):
        module = run("import recipe", folder / "port.py")["recipe"]
        assert (str(folder) in str(module.__path__)) is found


def test_a_folder_without_init_is_found_before_an_installed_package(folder, monkeypatch):
    """Python itself would take the package, wherever it stands on the path."""
    (folder / "recipe").mkdir()
    (folder / "recipe" / "mine.py").touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    with user_code(folder):
        assert run("import recipe.mine", folder / "port.py")["recipe"].mine.__file__ == str(
            folder / "recipe" / "mine.py"
        )


def test_every_folder_of_ours_is_claimed():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages | {"cli"} == NAMES


def test_claiming_twice_is_claiming_once():
    namespaces.claim()
    finders = list(sys.meta_path)
    namespaces.claim()
    assert sys.meta_path == finders
