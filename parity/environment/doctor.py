"""`ccnet-parity doctor`: whether this installation can compare, and what in it changes numbers.

    examination = examine()
    assert examination, [finding.advice for finding in examination.findings]

Each check is a function of CHECKS that yields what it found; both frameworks are imported, and one that is broken is a
finding like any other. The ranges of versions are those that the package itself declares.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import PackageNotFoundError, requires
from io import StringIO

from packaging.requirements import Requirement

from converter.names import count
from parity.environment.describe import describe_environment, find_version
from parity.environment.findings import Examination, Finding, Verdict
from parity.environment.switches import TF32_VARIABLE, read_switches

PACKAGE = "ccnet-parity"
PYTHONS = (3, 10), (3, 13)
"""The oldest and the newest that both frameworks have wheels for."""
PADDLES = "paddlepaddle", "paddlepaddle-gpu"
FRAMEWORKS = ("torch", *PADDLES)
KERNELS = ("ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "ATEN_CPU_CAPABILITY")
"""Variables by which a user may have chosen the kernels of another processor."""
MISSING = "not installed"
EXTRAS = {
    "paddleseg": ("paddleseg", "ccnet-seg, and --config"),
    "onnx": ("onnxruntime", "the last step of certify's export chain"),
    "demo": ("skimage", "the photograph of the demo"),
}
"""Extra -> a module of it, and what needs it."""


def examine() -> Examination:
    """Look at everything. Imports both frameworks, which takes seconds."""
    for framework in ("torch", "paddle"):
        _import(framework)
    findings = [finding for check in CHECKS for finding in check()]
    return Examination(findings, describe_environment())


def check_python() -> Iterator[Finding]:
    own = sys.version_info[:2]
    if PYTHONS[0] <= own <= PYTHONS[1]:
        yield Finding("Python", platform.python_version())
    else:
        oldest, newest = (".".join(map(str, one)) for one in PYTHONS)
        advice = f"the frameworks have wheels for {oldest} to {newest}: make an environment with one of these"
        yield Finding("Python", platform.python_version(), "note", advice)


def check_torch() -> Iterator[Finding]:
    fault = _import("torch")
    if fault is None:
        yield _in_range("torch", "torch")
    else:
        advice = "pip install torch; without it, ports are recorded, and compared with a --reference-recording"
        yield Finding("torch", fault, _judge_missing(fault, "paddle"), advice)


def check_paddle() -> Iterator[Finding]:
    installed = [package for package in PADDLES if find_version(package)]
    fault = _import("paddle")
    if len(installed) > 1:
        advice = "both write the folder `paddle`: pip uninstall both, then install the one for your device"
        yield Finding("Paddle", " and ".join(installed), "fault", advice)
    elif fault is not None:
        advice = "pip install paddlepaddle, or paddlepaddle-gpu; without it, references are recorded, and no more"
        yield Finding("Paddle", fault, _judge_missing(fault, "torch"), advice)
    elif not installed:  # a build of the user's own
        yield Finding("Paddle", str(sys.modules["paddle"].__version__))
    else:
        yield _in_range("Paddle", installed[0])


def check_packages() -> Iterator[Finding]:
    """The packages that every command needs."""
    for requirement in _requirements():
        name = requirement.name
        if name in FRAMEWORKS or requirement.marker is not None:
            continue
        finding = _in_range(name, name)
        if name == "numpy":
            yield _judge_numpy(finding)
        elif finding.verdict != "ok":
            yield finding


def check_device() -> Iterator[Finding]:
    torch, paddle = sys.modules.get("torch"), sys.modules.get("paddle")
    sees = {
        "torch": torch is not None and torch.cuda.is_available(),
        "Paddle": paddle is not None
        and paddle.device.is_compiled_with_cuda()
        and paddle.device.cuda.device_count() > 0,
    }
    with_gpu = [name for name, one in sees.items() if one]
    if len(with_gpu) == 1:
        blind = next(name for name in sees if name not in with_gpu)
        advice = f"--device gpu needs it in both: {blind} is a CPU build, or its CUDA does not fit the driver"
        yield Finding("GPU", f"seen by {with_gpu[0]} alone", "note", advice)
    else:
        yield Finding("GPU", describe_environment()["gpu"] or "none: comparisons run on the CPU")


def check_tf32() -> Iterator[Finding]:
    on = [
        f"{framework} {name.removeprefix('tf32_').replace('matmul', 'matrix products')}"
        for framework, switches in read_switches().items()
        for name, value in switches.items()
        if name.startswith("tf32") and value
    ]
    if os.environ.get(TF32_VARIABLE) == "0":
        yield Finding("TF32", f"off, by {TF32_VARIABLE}=0")
    elif not on:
        yield Finding("TF32", "off in both frameworks")
    else:
        advice = f"--device gpu switches it off unless --keep-tf32; in your own scripts, export {TF32_VARIABLE}=0"
        has_gpu = describe_environment()["gpu"] is not None
        yield Finding("TF32", f"on for {', '.join(on)}{'' if has_gpu else ' (on a GPU only)'}", "note", advice)


def check_onednn() -> Iterator[Finding]:
    switches = read_switches()
    if switches.get("paddle", {}).get("onednn"):
        advice = "it rounds float32 coarser: unset FLAGS_use_mkldnn (Paddle 3: FLAGS_use_onednn)"
        yield Finding("oneDNN in Paddle", "on", "note", advice)
    if "torch" in switches:
        yield Finding("oneDNN in torch", "switched off while networks are compared")


def check_flags() -> Iterator[Finding]:
    """What the user's environment sets that makes the frameworks compute otherwise."""
    for name, value in sorted(os.environ.items()):
        if name.startswith("FLAGS_"):
            advice = "stands in every report; unset it unless your training sets it, too"
            yield Finding(name, value, "note", advice)
        elif name in KERNELS:
            yield Finding(name, value, "note", "chooses the kernels of another processor: float32 rounds otherwise")


