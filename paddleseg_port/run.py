"""The work of `ccnet-seg train`, `val` and `predict`: PaddleSeg's own loops on what a config names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddleseg_port.components import REPAIRED

# isort: split
from paddleseg import core
from paddleseg.cvlibs import SegBuilder
from paddleseg.transforms import Compose
from paddleseg.utils import get_image_list, logger, utils
from PIL import Image

from cityscapes.confusion import Score
from cityscapes.distributed import find_group
from cityscapes.labels import NUM_CLASSES
from converter.errors import InputError
from paddleseg_port.build import build_model, build_val_dataset, explains, make_builder
from paddleseg_port.folders import make_folder
from paddleseg_port.metrics import recorded_confusion
from paddleseg_port.model import load_model, restore_norm_choice


@dataclass(frozen=True, kw_only=True)
class Views:
    """How a picture is seen: the options that PaddleSeg's val and predict share. Sizes are (width, height)."""

    augmented: bool = False
    scales: Sequence[float] = (1.0,)
    flip_horizontal: bool = False
    flip_vertical: bool = False
    is_slide: bool = False
    crop_size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    def update(self, test_config: dict[str, Any], *, switch: str) -> dict[str, Any]:
        """The config's own `test_config` with what was asked for; `switch` turns augmentation on."""
        merged = {key: value for key, value in test_config.items() if key not in ("aug_eval", "aug_pred")}
        if self.augmented or test_config.get("aug_eval"):
            merged[switch] = True
        if self.augmented:
            merged |= {"scales": list(self.scales), "flip_horizontal": self.flip_horizontal}
            merged["flip_vertical"] = self.flip_vertical
        if self.is_slide:
            if self.crop_size is None or self.stride is None:
                raise InputError("--is_slide needs --crop_size W H and --stride W H, in pixels")
            merged |= {"is_slide": True, "crop_size": self.crop_size, "stride": self.stride}
        return merged


def train(
    config: Path,
    *,
    device: str,
    opts: Sequence[str],
    seed: int | None,
    do_eval: bool,
    changes: dict[str, Any],
    save_dir: Path,
    **options: Any,
) -> None:
    """Train as the config says; `options` are those of `paddleseg.core.train`."""
    make_folder(save_dir)
    builder = make_builder(config, device=device, opts=opts, **changes)
    _announce()
    utils.set_seed(seed)
    model = utils.convert_sync_batchnorm(build_model(builder, config), device)
    restore_norm_choice(model)
    with explains(config):
        parts = {"optimizer": builder.optimizer, "losses": builder.loss, "train_dataset": builder.train_dataset}
    _check_batch(builder, len(parts["train_dataset"]), config)
    core.train(
        model,
        save_dir=str(save_dir),
        val_dataset=build_val_dataset(builder, config) if do_eval else None,
        iters=builder.config.iters,
        batch_size=builder.config.batch_size,
        test_config=builder.config.test_config,
        to_static_training=builder.config.to_static_training,
        **parts,
        **options,
    )


def validate(
    config: Path,
    model_path: Path | None,
    views: Views,
    *,
    device: str,
    opts: Sequence[str],
    record: bool,
    **options: Any,
) -> Score | None:
    """Evaluate as PaddleSeg does, which prints its figures; the confusion matrix's own if `record`."""
    if record and find_group().size > 1:
        raise InputError("--json counts one process's pictures; leave it out, or start one process")
    builder = make_builder(config, device=device, opts=opts)
    _announce()
    model = _load(builder, config, model_path)
    dataset = build_val_dataset(builder, config)
    if record:
        _check_recordable(dataset.num_classes, config)
    settings = views.update(builder.config.test_config, switch="aug_eval")
    with recorded_confusion(dataset.num_classes) if record else nullcontext() as confusion:
        core.evaluate(model, dataset, **settings, **options)
    return None if confusion is None else Score(confusion)


def predict(
    config: Path,
    model_path: Path,
    image_path: Path,
    views: Views,
    *,
    device: str,
    opts: Sequence[str],
    save_dir: Path,
    custom_color: Sequence[int] | None,
) -> None:
    """Write PaddleSeg's pictures of the predictions: over the image, and as a palette PNG of class numbers."""
    make_folder(save_dir)
    builder = make_builder(config, device=device, opts=opts)
    _announce()
    model = _load(builder, config, model_path)
    images, folder = find_images(image_path)
    with explains(config):
        transforms = Compose(builder.val_transforms)
    core.predict(
        model,
        model_path=str(model_path),
        transforms=transforms,
        image_list=images,
        image_dir=folder,
        save_dir=str(save_dir),
        custom_color=list(custom_color) if custom_color else None,
        **views.update(builder.config.test_config, switch="aug_pred"),
    )


def find_images(path: Path) -> tuple[list[str], str | None]:
    """Pictures at `path`: one, a list of them, or a folder; and the folder. Raises InputError if there are none."""
    try:
        images, folder = get_image_list(str(path))
    except (FileNotFoundError, RuntimeError, UnicodeDecodeError):
        raise InputError(f"{path}: not a picture, a list of pictures, or a folder that has some") from None
    for image in images:
        try:
            Image.open(image).close()
        except OSError as error:
            raise InputError(f"{image}: not a readable picture ({error})") from None
    return sorted(images), folder


def _load(builder: SegBuilder, config: Path, model_path: Path | None) -> Any:
    model = build_model(builder, config)
    if model_path is not None:
        load_model(model, model_path)
    return model


def _check_recordable(num_classes: int, config: Path) -> None:
    if num_classes != NUM_CLASSES:
        raise InputError(f"{config}: has {num_classes} classes; --json is for the {NUM_CLASSES} of Cityscapes")


def _announce() -> None:
    if REPAIRED:
        logger.info(f"Repaired PaddleSeg for this Paddle: {', '.join(REPAIRED)}")


def _check_batch(builder: SegBuilder, count: int, config: Path) -> None:
    size = builder.config.batch_size
    if count < size:
        raise InputError(f"{config}: {count} pictures to train on, fewer than its batch_size {size}")
