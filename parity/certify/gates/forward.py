"""Gate "forward": every layer in evaluation mode, by the harness at its default settings."""

from __future__ import annotations

from parity.certify.gate import Check, Evidence, HandIn
from parity.certify.limits import EXACT
from parity.certify.subject import Subject
from parity.engine.harness import compare_models
from parity.networks.inputs import DEFAULT_SIZES, make_images
from parity.reports.reprod_log import ForwardLog
from parity.verdicts.report import Report
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
    checks = [_faults(report)]
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
    return Evidence(checks=checks, remarks=[report.summary], hand_in=HandIn(reference=reference, port=port))


def _faults(report: Report) -> Check:
    count = len(report.guilty) + len(report.problems)
    return Check(
        name="layers that are themselves wrong, and gaps",
        measured=count,
        limit=EXACT,
        reason="a layer given the reference's input answers for itself, and what is not compared proves nothing",
        detail=report.summary if count else "",
    )
