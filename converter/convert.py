"""From a checkpoint file to another one, verified, in a family's own keys or in the twins' and with a manifest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from converter.detect import Detection, detect
from converter.errors import ConverterError, InputError
from converter.execute import cast, execute
from converter.files import Reading, check_readable, file_digest, read_checkpoint
from converter.files.atomic import check_writable, leave_signals, staged
from converter.files.write import read_tensors, write_tensors
from converter.manifest import Manifest, describe_file, make_manifest, manifest_path, write_manifest
from converter.origin import Origin, describe_network, trace
from converter.plan import AUXILIARY_LEFT_OUT, Plan, Tensors, expected_tensors, make_plan
from converter.target import CANONICAL, Target, check_target, choose_target

Array = np.ndarray[Any, Any]
LoadCheck = Callable[[Plan, dict[str, Array]], None]
"""A further check: loads the written tensors, by their names in a file of the twins, into a network of the plan; raises
if any does not fit. It may empty the dictionary as it goes."""
BLOCK = 1 << 22
"""Bytes that are compared at a time."""
Progress = Callable[[str], None]
"""Told the name of each phase as it begins."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion did, or with a dry run would do.

    The manifest is written where the target has the twins' keys; otherwise nothing is lost that it would keep.
    """

    origin: Origin
    target: Target
    manifest: Manifest

    @property
    def detection(self) -> Detection:
        """The source's family, and why."""
        return self.origin.detection

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
        plan = detection.plan
        raise InputError(f"{path}: not a complete {plan.family.name} checkpoint: {plan.explain()}{plan.way_on()}")
    return detection.plan


def convert_file(
    source: Path,
    target: Path,
    *,
    load_check: LoadCheck | None = None,
    family: str | None = None,
    keys: str | None = None,
    recurrence: int | None = None,
    dtype: str | None = None,
    abn_semantics: str | None = None,
    align_corners: bool | None = None,
    reading: Reading | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: Progress = lambda phase: None,
) -> Conversion:
    """Convert `source` to `target`, both .pth, .pdparams or .safetensors, with its manifest if it needs one.

    The target has the twins' names if it is a .pdparams, else the family's own, or those that `keys` asks for
    ("canonical" or the family's name). `reading` is how the source is read. `dtype` is float32 by default, or what
    the family's own keys had. The written file is read back, compared bit for bit with what was to be written, held to
    the twin's structure or the family's keys, and with the twins' names passed to `load_check`, if there is one, before
    it takes its name. A dry run writes nothing and checks what can be checked without writing.
    Raises InputError for files that cannot be converted, ConverterError if the result is not right.
    """
    check_readable(source)
    check_target(source, target, force=force)
    with ThreadPoolExecutor(1, initializer=leave_signals) as worker, _given_up() as given_up:
        source_digest = worker.submit(file_digest, source, given_up)
        progress("reading")
        origin = trace(
            read_checkpoint(source, reading), family=family, abn_semantics=abn_semantics, digest=source_digest.result
        )
        output = choose_target(target, checked_plan(origin.detection, str(source)).family, keys=keys)
        _check_manifest(origin, output, force=force)
        check_writable(target, force=force, nbytes=_estimate(origin, dtype))
        manifest = _make_manifest(origin, output, dtype=dtype, recurrence=recurrence, align_corners=align_corners)
        manifest.notes = describe_network(origin, chosen=abn_semantics is not None)
        conversion = Conversion(origin=origin, target=output, manifest=manifest)
        if dry_run:
            deque(_make_tensors(conversion), maxlen=0)
        else:
            with staged(*output.files, replace=force) as (staged_target, *staged_manifest):
                _write_verified(staged_target, conversion, load_check, worker, progress)
                manifest.source = describe_file(source.name, source, source_digest.result())
                for path in staged_manifest:
                    write_manifest(path, manifest)
                progress("moving into place")
        manifest.source = describe_file(source.name, source, source_digest.result())
    return conversion


@contextmanager
def _given_up() -> Iterator[Event]:
    """An event that is set at the end, also of a failure: nobody waits for the digest of a file that is refused."""
    event = Event()
    try:
        yield event
    finally:
        event.set()


def _estimate(origin: Origin, dtype: str | None) -> int:
    """Bytes of the target, about."""
    sizes = {"keep": None, None: None}.get(dtype, dtype)
    return sum(
        array.size * (np.dtype(sizes).itemsize if sizes and array.dtype.kind == "f" else array.itemsize)
        for array in origin.checkpoint.tensors.values()
    )


def _check_manifest(origin: Origin, target: Target, *, force: bool) -> None:
    for path in target.files[1:]:
        if origin.manifest is not None and path.resolve() == manifest_path(origin.checkpoint.path).resolve():
            raise InputError(f"{target.path}: its manifest would replace the source's; choose another name")
        check_writable(path, force=force)


