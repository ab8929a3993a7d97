"""From a checkpoint file to a verified `.pdparams` and its manifest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.bridge import to_paddle
from converter.detect import Detection, detect
from converter.errors import ConverterError, InputError
from converter.execute import execute
from converter.files import Checkpoint, check_readable, file_digest, read_checkpoint, write_pdparams
from converter.files.atomic import check_writable, staged
from converter.files.pdparams import read_pdparams
from converter.manifest import Manifest, describe_file, make_manifest, manifest_path, write_manifest
from converter.plan import Plan, Tensors

LoadCheck = Callable[[Plan, dict[str, np.ndarray[Any, Any]]], None]
"""Loads the written tensors, by Paddle name, into a network of the plan; raises if any does not fit.
It may empty the dictionary as it goes."""
Progress = Callable[[str], None]
"""Told the name of each phase as it begins."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion did, or with a dry run would do."""

    detection: Detection
    manifest: Manifest

    def to_json(self) -> dict[str, Any]:
        """The manifest, and why the family is what it is."""
        return {**asdict(self.manifest), "reason": self.detection.reason}


def convert_tensors(tensors: Tensors, family: str | None = None, *, dtype: str = "float32") -> dict[str, Any]:
    """Checkpoint tensors (key -> array) as canonical ones: what `models_torch` loads.

    Rename with `to_paddle` for `models_paddle`. Raises InputError if they are not a whole checkpoint.
    """
    plan = checked_plan(detect(tensors, path="checkpoint", family=family), "checkpoint")
    return {name: array for _, name, array in execute(plan, tensors, dtype=dtype)}


def checked_plan(detection: Detection, path: str) -> Plan:
    """The detected plan. Raises InputError, with all its problems on one line, if it has any."""
    if not detection.plan:
        raise InputError(f"{path}: not a complete {detection.plan.family.name} checkpoint: {detection.plan.explain()}")
    return detection.plan


def convert_file(
    source: Path,
    target: Path,
    *,
    load_check: LoadCheck,
    family: str | None = None,
    recurrence: int | None = None,
    dtype: str = "float32",
    dry_run: bool = False,
    force: bool = False,
    progress: Progress = lambda phase: None,
) -> Conversion:
    """Convert `source` to `target` (.pdparams) and write `target`'s manifest beside it.

    The written file is read back, compared bit for bit with the plan and passed to `load_check` before
    it takes its name. A dry run writes nothing and checks what can be checked without writing.
    Raises InputError for files that cannot be converted, ConverterError if the result is not right.
    """
    check_readable(source)
    _check_target(source, target, force=force)
    with ThreadPoolExecutor(1) as worker:
        source_digest = worker.submit(file_digest, source)
        progress("reading")
        checkpoint = read_checkpoint(source)
        detection = detect(checkpoint.tensors, path=str(source), family=family, collisions=checkpoint.collisions)
        plan = checked_plan(detection, str(source))
        manifest = make_manifest(plan, checkpoint, dtype=dtype, recurrence=recurrence)
        if not dry_run:
            with staged(target, manifest_path(target)) as (staged_target, staged_manifest):
                progress("writing")
                _write(staged_target, plan, checkpoint, manifest, dtype)
                target_digest = worker.submit(file_digest, staged_target)
                progress("reading back")
                written = _read_back(staged_target, plan, checkpoint, dtype)
                checkpoint.tensors.clear()  # unmaps the source: the network below needs the memory
                progress("loading into the Paddle twin")
                load_check(plan, written)
                manifest.target = describe_file(target.name, staged_target, target_digest.result())
                manifest.source = describe_file(source.name, source, source_digest.result())
                write_manifest(staged_manifest, manifest)
        manifest.source = describe_file(source.name, source, source_digest.result())
    return Conversion(detection=detection, manifest=manifest)


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if target.suffix != ".pdparams":
        raise InputError(f"{target}: a Paddle checkpoint's name ends in .pdparams")
    for path in (target, manifest_path(target)):
        check_writable(path, force=force)
    if target.exists() and target.samefile(source):
        raise InputError(f"{target}: is the source itself; name another target")


def _write(path: Path, plan: Plan, checkpoint: Checkpoint, manifest: Manifest, dtype: str) -> None:
    with path.open("wb") as file:
        write_pdparams(
            file,
            (
                (to_paddle(name), manifest.add(step, to_paddle(name), checkpoint.tensors[step.source], array))
                for step, name, array in execute(plan, checkpoint.tensors, dtype=dtype)
            ),
        )


def _read_back(path: Path, plan: Plan, checkpoint: Checkpoint, dtype: str) -> dict[str, np.ndarray[Any, Any]]:
    written = read_pdparams(path)
    expected_names = [to_paddle(name) for _, name in plan.transfers]
    if list(written) != expected_names:
        odd = sorted(set(written) ^ set(expected_names))
        raise ConverterError(f"{path.name}: read back with other tensors than planned: {odd[:3]}")
    for _, name, expected in execute(plan, checkpoint.tensors, dtype=dtype):
        actual = written[to_paddle(name)]
        if actual.dtype != expected.dtype or actual.shape != expected.shape or not _same_bits(actual, expected):
            raise ConverterError(f"{path.name}: {name} differs from the plan after reading back; try another disk")
    return written


def _same_bits(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> bool:
    bits = f"u{expected.dtype.itemsize}"
    return np.array_equal(actual.view(bits), np.ascontiguousarray(expected).view(bits))
