"""Our modules and the user's own, where both have one of the same name.

Installed packages share one name space with the code of whoever uses them. A command must find our `converter` although
the working directory has a folder of that name, and the user's port must find his own. So our commands claim our names
before they import anything (`claim`), and while the user's code runs (`user_code`), each `import` statement looks where
the code that it stands in belongs: ours in our table of modules, all other in the user's.

    python namespaces.py MODULE ARGUMENT…    runs MODULE of ours as a script, whatever the working directory has
"""

from __future__ import annotations

import builtins
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NAMES = frozenset(
    {
        "ccnet_cli",
        "cityscapes",
        "cli",
        "converter",
        "families",
        "models_paddle",
        "models_torch",
        "paddleseg_port",
        "parity",
        "recipe",
        "twins",
    }
)
"""Our folders, and `cli.py`."""
FOLDERS = tuple(str(ROOT / name) + suffix for name in NAMES for suffix in ("/", "\\", ".py"))

_hidden: dict[str, dict[str, ModuleType]] = {}
"""Top name -> the modules under it, by full name, of the side that `sys.modules` does not show."""
_users: set[str] = set()
"""Top names under which `sys.modules` shows the user's modules."""


class _OwnFinder:
    """Finds our top-level modules in our own folder, or the user's anywhere else while his are shown."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if path is not None or name not in NAMES:
            return None
        return PathFinder.find_spec(name, _elsewhere() if name in _users else [str(ROOT)])


def claim() -> None:
    """Let our names mean our modules from here on, wherever `sys.path` would find them first."""
    if _OwnFinder not in sys.meta_path:
        sys.meta_path.insert(0, _OwnFinder)


@contextmanager
def user_code(folder: Path | None = None) -> Iterator[None]:
    """Within, code that is not ours finds the user's modules first, those in `folder` before all others.

    What it adds to `sys.path` stays, and what it takes out comes back, last; only `folder` is taken out again.
    """
    own_import = builtins.__import__

    def importing(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = (str((globals or {}).get("__package__")) if level else name).partition(".")[0]
        with _showing(top, users=not _is_ours(globals) and _has_own(top)) if top in NAMES else ExitStack():
            return own_import(name, globals, locals, fromlist, level)

    claim()
    entry, entries = str(folder or Path.cwd()), list(sys.path)
    sys.path.insert(0, entry)
    with ExitStack() as stack:
        stack.callback(lambda: sys.path.extend(place for place in entries if place not in sys.path))
        stack.callback(_remove, entry)
        for top in NAMES:  # what looks a module up by its name, as a registry does, finds the user's
            stack.enter_context(_showing(top, users=_has_own(top)))
        stack.callback(setattr, builtins, "__import__", own_import)
        builtins.__import__ = importing
        yield


def _is_ours(names: Mapping[str, Any] | None) -> bool:
    """Whether the code whose global `names` these are is ours."""
    return str((names or {}).get("__file__", "")).startswith(FOLDERS)


def _has_own(top: str) -> bool:
    """Whether the user has a module or a folder of modules called `top`."""
    if top in _users:
        return True
    hidden = next(iter(_hidden.get(top, {}).values()), None)
    if hidden is not None:  # the other side is shown, and it is not the user's
        return True
    spec = PathFinder.find_spec(top, _elsewhere())
    if spec is None:
        return False
    if spec.origin is not None:
        return not spec.origin.startswith(FOLDERS)
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    return any(next(place.glob(pattern), None) for place in places for pattern in ("*.py", "*/*.py"))


def _elsewhere() -> list[str]:
    """Where the user's modules are: a folder of his without `__init__.py` would yield to ours."""
    return [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


@contextmanager
def _showing(top: str, *, users: bool) -> Iterator[None]:
    """Within, `sys.modules` shows the user's or our modules under `top`."""
    if users == (top in _users):
        yield
        return
    _swap(top)
    try:
        yield
    finally:
        _swap(top)


def _swap(top: str) -> None:
    shown = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == top}
    for name in shown:
        del sys.modules[name]
    sys.modules.update(_hidden.pop(top, {}))
    _hidden[top] = shown
    _users.symmetric_difference_update({top})


def _remove(entry: str) -> None:
    if entry in sys.path:
        sys.path.remove(entry)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this file's folder
    from twins import namespaces

    sys.path.append(sys.path.pop(0))
    namespaces.claim()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
