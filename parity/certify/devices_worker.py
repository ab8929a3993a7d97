"""One process of the gate "several devices": `python -m parity.certify.devices_worker FRAMEWORK RANK COUNT IN OUT`.

IN is an .npz of a batch and weights. OUT gets this process's outputs, the gradients summed over the processes, and the
running statistics. Gradients are those of the sum of all output values, each times a fixed number: no loss has a part.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twins.tensors import flatten

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Part:
    """This process's part of the batch: some of its rows."""

    settings: dict[str, Any]
    images: Array
    rows: slice
    rank: int
    count: int

    def factors(self, number: int, shape: tuple[int, ...]) -> Array:
        """What the values of output `number`, of this part's `shape`, are multiplied by."""
        rng = np.random.default_rng(number)
        whole = (self.settings["batch"], *shape[1:])
        return np.asarray(rng.standard_normal(whole)[self.rows] / np.prod(whole[2:]))


def main(framework: str, rank: int, count: int, source: Path, target: Path) -> None:
    """One forward and backward pass of this process's part."""
    with np.load(source) as archive:
        content = {name: archive[name] for name in archive.files}
    images = content["images"]
    rows = slice(rank * len(images) // count, (rank + 1) * len(images) // count)
    part = Part(
        settings=json.loads(str(content["settings"])),
        images=images[rows],
        rows=rows,
        rank=rank,
        count=count,
    )
    run = _torch if framework == "torch" else _paddle
    np.savez(target, **run(part, content))


def _torch(part: Part, content: Mapping[str, Array]) -> dict[str, Array]:
    import torch
    from torch import distributed

    from models_torch import build_uninitialised, load_weights
    from models_torch.synchronised import synchronise

    if part.count > 1:
        distributed.init_process_group(
            "gloo", init_method=part.settings["meeting"], rank=part.rank, world_size=part.count
        )
    model = build_uninitialised(**part.settings["network"])
    load_weights(model, _section(content, "tensors"))
    model.double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    if part.count > 1 and part.settings["synchronised"]:
        synchronise(model)
    outputs = flatten(model(torch.from_numpy(part.images)))
    factors = [torch.from_numpy(part.factors(n, tuple(output.shape))) for n, output in enumerate(outputs)]
    torch.autograd.backward(outputs, factors)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if part.count > 1:
        for gradient in gradients.values():
            distributed.all_reduce(gradient)
    return _found(outputs, gradients, {name: b for name, b in model.named_buffers() if "running" in name})


def _paddle(part: Part, content: Mapping[str, Array]) -> dict[str, Array]:
    from models_paddle import paddle
    from models_paddle.synchronised import synchronise
    from parity.certify.dropout import functions_drop_nothing

    paddle.set_device("cpu")
    if part.count > 1:
        paddle.distributed.init_parallel_env()
    model = _paddle_network(part.settings, content)
    model.to(dtype="float64")
    model.train()
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.Dropout | paddle.nn.Dropout2D):
            layer.p = 0.0
    if part.count > 1 and part.settings["synchronised"]:
        synchronise(model)
    with functions_drop_nothing():
        outputs = flatten(model(paddle.to_tensor(part.images)))
    factors = [paddle.to_tensor(part.factors(n, tuple(output.shape))) for n, output in enumerate(outputs)]
    paddle.autograd.backward(outputs, factors)
    state = model.state_dict()
    gradients = {n: t.grad for n, t in state.items() if not t.stop_gradient and t.grad is not None}
    if part.count > 1:
        for gradient in gradients.values():
            paddle.distributed.all_reduce(gradient)
    return _found(outputs, gradients, {n: t for n, t in state.items() if n.endswith(("_mean", "_variance"))})


def _paddle_network(settings: dict[str, Any], content: Mapping[str, Array]) -> Any:
    from converter.bridge import to_paddle
    from models_paddle import build_uninitialised, load_weights
    from parity.networks.port import build_worker

    network = build_worker(settings)
    if network is not None:
        load_weights(network, _section(content, "port"))
        return network
    network = build_uninitialised(**settings["network"])
    load_weights(network, {to_paddle(name): array for name, array in _section(content, "tensors").items()})
    return network


def _section(content: Mapping[str, Array], name: str) -> dict[str, Array]:
    return {key.partition("/")[2]: array for key, array in content.items() if key.startswith(f"{name}/")}


def _found(outputs: Any, gradients: dict[str, Any], statistics: dict[str, Any]) -> dict[str, Array]:
    named = {f"forward/output {number}": output for number, output in enumerate(outputs)}
    named |= {f"gradients/{name}": tensor for name, tensor in gradients.items()}
    named |= {f"statistics/{name}": tensor for name, tensor in statistics.items()}
    return {name: tensor.detach().numpy() for name, tensor in named.items()}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
