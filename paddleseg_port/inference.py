"""`ccnet-seg infer`: predictions of an exported model by Paddle Inference, with its benchmark as AutoLog prints it."""

from __future__ import annotations

import platform
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from paddleseg_port.components import REPAIRED  # noqa: F401 - registers what deploy.yaml names

# isort: split
import paddle
from paddle import inference
from paddleseg.core.infer import reverse_transform
from paddleseg.deploy.infer import DeployConfig
from paddleseg.utils import visualize

from cityscapes.folders import make_folder
from converter.errors import ConverterError, InputError
from paddleseg_port.build import describe
from paddleseg_port.configs import check_config
from paddleseg_port.data import CheckedTransforms
from paddleseg_port.files import require_guard
from paddleseg_port.images import check_results, find_images
from paddleseg_port.rounding import compare_classes

Array = np.ndarray[Any, Any]

STAGES = ("preprocess", "inference", "postprocess")


@dataclass(frozen=True, kw_only=True)
class Backend:
    """How Paddle Inference runs."""

    device: str = "cpu"
    enable_mkldnn: bool = False
    cpu_threads: int = 2
    precision: str = "fp32"

    def configure(self, program: str, parameters: str) -> Any:
        """Its `Config`. oneDNN is on by itself on some CPUs; here it is what was asked for."""
        config = inference.Config(program, parameters)
        config.disable_glog_info()
        if self.device == "gpu":
            config.enable_use_gpu(100, 0)
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(self.cpu_threads)
            switch = "enable_mkldnn" if self.enable_mkldnn else "disable_mkldnn"
            if hasattr(config, switch):  # Paddle 2.6 has no switch for off, which is its default
                getattr(config, switch)()
        return config


@dataclass
class Timer:
    """Seconds per stage, of every picture but the first, which warms up."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of this block."""
        start = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - start)

    def mean(self, name: str) -> float:
        """In milliseconds."""
        values = self.seconds[name][1:] or self.seconds[name]
        return 1000 * float(np.mean(values))

    @property
    def total(self) -> float:
        """In seconds."""
        return sum(sum(values) for values in self.seconds.values())


@dataclass(frozen=True)
class Prediction:
    """`classes` (H, W) uint8 of a picture, its `data` after the transforms, and `scores` (K, H, W) if that is what
    the exported model gives first."""

    classes: Array
    data: dict[str, Any]
    scores: Array | None


class Exported:
    """An exported model and its transforms, from `deploy.yaml`."""

    def __init__(self, description: Path, backend: Backend) -> None:
        require_guard()
        check_config(description)
        try:
            deploy = DeployConfig(str(description))
            for file in (deploy.model, deploy.params):
                if not Path(file).is_file():
                    raise InputError(f"{file}: is no regular file, which {description} names; export the model again")
            predictor = inference.create_predictor(backend.configure(deploy.model, deploy.params))
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - a YAML of any shape, and transforms of any kind
            raise InputError(f"{description}: not an exported model ({describe(error)})") from None
        rounding = deploy.dic["Deploy"].get("rounding")
        self.rounding = rounding if isinstance(rounding, float) else None
        self.has_logits = deploy.dic["Deploy"].get("output_op") == "none"
        self.transforms, self.predictor = CheckedTransforms(deploy.transforms), predictor
        self.input = predictor.get_input_handle(predictor.get_input_names()[0])
        self.outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]

    def predict(self, image: str, timer: Timer) -> Prediction:
        """The classes of one picture."""
        with timer.stage("preprocess"):
            data = self.transforms({"img": image})
            pixels = np.ascontiguousarray(data["img"][None])
        with timer.stage("inference"):
            output = self._run(pixels, image)
        with timer.stage("postprocess"):
            restored = _restore(output[:, None] if output.ndim == 3 else output, data)
            classes = restored[0] if output.ndim == 3 else restored.argmax(0)
        return Prediction(np.asarray(classes, np.uint8), data, None if output.ndim == 3 else restored)

    def find_logits(self, prediction: Prediction) -> Array | None:
        """The logits (K, H, W) of the last prediction; None if the export does not give them."""
        if prediction.scores is not None:
            return prediction.scores if self.has_logits else None
        if len(self.outputs) < 2:
            return None
        return _restore(np.asarray(self.outputs[1].copy_to_cpu()), prediction.data)

    def _run(self, pixels: Array, image: str) -> Array:
        self.input.reshape(pixels.shape)
        self.input.copy_from_cpu(pixels)
        try:
            self.predictor.run()
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConverterError(f"{image}: Paddle Inference cannot run the model: {describe(error)}") from None
        return np.asarray(self.outputs[0].copy_to_cpu())


def _restore(scores: Array, data: dict[str, Any]) -> Array:
    """(1, C, h, w) at the network's size -> (C, H, W) at the picture's."""
    return np.asarray(reverse_transform(paddle.to_tensor(scores), data["trans_info"], mode="nearest").numpy()[0])


def infer(
    description: Path,
    image_path: Path,
    save_dir: Path,
    backend: Backend,
    *,
    benchmark: bool,
    model_name: str,
    expected: Path | None,
) -> None:
    """Write a palette PNG of class numbers for each picture, and compare with the PNGs in `expected`.

    Raises ConverterError if one differs where rounding does not explain it.
    """
    exported, timer = Exported(description, backend), Timer()
    images, _ = find_images(image_path)
    make_folder(save_dir)
    names = [f"{Path(image).stem}.png" for image in images]
    check_results(images, [save_dir / name for name in names], save_dir)
    for image, name in zip(images, names, strict=True):
        prediction = exported.predict(image, timer)
        if expected is not None:  # before it is written: the folders may be one
            path = _find_expected(expected, name)
            compare_classes(prediction.classes, exported.find_logits(prediction), exported.rounding, path)
        visualize.get_pseudo_color_map(prediction.classes).save(save_dir / name)
    if benchmark:
        print_benchmark(backend, timer, model_name, count=len(images))


def _find_expected(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise InputError(f"{folder}: has {len(found)} files called {name}; one is needed to compare with")
    return found[0]


def print_benchmark(backend: Backend, timer: Timer, model_name: str, *, count: int) -> None:
    """The fields of AutoLog (LDOUBLEV/AutoLog), in its order, which the TIPC tools read."""
    facts = {
        "Env info": {"OS_version": platform.platform()},
        "Paddle info": {"paddle_version": paddle.__version__, "paddle_commit": paddle.__git_commit__},
        "Conf info": {
            "runtime_device": backend.device,
            "ir_optim": True,
            "enable_memory_optim": False,  # it ends Paddle 3.3.1 on some programs
            "enable_tensorrt": False,
            "enable_mkldnn": backend.enable_mkldnn,
            "cpu_math_library_num_threads": backend.cpu_threads,
        },
        "Model info": {"model_name": model_name, "precision": backend.precision},
        "Data info": {"batch_size": 1, "input_shape": "dynamic", "data_num": count},
        "Perf info": {
            "cpu_rss(MB)": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 4),
            "total time spent(s)": round(timer.total, 4),
        },
    }
    lines = []
    for title, fields in facts.items():
        lines.append(f"---------------------- {title} ----------------------")
        lines += [f"{name}: {value}" for name, value in fields.items()]
    lines.append(", ".join(f"{stage}_time(ms): {timer.mean(stage):.4f}" for stage in STAGES))
    for line in lines:
        click.echo(f"[{time.strftime('%Y/%m/%d %H:%M:%S')}] root INFO: {line}")
