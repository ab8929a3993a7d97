"""A config's network with the weights that are evaluated: whole, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddleseg.cvlibs import SegBuilder
from paddleseg.utils import logger

from converter.errors import InputError
from paddleseg_port.build import build_model, explains, make_builder
from paddleseg_port.files import find_file
from paddleseg_port.model import load_model
from paddleseg_port.settings import settle


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A config's builder and model, and the file of the weights that it is to be given."""

    config: Path
    builder: SegBuilder
    model: Any
    weights: Path | None

    def load(self) -> Any:
        """The model with its weights, of which all must fit. Raises InputError if they do not, or there are none: a
        network of random values says nothing."""
        if self.weights is None:
            raise InputError(f"{self.config}: names no weights and would run a random network; give --model_path FILE")
        load_model(self.model, self.weights)
        return self.model


def build_trained(config: Path, model_path: Path | None, *, opts: Sequence[str], device: str = "cpu") -> Trained:
    """The config's model, for the weights at `model_path` or else the config's `pretrained`."""
    builder = make_builder(config, device=device, opts=opts)
    with explains(config):
        weights = model_path or _take_pretrained(builder.config.dic)
        say(settle(builder.config.dic, weights, config, evaluates=True))
    return Trained(config=config, builder=builder, model=build_model(builder, config), weights=weights)


def say(notes: Sequence[str]) -> None:
    """Print what was taken from elsewhere."""
    for note in notes:
        logger.info(note)


def _take_pretrained(settings: dict[str, Any]) -> Path | None:
    """The config's `pretrained`, which is not loaded by the model then: that leaves out what does not fit."""
    name = (settings.get("model") or {}).pop("pretrained", None)
    return None if name is None else find_file(str(name))
