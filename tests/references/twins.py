"""Both twins with given weights, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
import torch

import models_paddle
import models_torch
from converter import to_paddle

Array = np.ndarray[Any, Any]
FRAMEWORKS = ("torch", "paddle")
PROBES = ("stage1", "stage2", "stage3", "stage4")
DRAWS = 3
FLOAT32_LIMIT = 16
"""Times the greatest `rounding` that was measured of anything else. The twins reach 3.2 with the kernels of
`make test-kernels`; half precision in one layer makes hundreds."""


class Twin:
    """A twin network: NumPy in, NumPy out."""

    def __init__(self, framework: str, model: Any) -> None:
        self.framework, self.model = framework, model
        model.eval()

    @classmethod
    def build(cls, framework: str, family: str, tensors: Mapping[str, Array], **size: int) -> Twin:
        """The network of `family` with canonical `tensors`."""
        package = models_torch if framework == "torch" else models_paddle
        model = package.build_uninitialised(family, **size)
        rename = str if framework == "torch" else to_paddle
        package.load_weights(model, {rename(name): np.array(value) for name, value in tensors.items()})
        return cls(framework, model)

    def run(self, images: Array) -> dict[str, Array]:
        """`logits`, `auxiliary_logits` and the outputs of the stages, in the dtype of `images` (N, 3, H, W)."""
        found: dict[str, Array] = {}
        with probing(self, found), without_gradients(self.framework):
            logits, auxiliary_logits = self.cast(str(images.dtype)).model(self.tensor(images))
        return {"logits": as_array(logits), "auxiliary_logits": as_array(auxiliary_logits), **found}

    def cast(self, dtype: str) -> Twin:
        """Itself, in that dtype."""
        self.model.to(**{"dtype": getattr(torch, dtype) if self.framework == "torch" else dtype})
        return self

    def tensor(self, array: Array) -> Any:
        return torch.from_numpy(array) if self.framework == "torch" else paddle.to_tensor(array)


def as_array(tensor: Any) -> Array:
    return np.array(tensor.detach().numpy())


def digest(array: Array) -> Array:
    """Mean, deviation, extremes and 64 values, as the golden probes have them."""
    flat = array.astype(np.float64).reshape(-1)
    picked = flat[np.linspace(0, flat.size - 1, 64).astype(np.int64)]
    return np.concatenate([[flat.mean(), flat.std(), flat.min(), flat.max()], picked])


def rounding(
    run: Callable[[Array], Mapping[str, Array]], images: Array, exact: Mapping[str, Array]
) -> dict[str, float]:
    """Output -> how far `run` in float32 is at most from `exact`, on `images` and on others, a last place from them.

    Whatever kernels a machine takes, they round each of these inputs otherwise, and one of them alone says little: a
    sharp attention makes of the next 40 times as much.
    """
    rounded, directions = images.astype(np.float32), np.random.default_rng(0)
    found = dict.fromkeys(exact, 0.0)
    for draw in range(DRAWS):
        moved = np.nextafter(rounded, directions.choice([-np.inf, np.inf], images.shape).astype(np.float32))
        outputs = run(moved if draw else rounded)
        for name, expected in exact.items():
            assert outputs[name].shape == expected.shape
            found[name] = max(found[name], float(np.abs(outputs[name].astype(np.float64) - expected).max()))
    return found


def half_precision(twin: Twin, layer: Any) -> Any:
    """Round what `layer` of `twin` returns to float16; the handle's `remove` ends it."""
    if twin.framework == "torch":
        return layer.register_forward_hook(lambda *call: call[-1].half().to(call[-1].dtype))
    return layer.register_forward_post_hook(lambda *call: call[-1].astype("float16").astype(call[-1].dtype))


@contextmanager
def probing(twin: Twin, found: dict[str, Array]) -> Iterator[None]:
    def keep(name: str) -> Any:
        return lambda module, inputs, output: found.__setitem__(name, as_array(output))

    register = "register_forward_hook" if twin.framework == "torch" else "register_forward_post_hook"
    hooks = [getattr(getattr(twin.model.backbone, name), register)(keep(name)) for name in PROBES]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def without_gradients(framework: str) -> Iterator[None]:
    # oneDNN's convolutions round up to three times as coarsely as torch's own on some machines; which it
    # takes is the machine's choice, and the reference's rounding was recorded on another.
    if framework == "torch":
        with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
            yield
    else:
        with paddle.no_grad():
            yield
