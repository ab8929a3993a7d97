"""Where in the user's files a layer is written."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from parity.networks.modules import ModuleInfo, is_users_own
from parity.networks.user import OWN


def find_line(modules: Mapping[str, ModuleInfo], path: str, *, built: bool) -> str:
    """`my_ccnet.py:41`: where the layer at `path` is `built`, or else the code of its own class; empty if not known.

    It is built where the nearest class of the user's around it assigns it, and so is a layer of the framework's class.
    """
    info = modules.get(path)
    if info is None:
        return ""
    if info.is_leaf and (built or not is_users_own(info.module)):
        return _where_built(modules, path)
    found = _parsed(type(info.module))
    return "" if found is None else _said(found[0], _forward(found[1]))


def _where_built(modules: Mapping[str, ModuleInfo], path: str) -> str:
    parts = path.split(".")
    for count in range(len(parts) - 1, -1, -1):
        around = modules.get(".".join(parts[:count]))
        found = None if around is None or not is_users_own(around.module) else _parsed(type(around.module))
        if found is not None:
            line = _assignment(found[1], parts[count:])
            return "" if line is None else _said(found[0], line)
    return ""


def _said(file: Path, line: int) -> str:
    return f"{file.name}:{line}"


def _parsed(kind: type) -> tuple[Path, ast.ClassDef] | None:
    """The file of a class of the user's and its syntax, with the file's own line numbers; None if it is not at hand."""
    try:
        code = next(one.__code__ for one in vars(kind).values() if hasattr(one, "__code__"))
        file = Path(code.co_filename).resolve()
        classes = _classes(file, file.stat().st_mtime)
    except (OSError, StopIteration, ValueError, SyntaxError):
        return None
    if any(file.is_relative_to(folder) for folder in OWN) or not is_users_class(kind):
        return None
    return (file, classes[kind.__name__]) if kind.__name__ in classes else None


@lru_cache(maxsize=16)
def _classes(file: Path, _: float) -> dict[str, ast.ClassDef]:
    """The classes of a file, as it was changed last, by name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def is_users_class(kind: type) -> bool:
    """Whether a class is neither framework's."""
    return kind.__module__.partition(".")[0] not in ("torch", "paddle", "paddleseg", "torchvision")


def _forward(tree: ast.ClassDef) -> int:
    """The line of its forward pass, or of the class."""
    return next((node.lineno for node in tree.body if getattr(node, "name", "") == "forward"), tree.lineno)


def _assignment(tree: ast.ClassDef, parts: list[str]) -> int | None:
    """The line that assigns `self.<first part>`, or in it the part of a Sequential that the next one counts."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(_is_own(target, parts[0]) for target in targets):
            assert isinstance(node, ast.Assign)
            return _element(node.value, parts[1:])
    return None


def _element(value: Any, parts: list[str]) -> int:
    if parts and parts[0].isdigit() and isinstance(value, ast.Call):
        number = int(parts[0])
        whole = number < len(value.args) and not any(isinstance(one, ast.Starred) for one in value.args[: number + 1])
        if whole:
            return _element(value.args[number], parts[1:])
    return int(value.lineno)


def _is_own(target: Any, name: str) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == name
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    )
