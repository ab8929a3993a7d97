"""Mistakes in one place of a PaddleSeg config: what is certified is the official training of the small network.

Each entry edits `OFFICIAL`, the settings of `configs/official_769x769_60k.yml` with the small network.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from parity.mutants.mutant import Mutant, parts_entry

Settings = dict[str, Any]
Edit = Callable[[Settings], None]

MUTANTS: list[Mutant] = []
EQUIVALENTS: list[Mutant] = []

OFFICIAL: Settings = {
    "batch_size": 8,
    "iters": 60_000,
    "train_dataset": {
        "type": "CityscapesIds",
        "dataset_root": "data/cityscapes",
        "mode": "train",
        "transforms": [
            {"type": "ResizeStepScaling", "min_scale_factor": 0.7, "max_scale_factor": 2.1, "scale_step_size": 0.1},
            {"type": "CCNetNormalize"},
            {"type": "RandomPaddingCrop", "crop_size": [769, 769], "im_padding_value": 0, "label_padding_value": 255},
            {"type": "RandomHorizontalFlip"},
        ],
    },
    "val_dataset": {
        "type": "CityscapesIds",
        "dataset_root": "data/cityscapes",
        "mode": "val",
        "transforms": [{"type": "CCNetNormalize"}],
    },
    "model": {
        "type": "CCNetPort",
        "family": "official",
        "num_classes": 19,
        "depth": 18,
        "recurrence": 2,
        "batch_norm": "unbiased",
        "in_channels": 3,
    },
    "loss": {
        "types": [
            {"type": "CCNetOhem", "ignore_index": 255, "thresh": 0.7, "min_kept": 100_000},
            {"type": "CCNetCrossEntropy", "ignore_index": 255},
        ],
        "coef": [1, 0.4],
    },
    "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 1e-4},
    "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "power": 0.9, "end_lr": 0.0},
}


def write_config(folder: Path, edit: Edit) -> Path:
    """The edited config as a file in `folder`."""
    import yaml

    settings = deepcopy(OFFICIAL)
    edit(settings)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def config_mutant(gate: str, cause: str = "", **options: Any) -> Callable[[Edit], Edit]:
    """Decorator: an edit of the config, to be caught at `gate`; `options` are the subject's."""

    def add(edit: Edit) -> Edit:
        MUTANTS.append(_entry(edit, gate=gate, cause=cause, options=options))
        return edit

    return add


def config_equivalent(*gates: str) -> Callable[[Edit], Edit]:
    """Decorator: an edit that says the same, of which none of `gates` may complain."""

    def add(edit: Edit) -> Edit:
        EQUIVALENTS.append(_entry(edit, gates=gates))
        return edit

    return add


def _entry(edit: Edit, *, options: Settings | None = None, **expected: Any) -> Mutant:
    def given(folder: Path) -> Settings:
        return {"config": write_config(folder, edit), **(options or {})}

    return parts_entry(edit, given, needs_paddleseg=True, **expected)


def _train(settings: Settings, kind: str) -> Settings:
    """The settings of the training set's transform of that type."""
    transforms: list[Settings] = settings["train_dataset"]["transforms"]
    return next(one for one in transforms if one["type"] == kind)


@config_mutant("validation data", "normalisation")
def config_mean_and_deviation(settings: Settings) -> None:
    """The pictures of the validation are normalised as PaddleSeg's are."""
    settings["val_dataset"]["transforms"] = [{"type": "Normalize"}]


@config_mutant("validation data")
def config_padded_pictures(settings: Settings) -> None:
    """The pictures of the validation are padded to 2049 × 1025, which the official evaluation leaves as they are."""
    settings["val_dataset"]["transforms"].append({"type": "Padding", "target_size": [2049, 1025]})


@config_mutant("metric", "sliding windows")
def config_stride_of_windows(settings: Settings) -> None:
    """The windows of the evaluation overlap by another share."""
    settings["test_config"] = {"is_slide": True, "crop_size": [769, 769], "stride": [512, 512]}


