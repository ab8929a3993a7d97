"""The user's own code: finding what he named, running it apart from ours, and saying what it raised and where.

layer = call_function("my_package.my_ccnet:build", "--port")   # or "path/my_ccnet.py:build"
with users_code({"--port": "my_package.my_ccnet:build"}, "run it"):
    layer(images)
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from parity.errors import ParityInputError
from twins import namespaces
from twins.namespaces import ROOT, user_code

OWN = tuple(ROOT / name for name in ("ccnet_cli", "models_paddle", "models_torch", "parity", "twins"))
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
CALLERS = {
    ("user.py", "call_function"),
    ("user.py", "find_function"),
    ("port_network.py", "__call__"),
    ("user.py", "_import_file"),
    ("follow.py", "wrapped"),
    ("arguments.py", "call"),
    ("stream.py", "_run"),
}
"""File and function of ours that call the user's code."""
REFERENCE_CALLERS = {("stream.py", "_run"), ("influence.py", "_differentiate"), ("passes.py", "_count_expected")}
"""Those of them through which the reference is called, not the port."""


def call_function(spec: str, option: str) -> Any:
    """What the function returns that `spec` names. Raises ParityInputError as `find_function` does, or if it fails."""
    function = find_function(spec, option)
    with users_code({option: spec}, "build it"):
        return function()


def find_function(spec: str, option: str) -> Callable[..., Any]:
    """The function that `spec` names: `package.module:function`, or `path/file.py:function`.

    Modules are importable from the working directory, which comes first, or from the environment. Raises
    ParityInputError, one line that names `option`, if it cannot be imported.
    """
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise ParityInputError(f"{option} {spec}: write it as package.module:function or path/file.py:function")
    path = Path(place) if place.endswith(".py") else None
    if path is not None and not path.is_file():
        raise ParityInputError(f"{option} {spec}: no such file: {path}")
    with users_code({option: spec}, "build it"):
        module = importlib.import_module(place) if path is None else _import_file(path.resolve())
        function: Callable[..., Any] = getattr(module, name)
    return function


@contextmanager
def users_code(specs: Mapping[str, str | None], action: str) -> Iterator[None]:
    """Within, the user's code runs: it finds its own modules first, and what it prints goes to standard error.

    What it raises, an exit included, is a ParityInputError that names the option, the spec and the line; what our own
    code raises stays as it is. `action` says what was done with it. `specs` are those of the reference and the port by
    option; None where the code is ours.
    """
    own = {option: spec for option, spec in specs.items() if spec is not None}
    try:
        with users_names(own.values()):
            yield
    except (Exception, SystemExit) as error:  # what a user's code may raise is anybody's guess; ours goes on
        option = _find_option(error, own)
        frame = _innermost(error)
        if option is None or _is_ours(frame):
            raise
        spec = own[option]
        text = " ".join(str(error).split())
        path = Path(frame.filename)
        where = "" if _is_under(path, OWN) else f", {path.name}:{frame.lineno}"
        what = f"it exits with {text or 0}" if isinstance(error, SystemExit) else f"{type(error).__name__}: {text}"
        raise ParityInputError(f"{option} {spec}: cannot {action} ({what}{where})") from error


@contextmanager
def users_names(specs: Iterable[str]) -> Iterator[None]:
    """Within, the code that `specs` name finds its own modules first, and prints to standard error.

    Where it changes the working directory, that is changed back.
    """
    with ExitStack() as stack:
        stack.callback(os.chdir, Path.cwd())
        for spec in specs:
            stack.enter_context(user_code(_search_folder(spec.rpartition(":")[0])))
            stack.enter_context(printing_to_stderr())
        yield


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Within, what is printed goes to standard error: by Python, and by child processes and native code."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
        os.dup2(kept, 1)
        os.close(kept)


def describe(error: BaseException) -> str:
    """What `error` says, on one line of at most 300 characters, and where it was raised if in a user's code."""
    path = Path((frame := _innermost(error)).filename)
    where = "" if _is_under(path, OWN) else f" ({path.name}:{frame.lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}"


def is_users(error: BaseException) -> bool:
    """Whether what our code calls failed, a port, a reference or a framework for them, and not our code itself."""
    return not _is_ours(_innermost(error))


def _find_option(error: BaseException, specs: Mapping[str, str]) -> str | None:
    """Whose code failed: the reference's, if it was called through ours that calls the reference."""
    frames = {(Path(f.filename).name, f.name) for f in traceback.extract_tb(error.__traceback__)}
    if len(specs) == 1 and not frames & REFERENCE_CALLERS:
        return next(iter(specs))
    option = "--reference" if frames & REFERENCE_CALLERS else "--port"
    return option if option in specs else None


def _search_folder(place: str) -> Path | None:
    """The folder in which the modules beside the user's file are found; None for the working directory."""
    return _package_of(Path(place).resolve())[0] if place.endswith(".py") else None


def _package_of(path: Path) -> tuple[Path, str]:
    """The folder to import from, and the module's name there, of a file that may be in a package."""
    folder, names = path.parent, [path.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def _import_file(path: Path) -> ModuleType:
    name = _package_of(path)[1]
    known = next((m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(path)), None)
    if known is not None:
        return known
    if "." in name:
        return importlib.import_module(name)
    if name in sys.modules:  # of another file
        name = f"{name} in {path.parent}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _innermost(error: BaseException) -> traceback.FrameSummary:
    """The innermost frame that is neither Python's nor an installed package's: whose code it was."""
    frames = traceback.extract_tb(error.__traceback__)
    return next(frame for frame in reversed(frames) if not _is_foreign(Path(frame.filename)))


def _is_foreign(path: Path) -> bool:
    if path == Path(namespaces.__file__):  # within each import statement of the user's
        return True
    if _is_under(path, OWN):  # it may be installed too
        return False
    return not path.is_file() or "site-packages" in path.parts or _is_under(path, [STANDARD_LIBRARY])


def _is_ours(frame: traceback.FrameSummary) -> bool:
    """Whether our code failed, rather than what it calls the user's from."""
    path = Path(frame.filename)
    return _is_under(path, OWN) and (path.name, frame.name) not in CALLERS


def _is_under(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder in path.parents for folder in folders)
