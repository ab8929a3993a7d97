"""Gate "several devices": two processes with synchronised statistics are one process with the whole batch."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from parity.certify.gate import Check, Evidence, NotRunError
from parity.certify.limits import DEVICES, DEVICES_REASON, STATISTIC, STATISTIC_REASON
from parity.certify.measure import greatest, layer_scales, worst
from parity.certify.processes import run_workers
from parity.certify.subject import Subject
from twins.weights import standin_pair

Array = np.ndarray[Any, Any]

WORKER = "parity.certify.devices_worker"
FRAMEWORKS = ("torch", "paddle")
DEPTH = 18
SECONDS = 240.0
PARTS = ("forward", "gradients", "statistics")


def run(subject: Subject, *, frameworks: Sequence[str] = FRAMEWORKS, synchronised: bool = True) -> Evidence:
    """Forward pass, gradients and running statistics, in each framework, on the family's small network.

    What is tested is how statistics and gradients are shared, which does not depend on the depth; a port is
    taken as it is.
    """
    checks = []
    with TemporaryDirectory() as folder:
        source = _write_case(subject, Path(folder), synchronised=synchronised)
        for framework in frameworks if subject.reference is None else frameworks[-1:]:
            subject.progress(f"several devices, {framework}")
            whole, halves = _run(framework, source, 1), _run(framework, source, 2)
            checks += [_check(framework, part, whole, halves) for part in PARTS]
    remark = "both frameworks' own SyncBatchNorm need GPUs: certified is models_*/synchronised.py over gloo, on CPUs"
    return Evidence(checks=checks, remarks=[remark, f"on the {DEPTH}-layer network of the family"])


def _write_case(subject: Subject, folder: Path, *, synchronised: bool) -> Path:
    weights = standin_pair(seed=subject.seed, family=subject.family, depth=DEPTH)
    images, _ = subject.batch(0)
    network = {"family": subject.family, "num_classes": 19, "recurrence": subject.recurrence, "depth": DEPTH}
    settings = {
        "network": network,
        "batch": len(images),
        "meeting": (folder / "meeting").as_uri(),
        "synchronised": synchronised,
        **subject.named_port,
    }
    source = folder / "case.npz"
    tensors = {f"tensors/{name}": array for name, array in weights.torch.items()}
    if subject.has_port:
        state = subject.make_port().state_dict()
        tensors |= {f"port/{name}": tensor.numpy() for name, tensor in state.items()}
    np.savez(source, settings=json.dumps(settings), images=images, **tensors)
    return source


def _run(framework: str, source: Path, count: int) -> list[dict[str, Array]]:
    """What each of `count` processes found. Raises NotRunError if one did not end well."""
    targets = [source.with_name(f"{framework}-{count}-{rank}.npz") for rank in range(count)]
    arguments = [[framework, str(rank), str(count), str(source), str(path)] for rank, path in enumerate(targets)]
    ended = run_workers(WORKER, arguments, _environments(framework, count), seconds=SECONDS)
    for rank, worker in enumerate(ended):
        if not worker:
            raise NotRunError(f"{framework}, process {rank + 1} of {count} {worker.explanation}")
    found = []
    for path in targets:
        with np.load(path) as archive:
            found.append({name: archive[name] for name in archive.files})
    return found


def _environments(framework: str, count: int) -> list[dict[str, str]]:
    """Paddle's processes find each other by ports; torch's by a file."""
    common = {"OMP_NUM_THREADS": "1"}
    if framework == "torch" or count == 1:
        return [common] * count
    ports = _free_ports(count + 1)
    endpoints = [f"127.0.0.1:{port}" for port in ports[:count]]
    shared = {
        **common,
        "PADDLE_TRAINERS_NUM": str(count),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
        "PADDLE_MASTER": f"127.0.0.1:{ports[count]}",
        "PADDLE_DISTRI_BACKEND": "gloo",
    }
    return [
        {**shared, "PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": endpoint}
        for rank, endpoint in enumerate(endpoints)
    ]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _check(framework: str, part: str, whole: list[dict[str, Array]], halves: list[dict[str, Array]]) -> Check:
    expected = _of(part, whole[0])
    actual = [_of(part, half) for half in halves]
    if part == "forward":
        actual = [{name: np.concatenate([half[name] for half in actual]) for name in expected}]
    scales = layer_scales(expected) if part == "gradients" else greatest(expected)
    distance, where = max(worst(found, expected, scales) for found in actual)
    # A port's own norm keeps its momentum as a float32.
    limit, reason = (STATISTIC, STATISTIC_REASON) if part == "statistics" else (DEVICES, DEVICES_REASON)
    return Check(name=f"{framework}, {part}", measured=distance, limit=limit, reason=reason, detail=where)


def _of(part: str, found: dict[str, Array]) -> dict[str, Array]:
    return {name.partition("/")[2]: array for name, array in found.items() if name.startswith(f"{part}/")}
