"""The port under training, in Paddle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from parity.certify.parts.trainer import make_paddle
from parity.certify.sides import Array, Side
from parity.engine.hooks import hook_inputs


class PaddleSide(Side):
    """The port."""

    framework, name = "paddle", "port"

    def _packages(self) -> tuple[Any, Any, Callable[..., Any]]:
        import models_paddle.data
        import models_paddle.losses
        import models_paddle.trainer

        return models_paddle.losses, models_paddle.trainer, models_paddle.data.make_loader

    def _given(self, optimiser: Callable[..., Any] | None, schedule: Callable[..., Any] | None) -> tuple[Any, Any]:
        from models_paddle import paddle

        default = paddle.get_default_dtype()
        paddle.set_default_dtype(self.dtype)
        try:
            return make_paddle(self.model, self.model.parameters(), optimiser=optimiser, schedule=schedule)
        finally:
            paddle.set_default_dtype(default)

    def initialise(self, family: str) -> None:
        from models_paddle.initialise import initialise

        initialise(self.model, family)

    def tensor(self, array: Array) -> Any:
        from models_paddle import paddle

        floating = array.dtype.kind == "f"
        return paddle.to_tensor(np.ascontiguousarray(array), dtype=self.dtype if floating else None)

    def is_trainable(self, tensor: Any) -> bool:
        return not tensor.stop_gradient

    def without_gradients(self) -> AbstractContextManager[Any]:
        from models_paddle import paddle

        return paddle.no_grad()

    def require_gradient(self, tensor: Any) -> None:
        tensor.stop_gradient = False

    def observe(self, path: str, before: Callable[[Any, Any], None], after: Callable[[Any], None]) -> list[Any]:
        module = self.modules[path].module
        return [
            hook_inputs(module, lambda call: before(*call)),
            module.register_forward_post_hook(lambda layer, inputs, output: after(output)),
        ]

    def has_history(self, tensor: Any) -> bool:
        return not tensor.stop_gradient and not tensor.is_leaf

    def retain(self, tensor: Any) -> None:
        tensor.retain_grads()

    def differentiate(self, outputs: list[Any], inputs: list[Any], upstream: list[Any]) -> list[Any]:
        from models_paddle import paddle

        return list(paddle.grad(outputs, inputs, upstream, allow_unused=True))

    def send_back(self, outputs: list[Any], upstream: list[Any]) -> None:
        from models_paddle import paddle

        paddle.autograd.backward(outputs, upstream)

    def confusion(self, logits: Array, labels: Array) -> Array:
        from models_paddle import paddle

        scores, target = paddle.to_tensor(logits), paddle.to_tensor(labels.astype(np.int64))
        valid, classes = target != 255, len(logits)
        pairs = target[valid] * classes + scores.argmax(0)[valid]
        return np.asarray(paddle.bincount(pairs, minlength=classes**2).reshape([classes, classes]).numpy())
