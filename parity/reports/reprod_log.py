"""What Paddle's reproduction guide asks to be handed in, in the format of its package `reprod_log`.

A `.npy` is a dictionary of arrays, as `reprod_log.ReprodLogger` saves it; a log is what `ReprodDiffHelper` reports.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converter.files.atomic import staged
from parity.engine.follow import Sink
from parity.verdicts.comparison import to_array
from parity.verdicts.report import Layer

Array = np.ndarray[Any, Any]

THRESHOLD = 1e-6
"""Of the mean difference: the package's own."""
FORWARD = "forward"
REFERENCES = {FORWARD: "torch", "metric": "torch", "loss": "torch", "bp_align": "torch", "train_align": "benchmark"}
FILES = {
    point: (f"{point}_paddle.npy", f"{point}_{reference}.npy", f"{point}_diff.log")
    for point, reference in REFERENCES.items()
}
"""The guide's point -> the port's file, the reference's, and the log of their differences."""


class ForwardLog:
    """Keeps the networks' outputs of the free passes as a comparison goes. A `Sink`.

    float64's, where it is compared, since they say whether it is the same function; else float32's.
    """

    def __init__(self) -> None:
        self._outputs: dict[str, tuple[dict[str, Array], dict[str, Array]]] = {}

    def __call__(self, layer: Layer, actual: Any, expected: Any) -> None:
        if layer.path == "":
            port, reference = self._outputs.setdefault(layer.dtype, ({}, {}))
            name = f"output {layer.output + 1} of {layer.input}"
            port[name], reference[name] = np.array(to_array(actual)), np.array(to_array(expected))

    @property
    def outputs(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """The port's and the reference's, by output and input."""
        return self._outputs.get("float64") or self._outputs.get("float32") or ({}, {})


def write_pair(folder: Path, point: str, *, port: Mapping[str, Array], reference: Mapping[str, Array]) -> None:
    """Write the three files of the guide's `point` (a key of `FILES`) into `folder`, all or none.

    Raises InputError if that cannot be done.
    """
    with staged(*(folder / name for name in FILES[point])) as (port_path, reference_path, log):
        for path, arrays in ((port_path, port), (reference_path, reference)):
            with path.open("wb") as file:
                np.save(file, np.array(dict(arrays), dtype=object), allow_pickle=True)  # as the package does
        log.write_text("".join(f"{line}\n" for line in report_differences(reference, port)), encoding="utf-8")


def report_differences(reference: Mapping[str, Array], port: Mapping[str, Array]) -> Iterator[str]:
    """The lines of the log. Unlike the package's rule, another shape or a NaN does not pass."""
    stamp = f"[{time.strftime('%Y/%m/%d %H:%M:%S')}] root INFO: "
    passed = bool(reference) and reference.keys() == port.keys()
    for name, expected in reference.items():
        mean = float("nan")
        if name in port and port[name].shape == expected.shape:
            mean = float(np.abs(expected.astype(np.float64) - port[name].astype(np.float64)).mean())
        agrees = mean <= THRESHOLD
        passed &= agrees
        yield f"{stamp}{name}: "
        yield f"{stamp}\tmean diff: check passed: {agrees}, value: {mean}"
    yield f"{stamp}diff check {'passed' if passed else 'failed'}"


def show_to(*sinks: Sink | None) -> Sink | None:
    """One sink that shows all of these what it is shown; None for none."""
    given = [sink for sink in sinks if sink is not None]

    def show(layer: Layer, actual: Any, expected: Any) -> None:
        for sink in given:
            sink(layer, actual, expected)

    return show if given else None
