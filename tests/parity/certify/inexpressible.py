"""A port with an operator that paddle2onnx has no counterpart of."""

from __future__ import annotations

from typing import Any

from models_paddle import build_ccnet, paddle
from models_paddle.export import prepare_for_export


class Inexpressible(paddle.nn.Layer):
    """The twin behind a product with `diag`, which changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = build_ccnet(depth=18)
        prepare_for_export(self.twin)

    def forward(self, images: Any) -> Any:
        return self.twin(images * paddle.diag(paddle.ones([1])))


def build() -> Inexpressible:
    """With fresh weights."""
    return Inexpressible()
