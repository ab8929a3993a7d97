"""Tensors that are in state dicts without being a network's: what tools and training scripts put there."""

from __future__ import annotations

from collections.abc import Mapping

STRANGERS: Mapping[str, tuple[str, ...]] = {
    "a profiler's counters": ("total_ops", "total_params"),
    "counters of a training": (
        *("steps", "step", "n_averaged", "num_updates", "decay", "initted", "epoch", "iteration", "global_step"),
        *("best_*", "last_epoch", "lr"),
    ),
    "a criterion's weights": ("criterion*", "loss.*", "loss_*", "losses.*", "*_loss.*", "ce_loss*", "class_weight*"),
    "a metric's counts": ("metrics.*", "*_metric.*", "*_metrics.*", "*_iou.*", "*confmat", "*confusion_matrix"),
    "the preprocessing's figures": (
        *("data_preprocessor.*", "preprocessor.*", "preprocess.*", "normalize.*", "normalizer.*", "normalise.*"),
        *("pixel_mean", "pixel_std", "img_mean", "img_std", "image_mean", "image_std", "mean", "std"),
    ),
    "a running average of the weights": (
        *("ema_*", "ema.*", "*_ema.*", "swa_*", "averaged_model.*", "averaged.*", "shadow.*", "shadow_*", "teacher.*"),
    ),
    "a module's own notes": ("_extra_state", "*._extra_state"),
}
"""What they are -> globs of their names, wherever in the network they stand; a name that a CCNet has is none."""
