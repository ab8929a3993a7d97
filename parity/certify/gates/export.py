"""Gate "export chain": dynamic network, saved program, reloaded program, Paddle Inference plain and with oneDNN, ONNX.

Each step runs in a process of its own: a crash is a finding.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from parity.certify.gate import Check, Evidence
from parity.certify.limits import FLOAT32_EXPORT, FLOAT32_EXPORT_REASON
from parity.certify.measure import noise_ratio
from parity.certify.processes import Finished, run_workers
from parity.certify.subject import Subject
from twins.tensors import flatten

Array = np.ndarray[Any, Any]

WORKER = "parity.certify.export_worker"
SECONDS = 300.0
SIZE = (65, 97)
SHAPES: dict[str, list[int | None]] = {"fixed shape": [1, 3, *SIZE], "any shape": [None, 3, None, None]}
STEPS = {
    "reload": "reloaded",
    "plain": "Paddle Inference",
    "onednn": "Paddle Inference with oneDNN",
    "onnx": "ONNX Runtime",
}


def run(subject: Subject, *, shapes: Sequence[str] = tuple(SHAPES)) -> Evidence:
    """Outputs of every step against the eager float64 network, by the distance of the eager float32 one."""
    missing = _why_no_onnx()
    steps = {step: title for step, title in STEPS.items() if step != "onnx" or not missing}
    images = np.random.default_rng([subject.seed, 7]).standard_normal((1, 3, *SIZE)).astype(np.float32)
    exact = _eager(subject, images.astype(np.float64))
    eager = _rounded(subject, images, exact)
    checks = []
    with TemporaryDirectory() as folder:
        case = _write_case(subject, Path(folder), images)
        for name in shapes:
            shape = SHAPES[name]
            subject.progress(f"export chain, {name}, save")
            program = Path(folder) / name.replace(" ", "-")
            saved = _work("save", case, program, shape)
            if not saved:
                checks.append(_check(f"{name}, save", math.inf, saved.explanation))
                continue
            for step, title in steps.items():
                subject.progress(f"export chain, {name}, {title}")
                checks.append(_step(step, f"{name}, {title}", case, program, shape, exact, eager))
    return Evidence(checks=checks, remarks=[f"ONNX is not part of this certificate: {missing}"] if missing else [])


def _why_no_onnx() -> str:
    """What keeps this environment from the step "onnx"; empty if nothing does."""
    from models_paddle import paddle

    if paddle.__version__.startswith("2."):
        return f"paddle2onnx needs Paddle 3, this is {paddle.__version__}"
    packages = [name for name in ("paddle2onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    return f"install ccnet-parity[onnx] ({' and '.join(packages)})" if packages else ""


def _eager(subject: Subject, images: Array) -> list[Array]:
    """The outputs in the precision of `images`."""
    side = subject.paddle(images.dtype.name)
    side.model.eval()
    with side.without_gradients():
        return [side.array(output) for output in flatten(side.model(side.tensor(images)))]


def _rounded(subject: Subject, images: Array, exact: list[Array]) -> list[Array]:
    """Each output of the eager float32 network on `images` and on two others, a last place from them, that is the
    farthest from `exact`: whatever kernels a machine takes, one of them may happen to hit it."""
    moved = (np.nextafter(images, np.float32(end)) for end in (-np.inf, np.inf))
    runs = [_eager(subject, batch) for batch in (images, *moved)]
    return [
        max(draws, key=lambda draw: float(np.abs(draw - truth).max()))
        for *draws, truth in zip(*runs, exact, strict=True)
    ]


def _write_case(subject: Subject, folder: Path, images: Array) -> Path:
    plan = subject.weights.plan
    network = {
        "family": subject.family,
        "num_classes": plan.num_classes,
        "recurrence": subject.recurrence,
        "depth": plan.depth,
    }
    settings = json.dumps({"network": network, **subject.named_port})
    tensors = {name: tensor.numpy() for name, tensor in subject.paddle("float32").model.state_dict().items()}
    case = folder / "case.npz"
    np.savez(case, settings=settings, images=images, **tensors)
    return case


def _work(step: str, case: Path, program: Path, shape: list[int | None], *without: str) -> Finished:
    out = program.with_name(f"{program.name}-{step}.npz")
    arguments = [step, str(case), str(program), str(out), json.dumps(shape), *without]
    (ended,) = run_workers(WORKER, [arguments], [{}], seconds=SECONDS)
    return ended


def _step(
    step: str, name: str, case: Path, program: Path, shape: list[int | None], exact: list[Array], eager: list[Array]
) -> Check:
    ended = _work(step, case, program, shape)
    if not ended:
        guilty = find_pass(ended)
        cured = guilty is not None and bool(_work(step, case, program, shape, guilty))
        return _check(name, math.inf, explain(step, ended, cured=cured))
    with np.load(program.with_name(f"{program.name}-{step}.npz")) as archive:
        outputs = [archive[key] for key in archive.files]
    if [output.shape for output in outputs] != [output.shape for output in exact]:
        shapes = [output.shape for output in outputs]
        return _check(name, math.inf, f"outputs {shapes}, eager {[output.shape for output in exact]}")
    ratios = [noise_ratio(*arrays) for arrays in zip(outputs, eager, exact, strict=True)]
    return _check(name, max(ratios), f"output {int(np.argmax(ratios))}")


def find_pass(ended: Finished) -> str | None:
    """The pass of Paddle Inference that was running when the process crashed."""
    passes = re.findall(r"Running (?:PIR |IR )?pass \[(\w+)\]", ended.output)
    return passes[-1] if passes and ended.code is not None and ended.code < 0 else None


def explain(step: str, ended: Finished, *, cured: bool) -> str:
    """What ended a step: for a crash, in which pass, and the switch that avoids it (`cured`: it was tried)."""
    guilty = find_pass(ended)
    where = f" in {guilty}" if guilty else ""
    switches = [f"Config.delete_pass({guilty!r})"] if cured else []
    switches += ["Config.disable_mkldnn()"] if step == "onednn" else []
    reported = re.findall(r"\[ERROR\]\[Paddle2ONNX\] (.+)", ended.output)
    reason = f": {reported[-1].strip()}" if step == "onnx" and reported else ""
    advice = f"; {' or '.join(switches)} avoids it" if switches else ""
    return f"{ended.explanation}{reason}{where}{advice}"


def _check(name: str, measured: float, detail: str) -> Check:
    return Check(name=name, measured=measured, limit=FLOAT32_EXPORT, reason=FLOAT32_EXPORT_REASON, detail=detail)