@config_mutant("metric")
def config_several_scales(settings: Settings) -> None:
    """The evaluation averages over a picture half as large, whose resize does not align the corners."""
    settings["test_config"] = {"aug_eval": True, "scales": [0.5, 1.0]}


@config_mutant("metric", "align_corners")
def config_corners(settings: Settings) -> None:
    """The network resizes its logits without aligning the corners."""
    settings["model"]["align_corners"] = False


@config_mutant("loss", "auxiliary weight")
def config_auxiliary_weight(settings: Settings) -> None:
    """The auxiliary loss counts half, not 0.4 times."""
    settings["loss"]["coef"] = [1, 0.5]


@config_mutant("loss", "weights swapped")
def config_coefficients_swapped(settings: Settings) -> None:
    """The coefficients of the losses are in the other order."""
    settings["loss"]["coef"] = [0.4, 1]


@config_mutant("loss")
def config_void(settings: Settings) -> None:
    """The auxiliary loss ignores another label than the data set does."""
    settings["loss"]["types"][1]["ignore_index"] = 254


@config_mutant("loss", "cross-entropy for OHEM or OHEM min_kept", loss_recipe="ohem")
def config_plain_loss(settings: Settings) -> None:
    """The main loss is the cross-entropy of all pixels, where the recipe with OHEM was asked for."""
    settings["loss"]["types"][0] = {"type": "CCNetCrossEntropy", "ignore_index": 255}


@config_mutant("loss")
def config_paddlesegs_mining(settings: Settings) -> None:
    """The main loss is PaddleSeg's own OHEM."""
    settings["loss"]["types"][0] = {"type": "OhemCrossEntropyLoss", "min_kept": 100_000}


@config_mutant("loss", "auxiliary loss mined")
def config_mining_twice(settings: Settings) -> None:
    """The auxiliary loss mines as well."""
    settings["loss"]["types"] = [settings["loss"]["types"][0]] * 2


@config_mutant("loss")
def config_class_weights(settings: Settings) -> None:
    """The auxiliary loss weighs the classes."""
    weight = [1.0 + number / 19 for number in range(19)]
    settings["loss"]["types"][1] = {"type": "CrossEntropyLoss", "ignore_index": 255, "weight": weight}


@config_mutant("optimiser", "momentum")
def config_momentum(settings: Settings) -> None:
    """The momentum is 0.99."""
    settings["optimizer"]["momentum"] = 0.99


@config_mutant("optimiser")
def config_adam(settings: Settings) -> None:
    """The optimiser is Adam."""
    settings["optimizer"] = {"type": "adam", "weight_decay": 1e-4}


@config_mutant("optimiser")
def config_clipped_gradients(settings: Settings) -> None:
    """Gradients are clipped by their norm."""
    settings["optimizer"]["grad_clip_cfg"] = {"name": "ClipGradByGlobalNorm", "clip_norm": 1.0}


@config_mutant("optimiser")
def config_rate_of_the_head(settings: Settings) -> None:
    """The head learns ten times as fast."""
    settings["optimizer"]["custom_cfg"] = [{"name": "head", "lr_mult": 10.0}]


@config_mutant("learning rate", "base rate")
def config_base_rate(settings: Settings) -> None:
    """The rate begins at a tenth."""
    settings["lr_scheduler"]["learning_rate"] = 0.001


@config_mutant("learning rate", "power")
def config_power(settings: Settings) -> None:
    """The rate falls linearly."""
    settings["lr_scheduler"]["power"] = 1.0


@config_mutant("learning rate", "end rate")
def config_end_rate(settings: Settings) -> None:
    """The rate ends at 1e-4, as PaddleSeg's."""
    settings["lr_scheduler"]["end_lr"] = 1e-4


@config_mutant("learning rate", "warm-up")
def config_warm_up(settings: Settings) -> None:
    """The rate is warmed up for 1000 steps."""
    settings["lr_scheduler"] |= {"warmup_iters": 1000, "warmup_start_lr": 1e-5}


@config_mutant("learning rate", "cosine")
def config_cosine(settings: Settings) -> None:
    """The rate falls by a cosine."""
    settings["lr_scheduler"] = {"type": "CosineAnnealingDecay", "learning_rate": 0.01, "T_max": 60_000}


