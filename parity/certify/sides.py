"""Either framework's network under training, seen alike: NumPy in, NumPy out, tensors by torch's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from families import Preprocessing
from parity.networks.modules import ModuleInfo
from recipe.augmentation import Augmentation
from recipe.ohem import Mining
from recipe.preprocessing import preprocess
from recipe.recipe import Recipe

Array = np.ndarray[Any, Any]
STATISTICS = ("running_mean", "running_var")


class Side(ABC):
    """A network in `dtype`, with everything that trains it. A training mutant edits the Paddle side's parts.

    `modules` are the network's, by torch's paths where they are paired. `tensors` maps torch's name to parameter or
    statistic: those of the modules, and the `strays`.
    """

    framework: str

    def __init__(
        self,
        model: Any,
        modules: Mapping[str, ModuleInfo],
        dtype: str,
        preprocessing: Preprocessing,
        strays: Mapping[str, Any],
    ) -> None:
        self.model, self.modules, self.dtype, self.preprocessing = model, modules, dtype, preprocessing
        self.align_corners = preprocessing.align_corners
        self.tensors = {
            f"{path}.{name}" if path else name: getattr(info.module, attribute)
            for path, info in modules.items()
            for name, attribute in info.names.items()
        } | dict(strays)
        self.losses, self.trainer, self.loader = self._packages()

    @abstractmethod
    def _packages(self) -> tuple[Any, Any, Callable[..., Any]]:
        """Losses, trainer and loader of the framework's twin."""

    @abstractmethod
    def tensor(self, array: Array) -> Any:
        """As a tensor on the network's device; floating values in its dtype."""

    def array(self, tensor: Any) -> Array:
        """As NumPy, a copy."""
        return np.array(tensor.detach().cpu().numpy())

    @abstractmethod
    def is_trainable(self, tensor: Any) -> bool:
        """Whether an optimiser changes it."""

    @abstractmethod
    def without_gradients(self) -> AbstractContextManager[Any]:
        """A pass inside it keeps nothing for the way back."""

    @abstractmethod
    def require_gradient(self, tensor: Any) -> None:
        """Make a leaf tensor keep its gradient."""

    @abstractmethod
    def observe(self, path: str, hook: Callable[[Any, Any], None]) -> Any:
        """Call `hook` with inputs and outputs of each call of the module at `path`; returns the hook's handle."""

    @abstractmethod
    def has_history(self, tensor: Any) -> bool:
        """Whether a gradient flows to the tensor, which is no leaf."""

    @abstractmethod
    def retain(self, tensor: Any) -> None:
        """Keep the gradient of a tensor that is no leaf."""

    @abstractmethod
    def differentiate(self, outputs: list[Any], inputs: list[Any], upstream: list[Any]) -> list[Any]:
        """Gradients of `inputs` for the gradients `upstream` of `outputs`; None where there is none."""

    @abstractmethod
    def confusion(self, logits: Array, labels: Array) -> Array:
        """(K, K) int64 [label, prediction] of logits (K, H, W), counted by the framework; 255 is ignored."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Name -> trainable tensor."""
        return {name: tensor for name, tensor in self.tensors.items() if self.is_trainable(tensor)}

    def state(self) -> dict[str, Array]:
        """Name -> parameter or statistic, as arrays."""
        return {name: self.array(tensor) for name, tensor in self.tensors.items()}

    def gradients(self) -> dict[str, Array]:
        """Name -> gradient, of the parameters that have one."""
        return {n: self.array(p.grad) for n, p in self.parameters.items() if p.grad is not None}

    def preprocess(self, pixels: Array) -> Array:
        """RGB pixels (H, W, 3) uint8 -> (3, H, W) float64."""
        return preprocess(pixels, self.preprocessing)

    def augmentation(self, crop: tuple[int, int]) -> Augmentation:
        """The training augmentation."""
        return Augmentation(preprocessing=self.preprocessing, crop=crop)

    def criterion(self, mining: Mining | None = None) -> Any:
        """Cross-entropy, or with hard pixels only."""
        if mining is None:
            return self.losses.CrossEntropy(align_corners=self.align_corners)
        return self.losses.OhemCrossEntropy(mining, align_corners=self.align_corners)

    def make_trainer(self, criterion: Any, recipe: Recipe) -> Any:
        """A trainer of the network."""
        return self.trainer.Trainer(self.model, criterion, recipe)

    @abstractmethod
    def initialise(self, family: str) -> None:
        """Fresh parameters, from the framework's generator."""

    def train(self) -> None:
        """Put the network in train mode."""
        self.model.train()

    def dropout_factor(self, path: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The factor (0 or 1 / (1 - p)) by which the dropout at `path` multiplies features (N, C, H, W).

        Drawn for whole channels or for elements, as the module has it.
        """
        module = self.modules[path].module
        channels = "2d" in type(module).__name__.lower() or getattr(module, "axis", None) in ([0, 1], (0, 1))
        draws = rng.random(shape)
        kept = (draws[..., :1, :1] if channels else draws) >= module.p
        scaled = getattr(module, "mode", "upscale_in_train") == "upscale_in_train"
        return np.broadcast_to(kept / (1 - module.p) if scaled else kept * 1.0, shape).copy()

    def share_dropout(self, seed: int) -> list[str]:
        """Let every dropout multiply by a mask of `seed` and its path, the same in both frameworks; their paths."""
        found = []
        for number, path in enumerate(sorted(self.modules)):
            if "dropout" in type(self.modules[path].module).__name__.lower():
                # The paths, and so their numbers, are torch's on both sides.
                self.modules[path].module.forward = self._masked(path, [seed, number])
                found.append(path)
        return found

    def _masked(self, path: str, seed: list[int]) -> Callable[[Any], Any]:
        def forward(features: Any) -> Any:
            mask = self.dropout_factor(path, tuple(features.shape), np.random.default_rng(seed))
            return features * self.tensor(mask)

        return forward


class TorchSide(Side):
    """The reference."""

    framework = "torch"

    def train(self) -> None:
        torch.manual_seed(0)  # of a dropout that has no counterpart, and so no shared mask
        super().train()

    def _packages(self) -> tuple[Any, Any, Callable[..., Any]]:
        import models_torch.data
        import models_torch.losses
        import models_torch.trainer

        return models_torch.losses, models_torch.trainer, models_torch.data.make_loader

    def initialise(self, family: str) -> None:
        from models_torch.initialise import initialise

        initialise(self.model, family)

    def tensor(self, array: Array) -> Any:
        tensor = torch.from_numpy(np.array(array)).to(next(self.model.parameters()).device)
        return tensor.to(getattr(torch, self.dtype)) if tensor.is_floating_point() else tensor

    def is_trainable(self, tensor: Any) -> bool:
        return bool(tensor.requires_grad)

    def without_gradients(self) -> AbstractContextManager[Any]:
        return torch.no_grad()

    def require_gradient(self, tensor: Any) -> None:
        tensor.requires_grad_()

    def observe(self, path: str, hook: Callable[[Any, Any], None]) -> Any:
        return self.modules[path].module.register_forward_hook(lambda module, inputs, output: hook(inputs, output))

    def has_history(self, tensor: Any) -> bool:
        return bool(tensor.requires_grad) and not tensor.is_leaf

    def retain(self, tensor: Any) -> None:
        tensor.retain_grad()

    def differentiate(self, outputs: list[Any], inputs: list[Any], upstream: list[Any]) -> list[Any]:
        return list(torch.autograd.grad(outputs, inputs, upstream, allow_unused=True))

    def confusion(self, logits: Array, labels: Array) -> Array:
        scores, target = torch.from_numpy(logits), torch.from_numpy(labels.astype(np.int64))
        valid, classes = target != 255, len(logits)
        pairs = target[valid] * classes + scores.argmax(0)[valid]
        return np.asarray(torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).numpy())


class PaddleSide(Side):
    """The port."""

    framework = "paddle"

    def _packages(self) -> tuple[Any, Any, Callable[..., Any]]:
        import models_paddle.data
        import models_paddle.losses
        import models_paddle.trainer

        return models_paddle.losses, models_paddle.trainer, models_paddle.data.make_loader

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

    def observe(self, path: str, hook: Callable[[Any, Any], None]) -> Any:
        module = self.modules[path].module
        return module.register_forward_post_hook(lambda layer, inputs, output: hook(inputs, output))

    def has_history(self, tensor: Any) -> bool:
        return not tensor.stop_gradient and not tensor.is_leaf

    def retain(self, tensor: Any) -> None:
        tensor.retain_grads()

    def differentiate(self, outputs: list[Any], inputs: list[Any], upstream: list[Any]) -> list[Any]:
        from models_paddle import paddle

        return list(paddle.grad(outputs, inputs, upstream, allow_unused=True))

    def confusion(self, logits: Array, labels: Array) -> Array:
        from models_paddle import paddle

        scores, target = paddle.to_tensor(logits), paddle.to_tensor(labels.astype(np.int64))
        valid, classes = target != 255, len(logits)
        pairs = target[valid] * classes + scores.argmax(0)[valid]
        return np.asarray(paddle.bincount(pairs, minlength=classes**2).reshape([classes, classes]).numpy())
