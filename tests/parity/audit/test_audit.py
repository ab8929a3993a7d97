"""The audit of PaddleSeg's CCNet: it finds what is there, explains every accusation, and cannot invent one."""

from __future__ import annotations

import pytest

from converter.plan import expected_tensors
from families import get_family
from parity.audit.findings import FINDINGS
from parity.audit.page import render_page, run_audit
from parity.audit.port import BothHeads, map_modules
from parity.verdicts.report import Report

DEPTH = 50
OF_ANOTHER_SHAPE = {
    "(network)",
    *(f"backbone.stem.{number}.{leaf}" for number in range(3) for leaf in ("conv", "norm")),
    "backbone.stage1.0",
    "backbone.stage1.0.reduce.conv",
    "backbone.stage1.0.shortcut.conv",
}
OF_THE_SHORTCUT = {"backbone.stage2.0.shortcut.conv"}
OF_THE_SLOPE = {"head.reduce.activation", "head.refine.activation"}


@pytest.fixture(scope="module")
def audit() -> tuple[Report, BothHeads]:
    return run_audit(DEPTH)


def test_every_accusation_is_explained(audit: tuple[Report, BothHeads]) -> None:
    report, _ = audit
    accused = {guilty.path or "(network)" for guilty in report.guilty}
    explained = {finding.accused for finding in FINDINGS if finding.accused} | {"auxiliary_head.dropout"}
    assert explained <= accused
    assert accused - explained - OF_ANOTHER_SHAPE - OF_THE_SHORTCUT <= OF_THE_SLOPE


def test_weights_that_fit_nothing_are_named(audit: tuple[Report, BothHeads]) -> None:
    """By both architectures' shapes."""
    shapes = [
        expected_tensors(get_family(family), depth=DEPTH, num_classes=19)[1] for family in ("official", "paddleseg")
    ]
    assert set(audit[0].weights["different"]) == {name for name in shapes[0] if shapes[0][name] != shapes[1].get(name)}


def test_the_page(audit: tuple[Report, BothHeads]) -> None:
    page = render_page(*audit, depth=DEPTH)
    for finding in FINDINGS:
        assert f"\n| {finding.name} | " in page
        assert f"**{finding.name}.**" in page
    assert "64 becomes 33, not 32" in page
    assert "an update is 0.9800 of torch's" in page
    assert "not 0.0% of channels" in page
    assert "\n\n\n" not in page


def test_a_difference_that_is_not_there_is_not_reported(audit: tuple[Report, BothHeads]) -> None:
    report, port = audit
    mended = Report(
        layers=report.layers,
        coverage=report.coverage,
        guilty=tuple(guilty for guilty in report.guilty if guilty.path != "head.fuse.activation"),
    )
    with pytest.raises(LookupError, match=r"does not accuse head\.fuse\.activation; PaddleSeg may have changed"):
        render_page(mended, port, depth=DEPTH)


def test_the_mapping_is_whole() -> None:
    from parity.audit.port import build
    from parity.networks.modules import paddle_modules

    theirs = paddle_modules(build(DEPTH))
    mapped = set(map_modules(DEPTH).values())
    assert mapped <= theirs.keys()
    assert {path for path, info in theirs.items() if info.tensors} <= mapped
