"""The gate through which PaddleSeg reaches files: none that it opens may run code, and none is fetched unasked.

`paddle.load` unpickles whatever it is given, and PaddleSeg calls it on a config's `pretrained` and on the folder
of `--resume_model`; its data sets open pictures in every format that Pillow knows, some of which start other programs,
and fetch themselves. While `guarded_files` holds, these calls come here. `make_builder` refuses to work without it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlparse

import numpy as np
import paddle
from paddleseg.utils import download, utils
from PIL import Image

from converter.errors import InputError
from converter.files import check_readable, read_checkpoint
from converter.files.pdparams import ALLOWED, PARAMETER_NAMES
from converter.files.unpickle import AllowedGlobals, load_plain
from recipe.pictures import FORMATS

State = dict[str, Any]

OPTIMISER_ENDING = ".pdopt"
DEEPEST = 3
"""Dictionaries and lists in one another, in an optimiser's state."""
READ: list[Path] = []
"""Files that `load` has read since `guarded_files` began."""
LOADERS = (paddle, paddle.framework, paddle.framework.io)
"""Where `load` is found."""


def _scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(data, dtype.dtype)[0].item()


STATE_GLOBALS: AllowedGlobals = {
    **ALLOWED,
    **{(module, "tuple"): tuple for module in ("builtins", "__builtin__")},  # a tensor: its name and its array
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}


@contextmanager
def guarded_files(*, downloads: bool) -> Iterator[None]:
    """Within, `paddle.load` is `load`, Pillow opens documented formats, and a URL is fetched only if `downloads`."""
    READ.clear()
    with ExitStack() as stack:
        for module in LOADERS:
            stack.enter_context(patch.object(module, "load", load))
        stack.enter_context(patch.object(Image, "open", partial(_open_picture, Image.open)))
        if downloads:
            if safe := getattr(tarfile, "data_filter", None):  # of late Pythons: nothing is unpacked elsewhere
                stack.enter_context(patch.object(tarfile.TarFile, "extraction_filter", staticmethod(safe)))
        else:
            stack.enter_context(patch.object(utils, "download_file_and_uncompress", _refuse_url))
            stack.enter_context(patch.object(download, "_download_file", _refuse_url))
        yield


def require_guard() -> None:
    """Raise RuntimeError, a mistake of ours, unless `guarded_files` holds."""
    if paddle.load is not load:
        raise RuntimeError("PaddleSeg would read files unguarded: call this within guarded_files()")


def _open_picture(opener: Callable[..., Image.Image], file: Any, mode: Any = "r", formats: Any = None) -> Image.Image:
    return opener(file, mode, FORMATS if formats is None else formats)


def load(path: Any, return_numpy: bool = False, **_: Any) -> State:
    """Stands in for `paddle.load`. Raises InputError for what this project's readers refuse."""
    if not isinstance(path, str | Path):
        raise InputError(f"paddle.load of a {type(path).__name__}: only files are read here")
    file = Path(path)
    READ.append(file)
    state = read_state(file) if file.suffix == OPTIMISER_ENDING else dict(read_checkpoint(file).tensors)
    return state if return_numpy else _to_tensors(state)


def read_state(path: Path) -> State:
    """An optimiser's state as `paddle.save` writes it: names -> arrays, numbers, and dictionaries of them.

    Raises InputError for anything else.
    """
    check_readable(path)
    with path.open("rb") as file:
        value = load_plain(file, STATE_GLOBALS, path=str(path))
    state = _resolve(value, path, DEEPEST)
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds a {type(state).__name__}, not an optimiser's state")
    state.pop(PARAMETER_NAMES, None)
    return state


def find_file(name: str) -> Path:
    """The file called `name`, or fetched from it if that is a URL. Raises InputError where that is not allowed."""
    return Path(utils.download_pretrained_model(name) if urlparse(name).netloc else name)


def _resolve(value: Any, path: Path, depth: int) -> Any:
    """`value` with arrays for what stands in for them."""
    if isinstance(value, ALLOWED["numpy", "ndarray"]):
        if value.array is None:
            raise InputError(f"{path}: holds a damaged array")
        return value.array
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict | list | tuple) and depth:
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise InputError(f"{path}: a key is not a string")
            return {key: _resolve(item, path, depth - 1) for key, item in value.items()}
        items = [_resolve(item, path, depth - 1) for item in value]
        is_tensor = isinstance(value, tuple) and len(items) == 2 and isinstance(items[1], np.ndarray)
        return items[1] if is_tensor else items
    raise InputError(f"{path}: holds a {type(value).__name__} where an optimiser's state has none")


def _to_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return paddle.to_tensor(np.array(value))
    return {key: _to_tensors(item) for key, item in value.items()} if isinstance(value, dict) else value


def _refuse_url(url: str, *_: Any, **__: Any) -> None:
    raise InputError(f"{url}: is a URL; download the file and name that, or let ccnet-seg fetch it by --allow_download")
