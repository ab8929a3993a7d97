"""`assert_same`: a port is the reference, or the test fails with the layer that is not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from models_paddle import paddle
from parity.build import Networks, make_inputs
from parity.command import compare_networks
from parity.environment.switches import without_tf32
from parity.errors import ParityInputError
from parity.networks.inputs import arrange
from parity.networks.modules import ModuleInfo, paddle_modules
from parity.networks.port import Port, build_port, load_port_weights
from parity.networks.reference import load_reference, load_reference_weights
from parity.networks.user import users_code
from parity.options import Options
from parity.pairing.match import match_port
from parity.testing.message import describe_failure
from parity.verdicts.report import Report

ARRAYS = "inputs"
"""What reports call the user's own inputs."""


def assert_same(
    reference: nn.Module | str,
    port: Any,
    inputs: Any = None,
    *,
    reference_weights: str | Path | None = None,
    port_weights: str | Path | None = None,
    copy_weights: bool | None = None,
    mapping: Mapping[str, str] | None = None,
    mode: str = "both",
    dtype: str = "both",
    accept: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    keep_tf32: bool = False,
    report: str | Path | None = None,
) -> Report:
    """Raise AssertionError, which names the guilty layer, unless `port` is the same function as `reference`.

        assert_same(TorchNet(), PaddleNet(), images)
        assert_same("ref:build", "port:build", [images, mask], accept=["head.gamma"])

    `reference`: a `torch.nn.Module`, or the name of a function that returns one (`package.module:function`,
    `path/file.py:function`). `port`: the same of a `paddle.nn.Layer`.
    `inputs`: an array, such as images (N, C, H, W), a list of arrays or a dictionary of them by the networks' argument
    names; tensors of either framework too. Floating values are rounded to float32. Default: random images (2, 3, H, W)
    of three sizes.
    `reference_weights`, `port_weights`: files to load before, under each side's own names.
    `copy_weights`: give the port the reference's weights by the pairing (True), or never (False). Default: only where
    the port is fresh beyond doubt: none of its weights is the reference's, all its vectors are constant, as initial
    biases and running statistics are, and no file was loaded.
    `mapping`: the reference's path -> the port's. `mode`, `dtype`, `accept`, `only`, `skip`: as `ccnet-parity`'s. TF32
    is off meanwhile unless `keep_tf32`. `report`: a folder for the report's pages, whatever the verdict.

    Returns the report if it passed; both networks are left as they were, but for copied weights. Raises
    ParityInputError for arguments that allow no comparison, and whatever networks that were given as objects raise.
    """
    __tracebackhide__ = True
    options = Options(
        reference=_name(reference),
        port=_name(port),
        layer_by_layer=True,
        mode=mode,
        dtype=dtype,
        accept=accept,
        only=only,
        skip=skip,
    )
    found = _compare(
        options, _build(reference, port, reference_weights, port_weights, copy_weights, mapping), inputs, keep_tf32
    )
    page = None
    if report is not None:
        from parity.reports.folder import write_report

        page = write_report(Path(report), found, command=_name_test())
    if not found:
        raise AssertionError(describe_failure(found, page))
    return found


def _build(
    reference: nn.Module | str,
    port: Any,
    reference_weights: str | Path | None,
    port_weights: str | Path | None,
    copy_weights: bool | None,
    mapping: Mapping[str, str] | None,
) -> Networks:
    module = load_reference(reference) if isinstance(reference, str) else reference
    made = build_port(port) if isinstance(port, str) else Port(port)
    _check_sides(module, made.layer)
    if reference_weights is not None:
        load_reference_weights(module, Path(reference_weights))
    if port_weights is not None:
        load_port_weights(made.layer, Path(port_weights))
    if copy_weights is None:
        loaded = port_weights is not None or made.came_loaded
        copy_weights = not loaded and (isinstance(port, str) or has_constant_vectors(paddle_modules(made.layer)))
    pairing, summary = match_port(module, made.layer, mapping, given=not copy_weights)
    return Networks(
        reference=module,
        port=made.layer,
        pairing=pairing,
        summary=summary,
        preprocessing=None,
        recurrence=None,
        notes=made.notes,
    )


def _compare(options: Options, networks: Networks, inputs: Any, keep_tf32: bool) -> Report:
    named = make_inputs(options, None) if inputs is None else {ARRAYS: arrange(inputs, "assert_same: inputs")}
    specs = {"--reference": options.reference, "--port": options.port}
    with without_tf32(not keep_tf32), users_code(specs, "run it"):
        return compare_networks(options, networks, named)[1]


def has_constant_vectors(port: Mapping[str, ModuleInfo]) -> bool:
    """Whether a port's biases, scales and statistics are those that layers are made with: each one value throughout.

    A port without any vector tells nothing, and may have been given its weights: False.
    """
    vectors = [array for info in port.values() for array in info.tensors.values() if array.ndim == 1 and array.size > 1]
    return bool(vectors) and all(bool(np.all(vector == vector[0])) for vector in vectors)


def _name_test() -> str:
    """The line that runs the test we are in, if pytest runs one; else nothing."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    return f"pytest {shlex.quote(test.rpartition(' ')[0])}" if test else ""


def _check_sides(reference: Any, port: Any) -> None:
    for name, given, wanted, kind in (
        ("reference", reference, nn.Module, "torch.nn.Module"),
        ("port", port, paddle.nn.Layer, "paddle.nn.Layer"),
    ):
        if not isinstance(given, wanted):
            raise ParityInputError(f"assert_same: {name} is a {type(given).__name__}, not a {kind}")


def _name(network: Any) -> str | None:
    return network if isinstance(network, str) else None
