"""The work of `ccnet-seg train`, `val` and `predict`: PaddleSeg's own loops on what a config names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.names import count
from paddleseg_port.components import REPAIRED

# isort: split
from paddleseg import core
from paddleseg.cvlibs import SegBuilder
from paddleseg.transforms import Compose
from paddleseg.utils import logger, utils

from cityscapes.confusion import Score
from cityscapes.distributed import find_group
from cityscapes.folders import make_folder
from cityscapes.labels import NUM_CLASSES
from converter.errors import InputError
from paddleseg_port.build import build_val_dataset, explains, make_builder
from paddleseg_port.configs import check_config
from paddleseg_port.data import CheckedTransforms, checked_loading
from paddleseg_port.files import READ, find_file, guarded_files
from paddleseg_port.images import check_results, find_images
from paddleseg_port.metrics import recorded_confusion
from paddleseg_port.model import CCNetPort, restore_norm_choice
from paddleseg_port.progress import ended_progress
from paddleseg_port.resume import check_resume, find_folder
from paddleseg_port.settings import settle
from paddleseg_port.trained import build_trained, say


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


@contextmanager
def guarded(config: Path, *, downloads: bool, keep_masks: bool = False) -> Iterator[None]:
    """Within, files are read by this project's readers, data is checked, and errors are of one line."""
    check_config(config)
    checked = checked_loading(keep_masks=keep_masks)
    with guarded_files(downloads=downloads), checked, ended_progress(), explains(config):
        yield


def train(
    config: Path,
    *,
    device: str,
    opts: Sequence[str],
    seed: int | None,
    do_eval: bool,
    changes: dict[str, Any],
    save_dir: Path,
    resume_model: str | None = None,
    **options: Any,
) -> None:
    """Train as the config says; `options` are those of `paddleseg.core.train`."""
    folder = None if resume_model is None else find_folder(resume_model)
    make_folder(save_dir)
    builder = make_builder(config, device=device, opts=opts, **changes)
    _announce()
    utils.set_seed(seed)
    with explains(config):
        weights = _find_pretrained(builder)
        say(settle(builder.config.dic, weights, config, evaluates=False))
        model = utils.convert_sync_batchnorm(_start_from(weights, builder.model), device)
    restore_norm_choice(model)
    with explains(config):
        parts = {"optimizer": builder.optimizer, "losses": builder.loss, "train_dataset": builder.train_dataset}
    _check_batch(builder, len(parts["train_dataset"]), config)
    if folder is not None:
        check_resume(folder, builder, model, config)
    core.train(
        model,
        save_dir=str(save_dir),
        resume_model=None if folder is None else str(folder),
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
    _announce()
    trained = build_trained(config, model_path, opts=opts, device=device)
    dataset = build_val_dataset(trained.builder, config)
    if record:
        _check_recordable(dataset.num_classes, config)
    settings = views.update(trained.builder.config.test_config, switch="aug_eval")
    with recorded_confusion(dataset.num_classes) if record else nullcontext() as confusion:
        core.evaluate(trained.load(), dataset, **settings, **options)
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
    _announce()
    trained = build_trained(config, model_path, opts=opts, device=device)
    model = trained.load()
    images, folder = find_images(image_path)
    names = [  # as PaddleSeg's
        Path((Path(image).name if folder is None else image.replace(folder, "")).removeprefix("/")) for image in images
    ]
    added, classes = save_dir / "added_prediction", save_dir / "pseudo_color_prediction"
    check_results(images, [added / name for name in names], added)
    check_results(images, [classes / name.with_suffix(".png") for name in names], classes)
    with explains(config):
        transforms = CheckedTransforms(Compose(trained.builder.val_transforms))
    core.predict(
        model,
        model_path=str(model_path),
        transforms=transforms,
        image_list=images,
        image_dir=folder,
        save_dir=str(save_dir),
        custom_color=list(custom_color) if custom_color else None,
        **views.update(trained.builder.config.test_config, switch="aug_pred"),
    )


def _find_pretrained(builder: SegBuilder) -> Path | None:
    """The file that the config's model starts from."""
    name = (builder.config.dic.get("model") or {}).get("pretrained")
    return None if name is None else find_file(str(name))


def _start_from(weights: Path | None, model: Any) -> Any:
    """`model`, which was to read `weights`: PaddleSeg's CCNet takes a `pretrained` and never does."""
    if weights is not None and not isinstance(model, CCNetPort) and weights not in READ:
        utils.load_pretrained_model(model, str(weights))
    return model


def _check_recordable(num_classes: int, config: Path) -> None:
    if num_classes != NUM_CLASSES:
        raise InputError(f"{config}: has {count(num_classes, 'class')}; --json is for the {NUM_CLASSES} of Cityscapes")


def _announce() -> None:
    if REPAIRED:
        logger.info(f"Repaired PaddleSeg for this Paddle: {', '.join(REPAIRED)}")


def _check_batch(builder: SegBuilder, pictures: int, config: Path) -> None:
    size = builder.config.batch_size
    if pictures < size:
        raise InputError(f"{config}: {count(pictures, 'picture')} to train on, fewer than its batch_size {size}")
