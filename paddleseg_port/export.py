"""`ccnet-seg export`: a model directory in PaddleSeg's deploy layout, checked before it is called done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import Tensor, nn
from paddleseg.cvlibs import SegBuilder
from paddleseg.deploy.export import WrappedModel

from cityscapes.folders import make_folder
from converter.errors import ConverterError, InputError
from converter.files.atomic import check_writable, scratch_folder, staged
from models_paddle.export import prepare_for_export, save_program
from paddleseg_port.build import explains
from paddleseg_port.rounding import measure_rounding
from paddleseg_port.trained import build_trained

NAME = "model"
PROGRAMS = (f"{NAME}.json", f"{NAME}.pdmodel")
"""What Paddle 3 and Paddle 2 call the program."""
DESCRIPTION = "deploy.yaml"
CHECK_SIZE = (65, 97)
"""Height and width of the picture on which the saved model is compared, where the sizes are left open."""


class Classes(nn.Layer):
    """A model's classes (N, H, W) int32, as PaddleSeg exports them, and beside them its logits, which tell margins."""

    def __init__(self, model: nn.Layer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W), preprocessed."""
        logits = self.model(images)[0]
        return paddle.argmax(logits, axis=1, dtype="int32"), logits


def export(
    config: Path,
    model_path: Path | None,
    save_dir: Path,
    *,
    output_op: str,
    input_shape: Sequence[int],
    opts: Sequence[str],
) -> None:
    """Save the config's model with its weights in `save_dir`, and `deploy.yaml`.

    Raises ConverterError if the saved model does not compute what the eager one does, bit for bit.
    """
    if input_shape and input_shape[1] != 3:
        raise InputError(f"--input_shape has {input_shape[1]} channels; the network takes 3")
    make_folder(save_dir)
    trained = build_trained(config, model_path, opts=opts)
    model = trained.load()
    nbytes = sum(tensor.size * tensor.element_size() for tensor in model.state_dict().values())
    check_writable(save_dir / f"{NAME}.pdiparams", force=True, nbytes=nbytes)
    shape: list[int | None] = list(input_shape) if input_shape else [None, 3, None, None]
    images = _make_images(shape)
    model.eval()
    with scratch_folder(save_dir / NAME) as folder:
        with explains(config):
            expected = _run(_append(model, output_op), images)
            rounding = measure_rounding(model, images)
            prepare_for_export(model)
            save_program(_append(model, output_op), shape, folder / NAME)
            actual = _run(paddle.jit.load(str(folder / NAME)), images)
        for ours, theirs in zip(actual, expected, strict=True):
            if not np.array_equal(ours, theirs):
                raise ConverterError(
                    f"{save_dir}: the model as it would be saved differs from the eager one in "
                    f"{np.mean(ours != theirs):.1%} of its outputs of {tuple(theirs.shape)}; nothing was written"
                )
        _write_description(trained.builder, folder, shape, output_op, rounding)
        _move(folder, save_dir)


def _move(folder: Path, save_dir: Path) -> None:
    """Move the exported model into `save_dir`, all of it or nothing."""
    names = [path.name for path in folder.iterdir()]
    with staged(*(save_dir / name for name in names)) as paths:
        for path, name in zip(paths, names, strict=True):
            (folder / name).replace(path)
    for name in PROGRAMS:  # another Paddle's, of before
        if name not in names:
            (save_dir / name).unlink(missing_ok=True)


def _append(model: nn.Layer, output_op: str) -> nn.Layer:
    wrapped = WRAPPERS[output_op](model)
    wrapped.eval()
    return wrapped


WRAPPERS: dict[str, Callable[[nn.Layer], nn.Layer]] = {
    "none": lambda model: model,
    "softmax": lambda model: WrappedModel(model, "softmax"),
    "argmax": Classes,
}
"""By what the exported model is to give."""


def _make_images(shape: Sequence[int | None]) -> Tensor:
    sizes = [side or default for side, default in zip(shape, (1, 3, *CHECK_SIZE), strict=True)]
    return paddle.to_tensor(np.random.default_rng(0).normal(0, 50, sizes).astype(np.float32))


def _run(model: nn.Layer, images: Tensor) -> list[np.ndarray[Any, Any]]:
    with paddle.no_grad():
        outputs = model(images)
    return [np.asarray(output.numpy()) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def _write_description(
    builder: SegBuilder, folder: Path, shape: Sequence[int | None], output_op: str, rounding: float | None
) -> None:
    """`deploy.yaml`, by PaddleSeg's keys."""
    program = next(name for name in PROGRAMS if (folder / name).is_file())
    description = {
        "model": program,
        "params": f"{NAME}.pdiparams",
        "transforms": builder.config.val_dataset_cfg.get("transforms", []),
        "input_shape": list(shape),
        "output_op": output_op,
        "output_dtype": "int32" if output_op == "argmax" else "float32",
        "rounding": rounding,
    }
    (folder / DESCRIPTION).write_text(yaml.safe_dump({"Deploy": description}))