@config_mutant("learning rate", "length")
def config_iterations(settings: Settings) -> None:
    """The training takes 80,000 steps."""
    settings["iters"] = 80_000


@config_mutant("regularisation", "decay")
def config_decay(settings: Settings) -> None:
    """The decay is 4e-5, as PaddleSeg's."""
    settings["optimizer"]["weight_decay"] = 4e-5


@config_mutant("regularisation", "norms spared")
def config_norms_spared(settings: Settings) -> None:
    """The norms do not decay."""
    settings["optimizer"]["custom_cfg"] = [{"name": "norm", "weight_decay_mult": 0.0}]


@config_mutant("backward", "biased variance")
def config_biased_statistics(settings: Settings) -> None:
    """The norms are Paddle's own, with the biased running variance."""
    settings["model"]["batch_norm"] = "biased"


@config_mutant("training data", "scales")
def config_scales(settings: Settings) -> None:
    """Pictures are scaled from 0.5, as PaddleSeg's are."""
    _train(settings, "ResizeStepScaling")["min_scale_factor"] = 0.5


@config_mutant("training data", "crop")
def config_crop(settings: Settings) -> None:
    """Crops are 513 × 513."""
    _train(settings, "RandomPaddingCrop")["crop_size"] = [513, 513]


@config_mutant("training data", "padding learnt")
def config_padding_learnt(settings: Settings) -> None:
    """Padded pixels are labelled as class 0, not ignored."""
    _train(settings, "RandomPaddingCrop")["label_padding_value"] = 0


@config_mutant("training data", "padding values")
def config_padding_grey(settings: Settings) -> None:
    """Padding is 127.5 after the normalisation."""
    _train(settings, "RandomPaddingCrop")["im_padding_value"] = 127.5


@config_mutant("training data", "mirroring")
def config_never_mirrored(settings: Settings) -> None:
    """Pictures are not mirrored."""
    settings["train_dataset"]["transforms"].pop()


@config_mutant("training data", "scales")
def config_scales_between(settings: Settings) -> None:
    """Pictures are scaled by any factor, not by tenths."""
    _train(settings, "ResizeStepScaling")["scale_step_size"] = 0


@config_mutant("training data")
def config_upside_down(settings: Settings) -> None:
    """Pictures are turned upside down as well."""
    settings["train_dataset"]["transforms"].append({"type": "RandomVerticalFlip", "prob": 0.5})


@config_mutant("training data")
def config_rotated(settings: Settings) -> None:
    """Pictures are rotated."""
    settings["train_dataset"]["transforms"].insert(0, {"type": "RandomRotation"})


@config_mutant("training data")
def config_blurred(settings: Settings) -> None:
    """Pictures are blurred."""
    settings["train_dataset"]["transforms"].insert(0, {"type": "RandomBlur", "prob": 0.5})


@config_mutant("training data")
def config_other_colours(settings: Settings) -> None:
    """Colours are changed at random."""
    settings["train_dataset"]["transforms"].insert(0, {"type": "RandomDistort"})


@config_mutant("training data")
def config_batch(settings: Settings) -> None:
    """A device is given 16 pictures, twice those of the whole step."""
    settings["batch_size"] = 16


@config_equivalent("optimiser", "learning rate", "regularisation")
def config_written_otherwise(settings: Settings) -> None:
    """PaddleSeg's older names, and its defaults spelled out."""
    settings["optimizer"] = {"type": "sgd", "weight_decay": 0.0001, "momentum": 0.9}
    settings["lr_scheduler"] |= {"decay_steps": 60_000}


@config_equivalent("validation data", "metric", "training data")
def config_other_order(settings: Settings) -> None:
    """Mirrored before it is scaled and cropped, two pictures a device, and windows as the official ones."""
    transforms = settings["train_dataset"]["transforms"]
    transforms.insert(0, transforms.pop())
    settings["batch_size"] = 2
    settings["test_config"] = {"is_slide": True, "crop_size": [769, 769], "stride": [513, 513]}
