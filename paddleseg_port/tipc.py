"""`ccnet-seg tipc`: PaddleSeg's training and inference pipeline check, in small, each step a process of its own."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cityscapes.errors import DatasetError
from cityscapes.folders import make_folder
from cityscapes.generate import make_dataset
from cityscapes.layout import list_samples
from converter.errors import InputError
from paddleseg_port.configs import check_config

ITERATIONS = 20
STATUS_LOG = "results_python.log"
SIZE = (128, 256)
COUNTS = {"train": 4, "val": 2}


@dataclass(frozen=True)
class Step:
    """One command, and the name of its log."""

    name: str
    arguments: Sequence[object]

    @property
    def command(self) -> list[str]:
        """As it is run."""
        return [sys.executable, "-m", "ccnet_cli", "seg", *map(str, self.arguments)]


def run_chain(mode: str, config: Path, save_dir: Path, data: Path, *, device: str, modules: Sequence[str] = ()) -> bool:
    """Train, evaluate, predict, export, and infer without and with oneDNN; whether every step succeeded.

    Each step's output goes to a log of its name, and a line for each to `results_python.log`, both in
    `save_dir`/MODEL/`mode`. A step that crashes is a line too.
    """
    check_config(config)
    logs = save_dir / config.stem / mode
    make_folder(logs)
    prepare(data)
    status = logs / STATUS_LOG
    _report(status, f"------------------------ {mode} ------------------------")
    return run_steps(plan_steps(config, logs, data, device=device, modules=modules), logs, status)


def run_steps(steps: Iterable[Step], logs: Path, status: Path) -> bool:
    """Run every step, whatever became of those before it; whether all succeeded."""
    succeeded = [_run(step, logs, status) for step in steps]
    return all(succeeded)


def prepare(data: Path) -> None:
    """Generate the small data set unless it is there. Raises InputError if `data` is something else."""
    if not data.exists():
        make_dataset(data, counts=COUNTS, size=SIZE, train_ids=True)
    try:
        for split in COUNTS:
            list_samples(data, split)
    except DatasetError as error:
        raise InputError(str(error)) from None


def plan_steps(config: Path, logs: Path, data: Path, *, device: str, modules: Sequence[str] = ()) -> Iterator[Step]:
    """The steps of the chain, each of which imports `modules`."""
    imports = [word for module in modules for word in ("--import", module)]
    weights = logs / "train" / f"iter_{ITERATIONS}" / "model.pdparams"
    exported, images = logs / "export", data / "leftImg8bit" / "val"
    roots = [f"{split}_dataset.dataset_root={data}" for split in COUNTS]
    settings = [*imports, "--config", config, "--opts", *roots]
    on_device = ["--device", device]
    training = ["--iters", ITERATIONS, "--save_interval", ITERATIONS, "--seed", 0, "--use_vdl"]
    yield Step("train", ["train", *settings, *on_device, *training, "--save_dir", logs / "train"])
    loaded = [*settings, "--model_path", weights]
    yield Step("eval", ["val", *loaded, *on_device])
    yield Step("predict", ["predict", *loaded, *on_device, "--image_path", images, "--save_dir", logs / "predict"])
    yield Step("export", ["export", *loaded, "--save_dir", exported])
    for mkldnn in (False, True):
        name = f"python_infer_cpu_usemkldnn_{mkldnn}_threads_2_precision_fp32_batchsize_1"
        options = ["--enable_mkldnn", mkldnn, "--cpu_threads", 2, "--benchmark", True, "--model_name", config.stem]
        compared = ["--save_dir", logs / f"{name}_results", "--expected", logs / "predict" / "pseudo_color_prediction"]
        yield Step(
            name, ["infer", *imports, "--config", exported / "deploy.yaml", "--image_path", images, *options, *compared]
        )


def _run(step: Step, logs: Path, status: Path) -> bool:
    command = shlex.join(step.command)
    with (logs / f"{step.name}.log").open("w") as log:
        result = subprocess.run(step.command, stdout=log, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    outcome = "Run successfully" if result.returncode == 0 else "Run failed"
    _report(status, f" {outcome} with command - {command}!  ")
    if result.returncode:
        click.echo(f" exit code {result.returncode}; its output is in {logs / step.name}.log")
    return result.returncode == 0


def _report(status: Path, line: str) -> None:
    click.echo(line)
    with status.open("a") as log:
        log.write(f"{line}\n")
