"""The guilty layer alone: its weights, an input, the expected output and a script that shows the fault."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import InputError
from converter.files.atomic import make_folder, staged
from parity.engine.stream import TorchPass
from parity.errors import ParityInputError
from parity.networks.arguments import Arguments
from parity.networks.modules import paddle_modules, torch_modules
from parity.verdicts.report import Report
from twins.lazy import torch

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
    inputs: Mapping[str, Arguments],
    *,
    specs: Mapping[str, str | None],
) -> None:
    """Write `repro.npz` and `repro.py` for the first guilty layer; nothing if none is.

    `specs` are the user's own code by option ("--reference", "--port", "--config"); None where it is ours. The script
    runs where the packages of this project (and the user's) can be imported. Raises ParityInputError if the folder
    cannot be written.
    """
    if not report.guilty:
        return
    guilty = report.guilty[0]
    target = guilty.port or report.pairs.get(guilty.path, guilty.path)
    data = _record(torch_model, next(iter(inputs.values())), guilty.path, guilty.call)
    ours, theirs = torch_modules(torch_model), paddle_modules(paddle_model)
    data |= {f"torch:{name}": _wide(t.cpu()) for name, t in ours[guilty.path].module.state_dict().items()}
    data |= {f"paddle:{name}": _wide(t) for name, t in theirs[target].module.state_dict().items()}
    script = SCRIPT.format(
        sentence=guilty.sentence,
        stem="repro",
        path=guilty.path,
        target=target,
        torch_build=_build("torch", report, specs.get("--reference"), None),
        paddle_build=_build("paddle", report, specs.get("--port"), specs.get("--config")),
    )
    try:
        make_folder(folder)
        with staged(folder / "repro.npz", folder / "repro.py") as (arrays, code):
            content = BytesIO()  # an archive that is not finished complains when it is let go
            np.savez(content, **data)
            arrays.write_bytes(content.getbuffer())
            code.write_text(script, encoding="utf-8")
    except InputError as error:
        raise ParityInputError(str(error)) from error
    except OSError as error:
        raise ParityInputError(f"{folder}: cannot write the reproduction: {error.strerror}") from error


def _record(model: torch.nn.Module, arguments: Arguments, path: str, call: int) -> dict[str, Any]:
    """Input and output of one call of one module, in float64."""
    own = next(model.parameters())
    training = model.training
    model.double().eval()
    exact = arguments.map(lambda array: torch.from_numpy(_as_float64(array)).to(own.device))
    run = TorchPass(model, exact, [path], inputs=True)
    data: dict[str, Any] = {}
    try:
        while (event := run.next()) is not None:
            if event.key.call == call and event.key.kind == "input":
                data |= {f"input{index}": _copy(tensor) for index, tensor in enumerate(event.tensors)}
            elif event.key.call == call:
                data["expected"] = _copy(event.tensors[0])
    finally:
        run.close()
        model.to(own.dtype).train(training)
    return data


def _copy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Of its own: this layer, or the next, may overwrite the tensor."""
    return np.array(tensor.cpu())


def _wide(tensor: Any) -> np.ndarray[Any, Any]:
    array = tensor.numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _as_float64(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _build(framework: str, report: Report, spec: str | None, config: str | None) -> str:
    """Lines that make the network again."""
    if config is not None:
        return (
            "from pathlib import Path\nfrom parity.networks.port import build_config\n"
            f"{framework}_model = build_config(Path({config!r})).layer"
        )
    if spec is not None:
        module, _, function = spec.rpartition(":")
        if module.endswith(".py"):
            own = f"{Path(module).resolve()}:{function}"
            made = f"{framework}_model = call_function({own!r}, {framework!r})"
            return f"from parity.networks.user import call_function\n{made}"
        return f"from {module} import {function} as build_{framework}\n{framework}_model = build_{framework}()"
    weights = report.weights
    return (
        f"from models_{framework} import build_ccnet as build_{framework}\n"
        f"{framework}_model = build_{framework}({weights['family']!r}, num_classes={weights['num_classes']}, "
        f"recurrence={report.settings['recurrence']}, depth={weights['depth']})"
    )
