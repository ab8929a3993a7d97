"""From a YAML file to PaddleSeg's objects, with a user's mistake in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.utils import utils

from cityscapes.errors import EvaluationError
from converter.errors import ConverterError, InputError

MISTAKES = (AssertionError, KeyError, OSError, RuntimeError, TypeError, ValueError, yaml.YAMLError)
"""What PaddleSeg raises for a config that it cannot build."""
CAUSE = "The error message is:"


@contextmanager
def explains(config: Path) -> Iterator[None]:
    """Turn PaddleSeg's exceptions about `config` into InputError."""
    try:
        yield
    except (ConverterError, EvaluationError):
        raise
    except MISTAKES as error:
        if isinstance(error.__context__, ConverterError | EvaluationError):
            raise error.__context__ from None
        message = " ".join(str(error).rpartition(CAUSE)[2].split())
        raise InputError(f"{config}: {type(error).__name__}: {message}") from None


def make_builder(config: Path, *, device: str = "cpu", opts: Sequence[str] = (), **changes: Any) -> SegBuilder:
    """PaddleSeg's builder for `config` on `device`; `changes` and `opts` (key=value) as in its tools.

    Raises InputError if there is no such file or PaddleSeg refuses it.
    """
    if not config.is_file():
        raise InputError(f"{config}: no such file; name a PaddleSeg config (.yml)")
    with explains(config):
        builder = SegBuilder(Config(str(config), opts=list(opts) or None, **changes))
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
