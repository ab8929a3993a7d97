"""A port whose forward pass cannot be traced: it asks NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_paddle import build_ccnet, paddle


class Unsaveable(paddle.nn.Layer):
    """The twin behind a pass through NumPy."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = build_ccnet(depth=18)

    def forward(self, images: Any) -> Any:
        return self.twin(paddle.to_tensor(np.asarray(images.numpy())))


def build() -> Unsaveable:
    """With fresh weights."""
    return Unsaveable()