def _make_manifest(
    origin: Origin, target: Target, *, dtype: str | None, recurrence: int | None, align_corners: bool | None
) -> Manifest:
    """A manifest without transfers. What the user does not say, the source's manifest or its name may."""
    known, family = origin.manifest, origin.plan.family
    if recurrence is None and known is not None:
        recurrence = known.recurrence
    if align_corners is None:
        name = origin.checkpoint.path.name
        align_corners = known.align_corners if known else family.preprocessing_for(name).align_corners
    manifest = make_manifest(
        origin.plan,
        origin.checkpoint,
        dtype=dtype or ("float32" if target.keys == CANONICAL else "keep"),
        recurrence=recurrence,
        align_corners=align_corners if family.architecture.heads else None,
    )
    manifest.reversible &= origin.exact
    return manifest


def _write_verified(
    path: Path, conversion: Conversion, load_check: LoadCheck | None, worker: ThreadPoolExecutor, progress: Progress
) -> None:
    """Write the target's tensors to `path`, read them back, compare and load them."""
    target, plan = conversion.target, conversion.detection.plan
    progress("writing")
    write_tensors(path, target.format, _make_tensors(conversion, record=True))
    digest = worker.submit(file_digest, path)
    progress("reading back")
    written = _read_back(path, conversion)
    conversion.origin.checkpoint.release()  # unmaps the source: the network below needs the memory
    if target.twin:
        progress("checking names and shapes")
        _check_twin(plan, written, target)
        if load_check is not None:
            load_check(plan, written)
    else:
        progress("checking keys and shapes")
        if problems := make_plan(written, plan.family).explain():
            raise ConverterError(f"{target.path}: not a complete {target.keys} checkpoint after all: {problems}")
    conversion.manifest.target = describe_file(target.path.name, path, digest.result())


def _check_twin(plan: Plan, written: Mapping[str, Array], target: Target) -> None:
    """Raise ConverterError unless the tensors have the names, shapes and floats of the twin.

    The twins are not built for it, which would need their framework: `expected_tensors` describes them, and
    tests/families hold every family's description to both.
    """
    family = plan.family if plan.auxiliary or not plan.family.architecture.heads else plan.family.without_auxiliary()
    assignments, shapes = expected_tensors(family, depth=plan.depth, num_classes=plan.num_classes)
    expected = {target.rename(item.target): shapes[item.target] for item in assignments if item.target is not None}
    if {name: array.shape for name, array in written.items() if array.dtype.kind == "f"} != expected:
        raise ConverterError(f"{target.path}: not the structure of the {target.twin} twin after all; report this")


def _make_tensors(conversion: Conversion, *, record: bool = False) -> Iterator[tuple[str, Array]]:
    """Every `(name, array)` of the target, one at a time; its way goes into the manifest if `record`."""
    tensors, target, manifest = conversion.origin.checkpoint.tensors, conversion.target, conversion.manifest
    if target.keys == CANONICAL:
        for step, canonical, array in execute(conversion.detection.plan, tensors, dtype=manifest.dtype):
            name = target.rename(canonical)
            yield name, manifest.add(step, name, tensors[step.source], array) if record else array
        return
    left_out = {step.source for step in conversion.detection.plan.drops if step.reason == AUXILIARY_LEFT_OUT}
    for key, source in tensors.items():
        if key in left_out:
            continue
        array = cast(key, source, dtype=manifest.dtype if source.dtype.kind == "f" else "keep")
        yield key, manifest.add_copy(key, source, array) if record else array


def _read_back(path: Path, conversion: Conversion) -> dict[str, Array]:
    name = conversion.target.path
    try:
        written = read_tensors(path, conversion.target.format)
    except InputError as error:
        raise ConverterError(f"{name}: cannot be read back ({error}); try another disk") from None
    left = dict(written)
    for tensor, expected in _make_tensors(conversion):
        actual = left.pop(tensor, None)
        if actual is None or not _same(actual, expected):
            raise ConverterError(f"{name}: {tensor} differs from the plan after reading back; try another disk")
    if left:
        raise ConverterError(f"{name}: read back with other tensors than planned: {sorted(left)[:3]}")
    return written


def _same(actual: Array, expected: Array) -> bool:
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return False
    actual_bytes, expected_bytes = (
        np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (actual, expected)
    )
    parts = range(0, expected.nbytes, BLOCK)  # one at a time: comparing makes an array, too
    return all(np.array_equal(actual_bytes[at : at + BLOCK], expected_bytes[at : at + BLOCK]) for at in parts)
