"""Parts out of a PaddleSeg config, built by PaddleSeg's own `Config` and components, as its tools would build them."""

from __future__ import annotations

import importlib
import inspect
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from parity.certify.charts import make_chart
from parity.certify.parts.evaluation import Evaluation
from parity.certify.parts.kit import BUILT, Kit, Part, carried_by_the_optimiser, code_of
from parity.certify.parts.loaders import FULL_SIZE, SMALL_SIZE, Pair, Source
from parity.networks.port import only_logging_errors
from parity.networks.user import printing_to_stderr

Array = np.ndarray[Any, Any]
Settings = dict[str, Any]

SHRINK = 8
RELATIVE = (
    "ResizeStepScaling",
    "RandomPaddingCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "RandomDistort",
    "Normalize",
    "CCNetNormalize",
)
"""Transforms that do the same to a chart an eighth as large, if the crop is an eighth too."""


def read_config(path: Path) -> Kit:
    """The port's parts as the config at `path` names them. Raises InputError if PaddleSeg refuses it."""
    config = SegConfig(path)
    return {
        **dict.fromkeys(BUILT, config.part("model", None)),
        "preprocessing": config.part("val_dataset", config.preprocess, pads=True),
        "loss": config.part("loss", config.loss),
        "optimiser": config.part("optimizer", config.optimiser),
        "regularisation": config.part("optimizer", config.optimiser),
        "schedule": config.part("lr_scheduler", carried_by_the_optimiser, iterations=config.builder.config.iters),
        "loader": config.part("train_dataset", ConfigSource(config), batch=config.builder.config.batch_size),
        "metric": config.part("val_dataset", config.evaluation),
    }


@contextmanager
def _building() -> Iterator[None]:
    """Within, PaddleSeg builds: it reads no file but by our readers, fetches none, and keeps its log to errors."""
    from paddleseg_port.files import guarded_files

    with guarded_files(downloads=False), printing_to_stderr(), only_logging_errors():
        yield