def check_determinism() -> Iterator[Finding]:
    if describe_environment()["gpu"] is None:
        yield Finding("determinism", "a CPU repeats its sums, with equally many threads")
        return
    switches = read_switches()
    loose = [
        framework
        for framework, name in (("torch", "deterministic_algorithms"), ("paddle", "cudnn_deterministic"))
        if switches.get(framework, {}).get(name) is False
    ]
    if loose:
        advice = "gradients may differ from run to run: FLAGS_cudnn_deterministic=1, torch.use_deterministic_algorithms"
        yield Finding("determinism", f"not asked of {' and '.join(loose)}", "note", advice)
    else:
        yield Finding("determinism", "asked of both frameworks")


def check_threads() -> Iterator[Finding]:
    cores, threads = os.cpu_count() or 1, os.environ.get("OMP_NUM_THREADS", "")
    found = f"OMP_NUM_THREADS={threads or 'unset'}, {count(cores, 'core')}"
    if threads == str(cores):
        yield Finding("threads", found)
    else:
        advice = "sums are split otherwise than on all cores, and a forward pass may be slower: unset OMP_NUM_THREADS"
        yield Finding("threads", found, "note", advice)


def check_extras() -> Iterator[Finding]:
    for extra, (module, purpose) in EXTRAS.items():
        install = f"pip install '{PACKAGE}[{extra}]'"
        if importlib.util.find_spec(module) is None:
            yield Finding(f"extra {extra}", "not installed", "note", f"{purpose}: {install}")
        else:
            yield Finding(f"extra {extra}", "installed")
    if importlib.util.find_spec("cv2") is not None:
        fault = _import("cv2")
        if fault is not None:
            yield Finding("OpenCV", fault, "note", "PaddleSeg needs it: pip install 'numpy<2' 'opencv-python<=4.6'")


CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    check_python,
    check_torch,
    check_paddle,
    check_packages,
    check_device,
    check_tf32,
    check_determinism,
    check_onednn,
    check_flags,
    check_threads,
    check_extras,
)


def _import(name: str) -> str | None:
    """Import a package, quietly; why it cannot be, or None."""
    try:
        if importlib.util.find_spec(name) is None:
            return MISSING
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            importlib.import_module("models_paddle" if name == "paddle" else name)
    except ModuleNotFoundError as error:
        return MISSING if error.name == name else f"cannot be imported: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is what is to be told
        return f"cannot be imported: {' '.join(str(error).split())[:160] or type(error).__name__}"
    return None


def _judge_missing(fault: str, other: str) -> Verdict:
    """One framework suffices for one side of a comparison; one that is broken never does."""
    return "note" if fault == MISSING and _import(other) is None else "fault"


def _in_range(name: str, package: str) -> Finding:
    """Whether a package's version is one that this project declares."""
    found = find_version(package)
    requirement = next((one for one in _requirements() if one.name == package), None)
    if found is None:
        return Finding(name, "not installed", "fault", f"pip install '{requirement or package}'")
    if requirement is not None and not requirement.specifier.contains(found, prereleases=True):
        return Finding(name, found, "note", f"tested with {requirement.specifier}: pip install '{_bare(requirement)}'")
    return Finding(name, found)


def _judge_numpy(finding: Finding) -> Finding:
    if not finding.found.startswith("2."):
        return finding
    advice = "pickles it writes name numpy._core, and PaddleSeg's OpenCV was built against 1: pip install 'numpy<2'"
    return Finding("numpy", finding.found, "fault" if find_version("paddleseg") else "note", advice)


def _bare(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _requirements() -> list[Requirement]:
    """What the package declares; nothing where it is used without being installed."""
    try:
        return [Requirement(line) for line in requires(PACKAGE) or []]
    except PackageNotFoundError:
        return []
