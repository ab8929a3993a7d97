"""The guilty layer alone: its weights, an input, the expected output and a script that shows the fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converter.files.atomic import staged
from parity.engine.stream import TorchPass
from parity.errors import ParityInputError
from parity.networks.modules import paddle_modules, torch_modules
from parity.verdicts.report import Report

SCRIPT = '''"""{sentence}"""
import numpy as np, paddle, torch

data = dict(np.load("{stem}.npz"))
inputs = [data[key] for key in sorted(data) if key.startswith("input")]
def load(prefix, holder):
    for name, tensor in holder.items():
        value = data[prefix + name]
        tensor.set_value(value) if prefix == "paddle:" else tensor.copy_(torch.tensor(value))
{torch_build}
{paddle_build}
torch_layer = torch_model.double().eval().get_submodule("{path}")
paddle_layer = dict(paddle_model.named_sublayers(include_self=True))["{target}"]
paddle_model.to(dtype="float64"); paddle_model.eval()
with torch.no_grad(), paddle.no_grad():
    load("torch:", torch_layer.state_dict())
    load("paddle:", paddle_layer.state_dict())
    expected = torch_layer(*map(torch.tensor, inputs))
    actual = paddle_layer(*map(paddle.to_tensor, inputs))
first = lambda value: np.asarray(value[0] if isinstance(value, (tuple, list)) else value)
print("torch repeats the recorded output:", np.abs(first(expected) - data["expected"]).max())
print("Paddle is off by:", np.abs(first(actual) - data["expected"]).max())
'''


def export_repro(
    folder: Path,
    report: Report,
    torch_model: torch.nn.Module,
    paddle_model: Any,
    inputs: Mapping[str, np.ndarray[Any, Any]],
    *,
    port: str | None,
) -> None:
    """Write `repro.npz` and `repro.py` for the first guilty layer; nothing if none is.

    The script runs where the packages of this project (and of the port) can be imported.
    Raises ParityInputError if the folder cannot be written.
    """
    if not report.guilty:
        return
    guilty = report.guilty[0]
    target = report.pairs.get(guilty.path, guilty.path)
    images = next(iter(inputs.values()))
    data = _record(torch_model, images, guilty.path, guilty.call)
    ours, theirs = torch_modules(torch_model), paddle_modules(paddle_model)
    data |= {f"torch:{name}": _wide(t.cpu()) for name, t in ours[guilty.path].module.state_dict().items()}
    data |= {f"paddle:{name}": _wide(t) for name, t in theirs[target].module.state_dict().items()}
    script = SCRIPT.format(
        sentence=guilty.sentence,
        stem="repro",
        path=guilty.path,
        target=target,
        torch_build=_build("torch", report),
        paddle_build=_build("paddle", report) if port is None else _port_build(port),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with staged(folder / "repro.npz", folder / "repro.py") as (arrays, code):
            with arrays.open("wb") as file:
                np.savez(file, **data)
            code.write_text(script, encoding="utf-8")
    except OSError as error:
        raise ParityInputError(f"{folder}: cannot write the reproduction: {error.strerror}") from error


def _record(model: torch.nn.Module, images: np.ndarray[Any, Any], path: str, call: int) -> dict[str, Any]:
    """Input and output of one call of one module, in float64."""
    own = next(model.parameters())
    training = model.training
    model.double().eval()
    run = TorchPass(model, torch.from_numpy(images.astype(np.float64)).to(own.device), [path], inputs=True)
    data: dict[str, Any] = {}
    try:
        while (event := run.next()) is not None:
            if event.call == call and event.kind == "input":
                data |= {f"input{index}": tensor.cpu().numpy() for index, tensor in enumerate(event.tensors)}
            elif event.call == call:
                data["expected"] = event.tensors[0].cpu().numpy()
    finally:
        run.close()
        model.to(own.dtype).train(training)
    return data


def _wide(tensor: Any) -> np.ndarray[Any, Any]:
    array = tensor.numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _build(framework: str, report: Report) -> str:
    weights = report.weights
    return (
        f"from models_{framework} import build_ccnet as build_{framework}\n"
        f"{framework}_model = build_{framework}({weights['family']!r}, num_classes={weights['num_classes']}, "
        f"recurrence={report.settings['recurrence']}, depth={weights['depth']})"
    )


def _port_build(port: str) -> str:
    module, _, function = port.partition(":")
    return f"from {module} import {function} as build_port\npaddle_model = build_port()"
