"""The report in a terminal: in its width, with the layer and its figure, and each tensor once."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from parity.reports.tables import print_report
from parity.verdicts.report import Report
from tests.parity.made_reports import make_report

RULE = "─"


def printed(report: Report, width: int = 160) -> list[str]:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_tables_fit_and_keep_layer_and_figure(width: int) -> None:
    lines = printed(make_report(healthy=False)[0], width)
    rules = [number for number, line in enumerate(lines) if RULE in line]
    assert len(rules) == 2
    assert all(len(lines[number + step].rstrip()) <= width for number in rules for step in (-1, 0, 1, 2))
    guilty = next(line for line in lines[rules[1] :] if "backbone.stage3.0.spatial.norm" in line.replace(" ", ""))
    assert "e-0" in guilty


def test_a_healthy_run_says_nothing_of_other_tools() -> None:
    lines = printed(make_report(healthy=True)[0])
    assert lines[-1].startswith("PASSED")
    assert not any("PaDiff" in line for line in lines)
    assert any("PaDiff" in line for line in printed(make_report(healthy=False)[0]))


def test_an_output_of_the_network_that_a_module_gives_is_one_row() -> None:
    report, _ = make_report(healthy=True)
    heads = [layer for layer in report.layers if layer.path in ("", "head", "auxiliary_head")]
    few = [layer for layer in heads if layer.mode == "free" and layer.dtype == "float64" and layer.input == "odd"]
    rows = [line for line in printed(replace(report, layers=tuple(few))) if "float64" in line]
    assert len(few) == 4
    assert [row.split()[0] for row in rows] == ["head", "auxiliary_head"]


def test_what_is_accepted_is_told_from_what_is_not_compared() -> None:
    report, _ = make_report(healthy=True)
    gaps = replace(report.coverage, unpaired_port=("mine", "other"), accepted=("mi*",))
    lines = printed(replace(report, coverage=gaps))
    assert "accepted, layers of the port without a counterpart: mine" in lines
    assert "not compared, layers of the port without a counterpart: other" in lines


def test_many_names_are_collapsed() -> None:
    report, _ = make_report(healthy=True)
    names = [f"stage{stage}.{block}.relu" for stage in (1, 2) for block in range(9)]
    lines = printed(replace(report, coverage=replace(report.coverage, unpaired_port=tuple(names))))
    assert "not compared, 18 layers of the port without a counterpart: stage{1…2}.{0…8}.relu" in lines


def test_a_mismatch_says_how_many_elements_are_beyond_the_limit() -> None:
    text = " ".join(printed(make_report(healthy=False)[0]))
    assert "elements beyond it" in text


def test_the_cause_stands_below_the_verdict_in_80_columns() -> None:
    report, _ = make_report(healthy=False)
    lines = printed(report, 80)
    verdict = next(number for number, line in enumerate(lines) if line.startswith("FAILED"))
    below = lines[verdict + 1 : verdict + 8]
    assert below[0].startswith("  cause: `backbone.stage3.0.spatial.norm.weight` is 1.0001 times the")
    assert any(line.startswith("  proved: with this change the reference's own layer repeats") for line in below)
    assert any(line.startswith("  change: load it unscaled") for line in below)
    assert all(len(line.rstrip()) <= 80 for line in below[:-1])
    assert any("`head.attention.gamma` differs in 1 of 1 elements" in line for line in lines[:verdict])


def test_what_was_tried_and_measured_stands_there_where_no_cause_is_found() -> None:
    report, _ = make_report(healthy=False)
    guilty = replace(report.guilty[0], cause=None, tried=27, facts=("the difference is [one] constant",))
    lines = printed(replace(report, guilty=(guilty,)), 80)
    assert "  cause not found: 27 hypotheses tried, none repeats it" in lines
    assert "  measured: the difference is [one] constant" in lines


def test_60_columns_have_room_for_whole_figures() -> None:
    lines = printed(make_report(healthy=False)[0], 60)
    verdict = next(number for number, line in enumerate(lines) if line.startswith("also"))
    assert not any("…" in line for line in lines[:verdict] if line.startswith("  "))
    assert all(len(line.rstrip()) <= 60 for line in lines[:verdict] if line.startswith("  "))


def test_float32_alone_is_said_to_find_gross_faults_only() -> None:
    report, _ = make_report(healthy=True)
    alone = replace(report, layers=tuple(layer for layer in report.layers if layer.dtype == "float32"))
    assert printed(alone)[-1].startswith("in float32 alone there is no truth")
