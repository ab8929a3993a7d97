"""Ports as users give them to `ccnet-eval`."""

from __future__ import annotations

from typing import Any

from models_paddle import paddle
from tests.parity.renamed_port import build, build_wrong

__all__ = ["build", "build_wrong"]


class FullSize(paddle.nn.Layer):
    """A network as PaddleSeg has it: logits at the picture's size, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build()

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        return self.network.state_dict(*arguments, **options)

    def forward(self, images: Any) -> list[Any]:
        logits = self.network(images)[0]
        size = images.shape[2:]
        return [paddle.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True)]


class Scaled(paddle.nn.Layer):
    """One number, and any output."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.scale = self.create_parameter([1])
        self.output = output

    def forward(self, images: Any) -> Any:
        return self.output(images * self.scale)


def build_full_size() -> FullSize:
    return FullSize()


def build_nothing() -> None:
    return None


def build_failing() -> Scaled:
    return Scaled(lambda images: 1 / 0)


def build_classes() -> Scaled:
    return Scaled(lambda images: images[:, :2])


def build_text() -> Scaled:
    return Scaled(lambda images: "logits")