class SegConfig:
    """A config, and what PaddleSeg makes of its sections."""

    def __init__(self, path: Path) -> None:
        import paddleseg_port.components  # noqa: F401 - what a config may name
        from paddleseg_port.build import make_builder

        self.path = path
        with _building():
            self.builder = make_builder(path)
        for section in ("train_dataset", "val_dataset"):
            self._check_arguments(section)

    def _check_arguments(self, section: str) -> None:
        """Raise InputError if the data set of `section` cannot be made of its settings; its files need not be there."""
        settings = dict(self.builder.config.dic.get(section) or {})
        kind = self._component(str(settings.pop("type", "")))
        if kind is None:
            return
        try:
            inspect.signature(kind).bind(**settings)
        except TypeError as error:
            raise InputError(f"{self.path}: {section}: {kind.__name__} {error}") from None

    def part(self, section: str, run: Any, **facts: Any) -> Part:
        """The part that `section` describes: its code is that of the components named there."""
        codes = [code_of(kind) for kind in self._components(self.builder.config.dic.get(section, {}))]
        return Part(f"{self.path.name}, {section}: {', '.join(dict.fromkeys(codes))}".rstrip(": "), run, facts)

    def build(self, settings: Settings) -> Any:
        """PaddleSeg's component of these settings."""
        from paddleseg_port.build import explains

        with _building(), explains(self.path):
            return self.builder.build_component(settings)

    @cached_property
    def _losses(self) -> dict[str, Any]:
        settings = self.builder.config.loss_cfg
        return {"types": [self.build(one) for one in settings["types"]], "coef": settings["coef"]}

    def loss(self, outputs: Any, labels: Any) -> Any:
        """The sum that PaddleSeg's `train` goes down, of a list of logits (N, K, H, W)."""
        training = importlib.import_module("paddleseg.core.train")
        from paddleseg_port.compat import left_dtype_decides

        with left_dtype_decides(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PaddleSeg calls what newer Paddles deprecate
            losses = training.loss_computation(list(outputs), labels, None, self._losses)
        return sum(losses[1:], start=losses[0])

    def optimiser(self, model: Any, parameters: Any, schedule: Any) -> Any:
        """The optimiser of the whole model, with the config's schedule."""
        from paddleseg.cvlibs import SegBuilder

        from paddleseg_port.build import explains

        settings = self.builder.config.optimizer_cfg
        settings["type"] = {"adam": "Adam", "sgd": "SGD"}.get(settings["type"], settings["type"])
        if settings["type"] == "SGD" and "momentum" in settings:
            settings["type"] = "Momentum"
        with _building(), explains(self.path):
            rates = SegBuilder(self.builder.config).lr_scheduler
            return self.build(settings)(model, rates)

    def preprocess(self, pixels: Array) -> Array:
        """RGB pixels (H, W, 3) uint8 -> (C, H, W) by the transforms of the validation set."""
        return self._shown(pixels)[0]

    @property
    def evaluation(self) -> Evaluation:
        """From pixels to the mIoU."""
        ignored = self.builder.config.dic.get("val_dataset", {}).get("ignore_index", 255)
        return Evaluation(self._shown, ignored, dict(self.builder.config.test_config))

    def _shown(self, pixels: Array) -> tuple[Array, list[Any]]:
        """Image (C, h, w) of RGB pixels (H, W, 3) by the transforms of the validation set, and its `trans_info`."""
        data = self._apply("val_dataset", pixels, np.zeros(pixels.shape[:2], np.uint8), 1)
        return np.asarray(data["img"]), data["trans_info"]

    def transform(self, section: str, pixels: Array, labels: Array, shrink: int = 1) -> Pair:
        """Image (C, h, w) and labels (h, w) by the transforms of `section`, their crops divided by `shrink`."""
        found = self._apply(section, pixels, labels, shrink)
        return np.asarray(found["img"]), np.asarray(found["label"])

    def _apply(self, section: str, pixels: Array, labels: Array, shrink: int) -> dict[str, Any]:
        data = {"img": pixels[..., ::-1].astype("float32"), "label": labels, "gt_fields": ["label"], "trans_info": []}
        return dict(self._transforms(section, shrink)(data))

    def _transforms(self, section: str, shrink: int) -> Any:
        from paddleseg.transforms import Compose

        known = self.__dict__.setdefault("_made", {})
        if (section, shrink) not in known:
            settings = deepcopy(self.builder.config.dic.get(section, {}).get("transforms", []))
            for one in settings:
                if "crop_size" in one:
                    one["crop_size"] = [-(-side // shrink) for side in one["crop_size"]]
            known[section, shrink] = Compose([self.build(one) for one in settings])
        return known[section, shrink]

    @property
    def is_relative(self) -> bool:
        """Whether the training transforms do the same to a small chart."""
        types = [one["type"] for one in self.builder.config.dic.get("train_dataset", {}).get("transforms", [])]
        return all(kind in RELATIVE for kind in types) and "RandomPaddingCrop" in types

    def _components(self, settings: Any) -> Iterator[type]:
        """The classes that `settings` name, outermost first."""
        if isinstance(settings, Mapping):
            if "type" in settings:
                found = self._component(settings["type"])
                if found is not None:
                    yield found
            for value in settings.values():
                yield from self._components(value)
        elif isinstance(settings, list):
            for value in settings:
                yield from self._components(value)

    def _component(self, name: str) -> type | None:
        """The class registered as `name`; None for a schedule, which is Paddle's own, and for what there is not."""
        for registry in self.builder.comp_list or ():
            if name in registry.components_dict:
                return registry[name]
        return None


class ConfigSource(Source):
    """The training transforms of a config: on small charts with small crops, where that is the same to them."""

    def __init__(self, config: SegConfig) -> None:
        self.config = config
        if config.is_relative:
            self.size, self.shrunk, self.most = SMALL_SIZE, SHRINK, 2000
        else:
            self.size = FULL_SIZE

    def charts(self, folder: Path) -> Iterator[Pair]:
        random.seed(0)
        np.random.seed(0)
        charts = [make_chart(self.size, axis) for axis in (0, 1)]
        for number in count():
            yield self.config.transform("train_dataset", *charts[number % 2], shrink=self.shrunk)

    def batches(self, root: Path) -> Iterator[Pair]:
        """Pairs of pictures of the data set at `root`, augmented."""
        from cityscapes.layout import decode, list_samples

        random.seed(0)
        np.random.seed(0)
        samples = [decode(sample) for sample in list_samples(root, "train")]
        augment: Callable[..., Pair] = self.config.transform
        for number in count():
            chosen = [samples[(2 * number + place) % len(samples)] for place in (0, 1)]
            pairs = [augment("train_dataset", sample.pixels, sample.label) for sample in chosen]
            images, labels = (np.stack(parts) for parts in zip(*pairs, strict=True))
            yield images.astype(np.float64), labels.astype(np.int64)
