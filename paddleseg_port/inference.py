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
import yaml
from paddle import inference
from paddleseg.core.infer import reverse_transform
from paddleseg.deploy.infer import DeployConfig
from paddleseg.utils import visualize
from PIL import Image

from converter.errors import ConverterError, InputError
from paddleseg_port.folders import make_folder
from paddleseg_port.run import find_images

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


class Exported:
    """An exported model and its transforms, from `deploy.yaml`."""

    def __init__(self, description: Path, backend: Backend) -> None:
        try:
            deploy = DeployConfig(str(description))
            predictor = inference.create_predictor(backend.configure(deploy.model, deploy.params))
        except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{description}: not an exported model ({type(error).__name__}: {reason})") from None
        self.transforms, self.predictor = deploy.transforms, predictor
        self.input = predictor.get_input_handle(predictor.get_input_names()[0])
        self.output = predictor.get_output_handle(predictor.get_output_names()[0])

    def predict(self, image: str, timer: Timer) -> Array:
        """Classes (H, W), uint8, of one picture."""
        with timer.stage("preprocess"):
            data = self.transforms({"img": image})
            pixels = np.ascontiguousarray(data["img"][None])
        with timer.stage("inference"):
            output = self._run(pixels, image)
        with timer.stage("postprocess"):
            scores = output[:, None] if output.ndim == 3 else output
            restored = reverse_transform(paddle.to_tensor(scores), data["trans_info"], mode="nearest").numpy()
            classes = restored[0, 0] if output.ndim == 3 else restored[0].argmax(0)
        return np.asarray(classes, np.uint8)

    def _run(self, pixels: Array, image: str) -> Array:
        self.input.reshape(pixels.shape)
        self.input.copy_from_cpu(pixels)
        try:
            self.predictor.run()
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConverterError(f"{image}: Paddle Inference cannot run the model: {reason}") from None
        return np.asarray(self.output.copy_to_cpu())


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

    Raises ConverterError if one differs.
    """
    exported, timer = Exported(description, backend), Timer()
    images, _ = find_images(image_path)
    make_folder(save_dir)
    for image in images:
        classes = exported.predict(image, timer)
        name = f"{Path(image).stem}.png"
        if expected is not None:  # before it is written: the folders may be one
            _compare(classes, _find_expected(expected, name))
        visualize.get_pseudo_color_map(classes).save(save_dir / name)
    if benchmark:
        print_benchmark(backend, timer, model_name, count=len(images))


def _find_expected(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise InputError(f"{folder}: has {len(found)} files called {name}; one is needed to compare with")
    return found[0]


def _compare(actual: Array, path: Path) -> None:
    expected = np.asarray(Image.open(path))
    if expected.shape != actual.shape:
        raise ConverterError(f"{path.name}: the exported model gives {actual.shape}, the eager one {expected.shape}")
    differing = int((actual != expected).sum())
    if differing:
        raise ConverterError(
            f"{path.name}: the exported model gives {differing} of {actual.size} pixels another class than the eager "
            "one; do not use it with this backend"
        )


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
