"""One step of the gate "export chain": `python -m parity.certify.export_worker STEP CASE PROGRAM OUT SHAPE [PASS]`.

STEP is save, reload, plain, onednn or onnx. CASE is an .npz of images and weights, PROGRAM the path of the saved
program; every step but save writes the network's outputs to OUT. SHAPE is the input's in JSON, null for any size. PASS
is one of Paddle Inference that is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

ONNX_OPSET = 16

ENDINGS = (".json", ".pdmodel")
"""Of the program, in Paddle 3 and in Paddle 2."""


def main(step: str, case: Path, program: Path, out: Path, shape: list[int | None], *without: str) -> None:
    """Do one step; the process may not survive it."""
    with np.load(case) as archive:
        tensors = {name: archive[name] for name in archive.files}
    settings = json.loads(str(tensors.pop("settings")))
    images = tensors.pop("images")
    if step == "save":
        save(settings, tensors, program, shape)
        return
    if step == "reload":
        outputs = reload(program, images)
    elif step == "onnx":
        outputs = run_onnx(program, images)
    else:
        outputs = infer(program, images, without, onednn=step == "onednn")
    np.savez(out, *outputs)


def save(settings: dict[str, Any], tensors: dict[str, Array], program: Path, shape: list[int | None]) -> None:
    """Build the network (a port as it is), load it and save it."""
    from models_paddle import build_uninitialised, load_weights
    from models_paddle.export import prepare_for_export, save_program
    from parity.networks.port import build_worker

    network = build_worker(settings)
    is_ours = network is None or type(network).__module__.startswith("paddleseg_port.")
    network = build_uninitialised(**settings["network"]) if network is None else network
    load_weights(network, tensors)
    if is_ours:
        prepare_for_export(network)  # as `ccnet-seg export` does
    network.eval()
    save_program(network, shape, program)


def reload(program: Path, images: Array) -> list[Array]:
    """The outputs of the program, loaded as a layer."""
    from models_paddle import paddle

    loaded = paddle.jit.load(str(program))
    loaded.eval()
    outputs = loaded(paddle.to_tensor(images))
    return [output.numpy() for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def infer(program: Path, images: Array, without: Sequence[str], *, onednn: bool) -> list[Array]:
    """The outputs by Paddle Inference, which prints each of its passes as it runs it; `without` some of them."""
    from models_paddle import paddle

    config = paddle.inference.Config(*_files(program))
    config.disable_gpu()
    switch = "enable_mkldnn" if onednn else "disable_mkldnn"
    if hasattr(config, switch):  # Paddle 2.6 has no switch for off, which is its default
        getattr(config, switch)()
    for name in without:
        config.delete_pass(name)
    predictor = paddle.inference.create_predictor(config)
    handle = predictor.get_input_handle(predictor.get_input_names()[0])
    handle.reshape(images.shape)
    handle.copy_from_cpu(images)
    predictor.run()
    return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]


def run_onnx(program: Path, images: Array) -> list[Array]:
    """The outputs of the program converted by paddle2onnx, by ONNX Runtime."""
    import onnxruntime
    import paddle2onnx

    converted = paddle2onnx.export(*_files(program), opset_version=ONNX_OPSET)
    session = onnxruntime.InferenceSession(converted, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))


def _files(program: Path) -> tuple[str, str]:
    ending = next(ending for ending in ENDINGS if program.with_name(program.name + ending).exists())
    return f"{program}{ending}", f"{program}.pdiparams"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), json.loads(sys.argv[5]), *sys.argv[6:])
