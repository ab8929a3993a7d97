"""One process of the gate "several devices": `python -m parity.certify.devices_worker FRAMEWORK RANK COUNT IN OUT`.

IN is an .npz of a batch and canonical weights, OUT gets this process's logits, and the summed gradients and
running statistics.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def main(framework: str, rank: int, count: int, source: Path, target: Path) -> None:
    """One forward and backward pass of this process's share of the batch."""
    with np.load(source) as archive:
        tensors = {name: archive[name] for name in archive.files}
    settings = json.loads(str(tensors.pop("settings")))
    images, labels = tensors.pop("images"), tensors.pop("labels")
    run = _torch if framework == "torch" else _paddle
    rows = slice(rank * len(images) // count, (rank + 1) * len(images) // count)
    share = float((labels[rows] != 255).sum() / (labels != 255).sum())
    np.savez(target, **run(settings, tensors, images[rows], labels[rows], share, rank, count))


def _torch(
    settings: dict[str, Any],
    tensors: dict[str, Array],
    images: Array,
    labels: Array,
    share: float,
    rank: int,
    count: int,
) -> dict[str, Array]:
    import torch
    from torch import distributed

    from models_torch import build_uninitialised, load_weights
    from models_torch.losses import CrossEntropy
    from models_torch.synchronised import synchronise

    if count > 1:
        distributed.init_process_group("gloo", init_method=settings["meeting"], rank=rank, world_size=count)
    model: Any = build_uninitialised(**settings["network"])
    load_weights(model, tensors)
    model.double().train()
    for head in (model.head, model.auxiliary_head):
        head.dropout.p = 0.0
    if count > 1 and settings["synchronised"]:
        synchronise(model)
    outputs = model(torch.from_numpy(images))
    (share * CrossEntropy(align_corners=settings["align_corners"])(outputs, torch.from_numpy(labels))).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if count > 1:
        for gradient in gradients.values():
            distributed.all_reduce(gradient)
    statistics = {name: b for name, b in model.named_buffers() if "running" in name}
    return _found(outputs, gradients, statistics)


def _paddle(
    settings: dict[str, Any],
    tensors: dict[str, Array],
    images: Array,
    labels: Array,
    share: float,
    rank: int,
    count: int,
) -> dict[str, Array]:
    from converter.bridge import from_paddle, to_paddle
    from models_paddle import build_uninitialised, load_weights, paddle
    from models_paddle.losses import CrossEntropy
    from models_paddle.synchronised import synchronise

    paddle.set_device("cpu")
    if count > 1:
        paddle.distributed.init_parallel_env()
    model = build_uninitialised(**settings["network"])
    load_weights(model, {to_paddle(name): array for name, array in tensors.items()})
    model.to(dtype="float64")
    model.train()
    for head in (model.head, model.auxiliary_head):
        head.dropout.p = 0.0
    if count > 1 and settings["synchronised"]:
        synchronise(model)
    outputs = model(paddle.to_tensor(images))
    (share * CrossEntropy(align_corners=settings["align_corners"])(outputs, paddle.to_tensor(labels))).backward()
    state = {from_paddle(name): tensor for name, tensor in model.state_dict().items()}
    gradients = {n: t.grad for n, t in state.items() if not t.stop_gradient and t.grad is not None}
    if count > 1:
        for gradient in gradients.values():
            paddle.distributed.all_reduce(gradient)
    return _found(outputs, gradients, {name: tensor for name, tensor in state.items() if "running" in name})


def _found(outputs: Any, gradients: dict[str, Any], statistics: dict[str, Any]) -> dict[str, Array]:
    named = dict(zip(("forward/logits", "forward/auxiliary"), outputs, strict=True))
    named |= {f"gradients/{name}": tensor for name, tensor in gradients.items()}
    named |= {f"statistics/{name}": tensor for name, tensor in statistics.items()}
    return {name: tensor.detach().numpy() for name, tensor in named.items()}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
