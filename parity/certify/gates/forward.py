"""Gate "forward": every layer in evaluation mode, by the harness at its default settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from parity.certify.gate import Check, Evidence, HandIn
from parity.certify.limits import EXACT
from parity.certify.subject import Subject
from parity.engine.harness import compare_models
from parity.networks.inputs import DEFAULT_SIZES, make_images
from parity.reports.reprod_log import ForwardLog
from parity.verdicts.found import Found
from parity.verdicts.report import Cause, Guilty, Report, name_both
from twins.tolerances import FLOAT32_NOISE_RATIO, FLOAT64_RELATIVE

LIMITS = {
    "float64": (FLOAT64_RELATIVE, "of the RMS: the same function leaves 1e-13, the smallest mistake of interest 5e-9"),
    "float32": (FLOAT32_NOISE_RATIO, "of the reference's own distance from the float64 truth: ordinary rounding"),
}


def run(subject: Subject) -> Evidence:
    """Isolated and free-running, float64 and float32, on an odd and an even input."""
    ours, theirs = subject.torch("float32"), subject.paddle("float32")
    inputs = {"×".join(map(str, size)): make_images(size, seed=subject.seed) for size in DEFAULT_SIZES}
    log = ForwardLog()
    report = compare_models(
        ours.model, theirs.model, inputs, pairs=subject.pairing, progress=subject.progress, sink=log
    )
    checks = [_faults(report), *_layers(report)]
    for dtype, (limit, reason) in LIMITS.items():
        layers = [layer for layer in report.layers if layer.dtype == dtype]
        for mode in ("isolated", "free"):
            chosen = [layer for layer in layers if layer.mode == mode]
            if chosen:
                layer = max(chosen, key=lambda layer: layer.comparison.required_tolerance)
                checks.append(
                    Check(
                        name=f"layers, {mode}, {dtype}",
                        measured=layer.comparison.required_tolerance,
                        limit=limit,
                        reason=reason,
                        detail=f"worst in {layer.name}, input {layer.input}",
                    )
                )
    port, reference = log.outputs
    return Evidence(
        checks=checks,
        remarks=[report.summary],
        explain=lambda: _explain(report),
        hand_in=HandIn(reference=reference, port=port),
    )


def _explain(report: Report) -> Found:
    """The causes of the guilty layers, each with the first of its layers and how many more; or what was measured."""
    layers: dict[tuple[str, str], list[Guilty]] = {}
    for guilty in report.guilty:
        if guilty.cause is not None:
            layers.setdefault((guilty.cause.name, guilty.cause.text), []).append(guilty)
    causes = [one.cause for (one, *_) in layers.values() if one.cause is not None]
    if not causes:
        tried = max((guilty.tried for guilty in report.guilty), default=0)
        return Found(None, tried, next((guilty.facts for guilty in report.guilty), ()))
    said = [
        f"{_list([one.path for one in group])}: {cause.text}"
        for group, cause in zip(layers.values(), causes, strict=True)
    ]
    left = len(report.guilty) - sum(map(len, layers.values()))
    if left:
        said.append(f"{left} more guilty {'layer has' if left == 1 else 'layers have'} no known cause")
    return Found(
        Cause(
            name=" and ".join(dict.fromkeys(cause.name for cause in causes)),
            text="; ".join(said),
            fix="; ".join(dict.fromkeys(cause.fix for cause in causes)),
            residual=max((cause.residual for cause in causes if cause.residual is not None), default=None),
            proved=all(cause.proved for cause in causes),
        )
    )


def _list(paths: Sequence[str]) -> str:
    return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _layers(report: Report) -> list[Check]:
    """One for each layer that is itself wrong, with its cause where there is one."""
    found = []
    for guilty in report.guilty:
        place = guilty.path, guilty.call, guilty.dtype, "isolated"
        apart = [one.comparison.relative for one in report.layers if (one.path, one.call, one.dtype, one.mode) == place]
        cause = f"; {guilty.cause.text}" if guilty.cause is not None else ""
        found.append(
            Check(
                name=f"layer {name_both(guilty.port, guilty.path)}",
                measured=max(apart, default=math.inf),
                limit=EXACT,
                reason="a layer given the reference's input answers for itself",
                detail=f"{guilty.reason}{cause}",
            )
        )
    return found


def _faults(report: Report) -> Check:
    count = len(report.guilty) + len(report.problems)
    return Check(
        name="layers that are themselves wrong, and gaps",
        measured=count,
        limit=EXACT,
        reason="a layer given the reference's input answers for itself, and what is not compared proves nothing",
        detail=report.summary if count else "",
    )
