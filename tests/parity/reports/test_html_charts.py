"""The charts and the regrouping behind them: the worst input, the order, the stages, the scale."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.reports.html.charts import BOTTOM, OFF, TOP, ZERO, Scale, make_panel
from parity.reports.html.probes import collect_probes, figure, split_stages
from parity.verdicts.comparison import failed
from tests.parity.made_reports import make_report


@given(st.lists(st.floats(1e-300, 1e300), min_size=2), st.integers(-30, 0), st.integers(1, 30))
def test_scale_keeps_order_and_stays_between_its_ends(values, low, high):
    heights = [Scale(low, high).height(value) for value in sorted(values)]
    assert heights == sorted(heights, reverse=True)
    assert all(TOP <= height <= BOTTOM for height in heights)
    assert OFF < TOP < BOTTOM < ZERO == Scale(low, high).height(0.0)


def test_chart_draws_the_worst_input_and_what_has_no_figure():
    report, _ = make_report(healthy=True)
    base = next(layer for layer in report.layers if (layer.mode, layer.dtype) == ("free", "float64"))
    comparisons = [
        replace(base.comparison, relative=1e-15, required_tolerance=1e-15),
        replace(base.comparison, passed=False, relative=1e-5, required_tolerance=1e-5),
        failed("shape (1,), expected (2,)"),
        replace(base.comparison, relative=0.0, required_tolerance=0.0),
    ]
    layers = [
        replace(base, path=path, comparison=comparisons[n]) for path, n in (("a", 0), ("a", 1), ("b", 2), ("c", 3))
    ]
    panel = make_panel(collect_probes(replace(report, layers=tuple(layers))), "free", "float64")
    assert panel.heights == [panel.scale.height(1e-5), OFF, ZERO]
    assert panel.dots == f"M2.5 {ZERO:g}h0"
    assert panel.failing.count("M") == panel.stems.count("M") == 2
    assert panel.note == "2 of 3 failed, some cannot be compared (limit 1e-10)"


def test_float32_is_drawn_against_the_noise_floor():
    probes = collect_probes(make_report(healthy=True)[0])
    noisy = make_panel(probes, "free", "float32")
    assert noisy.floor.count("H") == noisy.allowed.count("H") == len(probes)
    assert not noisy.failing
    assert not make_panel(probes, "free", "float64").floor


def test_stages_cover_the_network_in_order():
    probes = collect_probes(make_report(healthy=False)[0])
    stages = split_stages(probes)
    assert [probe for stage in stages for probe in stage.probes] == probes
    labelled = [stage.name for stage in stages if stage.label]
    assert labelled == ["stem", "stage1", "stage2", "stage3", "stage4", "head", "auxiliary_head"]
    failures = {stage.name: stage.failures for stage in stages}
    assert failures["stage2"] == []
    assert failures["stage3"][0] == "1 failing by itself"
    assert failures["head"][0] == "2 failing by itself"


def test_a_failure_at_an_input_does_not_change_the_order():
    report, _ = make_report(healthy=True)
    child, parent = (replace(report.layers[0], path=path) for path in ("block.conv", "block"))
    at_input = replace(parent, site="input of block.conv", shape=(9,))
    probes = collect_probes(replace(report, layers=(at_input, child, parent)))
    assert [probe.path for probe in probes] == ["block.conv", "block"]
    assert probes[1].shape == parent.shape


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (None, "–"),
        (math.inf, "–"),
        (math.nan, "–"),
        (1.234e-7, "1.2e-07"),
        (860.59, "861"),
        (2e5, "2.0e+05"),
    ],
)
def test_figures_are_short(value, text):
    assert figure(value) == text
