"""From a YAML file to PaddleSeg's objects, with a user's mistake in one line."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.utils import utils

from cityscapes.errors import EvaluationError
from converter.errors import ConverterError, InputError
from paddleseg_port.configs import check_config
from paddleseg_port.files import require_guard
from paddleseg_port.words import check_words

CAUSES = ("The error message is:", "Error Message Summary:\n")
"""After these, PaddleSeg and Paddle say what it was."""
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Of what the disk refuses, which is no matter of a config."""


@contextmanager
def explains(subject: Path) -> Iterator[None]:
    """Within, what PaddleSeg or a user's own component raises is an InputError about `subject` and its line of code.

    What this project raised, however deep PaddleSeg wrapped it, goes on as it is.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - what they raise for a mistake is anybody's guess
        if isinstance(error, OSError) and error.errno in DISK:
            raise InputError(f"cannot write: {os.strerror(error.errno)}") from None
        raise _find_own(error) or InputError(f"{subject}: {describe(error)}") from None


def describe(error: BaseException) -> str:
    """What `error` says, on one line, and where it was raised."""
    text = str(error)
    for cause in CAUSES:
        text = text.rpartition(cause)[2]
    message = " ".join(text.strip("-\n ").split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {message} ({Path(frame.filename).name}:{frame.lineno})"


def _find_own(error: BaseException | None) -> BaseException | None:
    """The error of this project from which others followed, if there is one."""
    while error is not None and not isinstance(error, ConverterError | EvaluationError):
        error = error.__cause__ or error.__context__
    return error


def make_builder(config: Path, *, device: str = "cpu", opts: Sequence[str] = (), **changes: Any) -> SegBuilder:
    """PaddleSeg's builder for `config` on `device`; `changes` and `opts` (key=value) as in its tools.

    What it builds may read files, so it is made and used within `guarded_files`. Raises InputError if there is no such
    file or PaddleSeg refuses it.
    """
    require_guard()
    check_config(config)
    with explains(config):
        builder = SegBuilder(Config(str(config), opts=list(opts) or None, **changes))
    check_words(builder.config.dic, config)
    utils.set_device(device)
    return builder


def build_model(builder: SegBuilder, config: Path) -> Any:
    """The config's model. Raises InputError if it cannot be built."""
    with explains(config):
        return builder.model


def build_val_dataset(builder: SegBuilder, config: Path) -> Any:
    """The config's validation set. Raises InputError if it cannot be built or is empty."""
    with explains(config):
        dataset = builder.val_dataset
    if len(dataset) == 0:
        raise InputError(f"{config}: its val_dataset has no pictures; check dataset_root (or take type: CityscapesIds)")
    return dataset
