"""How a PaddleSeg config evaluates: its transforms, `paddleseg.core.infer` by its `test_config`, PaddleSeg's mIoU."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cityscapes.predict import Views

Array = np.ndarray[Any, Any]
Network = Callable[[Array], Array]
"""A stand-in: images (1, C, H, W) -> logits (1, K, H, W)."""


@dataclass(frozen=True)
class Evaluation:
    """PaddleSeg's metric when called, with the way from pixels to logits beside it.

    `transform` gives image (C, h, w) and `trans_info` of RGB pixels (H, W, 3) uint8; `settings` are the `test_config`.
    """

    transform: Callable[[Array], tuple[Array, list[Any]]]
    ignore_index: int = 255
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, predictions: Any, labels: Any, num_classes: int) -> Array:
        """The mIoU as PaddleSeg's `evaluate` sums it up."""
        from paddleseg.utils import metrics

        areas = metrics.calculate_area(predictions.unsqueeze(1), labels.unsqueeze(1), num_classes, self.ignore_index)
        return np.asarray(metrics.mean_iou(*areas)[1], np.float64)

    @property
    def slides(self) -> bool:
        """Whether windows slide over the picture."""
        return bool(self.settings.get("is_slide"))

    @property
    def views(self) -> Views:
        """Scales and mirror images that are averaged over."""
        if not self.settings.get("aug_eval"):
            return Views()
        scales = self.settings.get("scales", 1.0)
        return Views(
            scales=tuple(scales) if isinstance(scales, list | tuple) else (float(scales),),
            flip=bool(self.settings.get("flip_horizontal")),
        )

    def show(self, pixels: Array) -> Array | None:
        """The image (C, H, W) without what pads it; None where it was resized."""
        image, done = self.transform(pixels)
        height, width = pixels.shape[:2]
        return image[:, :height, :width] if all(kind == "padding" for kind, _ in done) else None

    def infer(self, network: Network, pixels: Array) -> Array:
        """Logits (K, H, W) of RGB pixels (H, W, 3) by PaddleSeg's own inference with `network` in the model's place."""
        from paddleseg.core import infer

        from models_paddle import paddle

        image, done = self.transform(pixels)
        function = infer.aug_inference if self.settings.get("aug_eval") else infer.inference
        known = inspect.signature(function).parameters
        settings = {name: value for name, value in self.settings.items() if name in known}

        def model(images: Any) -> list[Any]:
            return [paddle.to_tensor(network(images.numpy()))]

        with paddle.no_grad():
            _, logits = function(model, paddle.to_tensor(image[None].astype(np.float64)), trans_info=done, **settings)
        return np.asarray(logits.numpy()[0])
