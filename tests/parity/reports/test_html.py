"""The report's folder: both files whole, true to the report, well-formed and complete in themselves."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from converter.errors import InputError
from parity.errors import ParityInputError
from parity.reports.folder import write_report
from parity.reports.html.probes import RUNS
from parity.reports.html.render import MOST_MEASUREMENTS, render
from parity.verdicts.report import Coverage, Report
from tests.parity.made_reports import MISTAKES, make_report

VOID = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}
SVG_VOID = {"path", "rect"}
EMPTY = Report(layers=(), coverage=Coverage(paired=()), problems=("nothing was compared",))


class Page(HTMLParser):
    """A parsed page; an end tag that does not fit, or an element left open, is an assertion error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.selectable: list[str] = []
        self.text, self.data = "", ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("src", "href", "srcset", "action", "poster") if name in values]
        self.selectable += [values["data-select"]] if "data-select" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_VOID, f"<{tag}/> is no empty element of HTML"

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.data += data if data.startswith("{") else ""
        elif self.open[-1:] != ["style"]:
            self.text += data

    @property
    def payload(self):
        return json.loads(self.data)


@pytest.fixture(scope="module", params=[True, False], ids=["healthy", "broken"])
def healthy(request):
    return request.param


@pytest.fixture(scope="module")
def written(healthy, tmp_path_factory):
    report, attention = make_report(healthy=healthy)
    return report, write_report(tmp_path_factory.mktemp("report") / "new" / "folder", report, attention)


def test_json_is_the_report(written):
    report, path = written
    text = (path.parent / "report.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == json.loads(json.dumps(report.to_json()))
    assert {file.name for file in path.parent.iterdir()} == {
        *("report.json", "report.html", "ALIGNMENT.md", "ALIGNMENT.zh-CN.md")
    }


def test_page_is_well_formed_and_says_the_verdict(written, healthy):
    report, path = written
    page = Page(path.read_text(encoding="utf-8"))
    assert ("PASSED" in page.text) is healthy
    assert ("FAILED" in page.text) is not healthy
    for guilty in report.guilty:
        assert guilty.sentence in page.text
    assert bool(report.guilty) is not healthy
    for fact in ("official", "ResNet-18", "recurrence 2", "187 tensors", report.environment["versions"]["torch"]):
        assert fact in page.text
    assert "head.attention.key.bias" in page.text


def test_page_has_every_layer_with_all_its_measurements(written):
    report, path = written
    page = Page(path.read_text(encoding="utf-8"))
    names = [probe["name"] for probe in page.payload["probes"]]
    assert len(set(names)) == len(names)
    for layer in report.layers:
        assert (layer.path or "(network)") in page.text
    assert set(map(int, page.selectable)) == set(range(len(names)))
    rows = [row for probe in page.payload["probes"] for run in probe["runs"] for row in run]
    assert len(rows) == len(report.layers)
    assert sum(bool(reason) for reason, *_ in rows) == len(report.failures)
    assert "head.attention, pass 2" in names


def test_page_begins_with_the_culprit():
    report, _ = make_report(healthy=False)
    page = Page(render(report))
    assert page.payload["probes"][page.payload["first"]]["name"] == "backbone.stage3.0.spatial.norm"
    assert {guilty.path for guilty in report.guilty} == {name.rpartition(".")[0] for name in MISTAKES}


def test_page_and_json_say_the_cause():
    report, _ = make_report(healthy=False)
    page = render(report)
    assert "cause: `backbone.<wbr>stage3.0.<wbr>spatial.<wbr>norm.<wbr>weight` is 1.0001 times" in page
    cause = json.loads(json.dumps(report.to_json()))["guilty"][0]["cause"]
    assert cause.keys() == {"name", "text", "fix", "residual", "proved"}
    assert cause["name"] == "weight scaled"
    assert cause["proved"] is True
    assert 0 <= cause["residual"] <= 1e-10


def test_page_needs_nothing_from_outside(written):
    _, path = written
    html = path.read_text(encoding="utf-8")
    assert all(link.startswith("data:") for link in Page(html).links)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("mistake", ["<p><b></p></b>", "<p>", "</p>", "<div/>"])
def test_the_parser_refuses_malformed_pages(mistake):
    with pytest.raises(AssertionError):
        Page(f"<main>{mistake}</main>")


def test_names_cannot_break_the_page():
    hostile = "</script><script>alert(1)</script>"
    report, _ = make_report(healthy=True)
    layers = tuple(replace(layer, path=hostile, input=hostile) for layer in report.layers[:1])
    page = Page(render(replace(report, layers=layers, problems=(hostile,), settings={"image": hostile})))
    assert page.payload["probes"][0]["name"] == hostile
    assert page.text.count("alert(1)") >= 3


def test_page_of_an_empty_report_without_attention():
    page = Page(render(EMPTY))
    assert "nothing was compared" in page.text.lower()
    assert "Where one pixel looks" not in page.text
    assert page.payload["probes"] == []


def test_incumbents_stand_beside_our_verdict():
    report, _ = make_report(healthy=False)
    verdicts = {"PaDiff, mean": {"passed": True, "detail": "means differ by 1e-7"}}
    assert "PaDiff, mean" not in Page(render(replace(report, incumbents={}))).text
    text = Page(render(replace(report, incumbents=verdicts))).text
    assert "PaDiff, mean" in text
    assert "means differ by 1e-7" in text


def test_accepted_gaps_are_marked():
    report, _ = make_report(healthy=True)
    gap = replace(report.coverage, unpaired_reference=("head.extra #0", "head.other"), accepted=("head.ex*",))
    text = " ".join(Page(render(replace(report, coverage=gap))).text.split())
    assert "1 accepted by the user, with head.ex*" in text


def test_a_report_too_large_for_a_page_keeps_the_worst_inputs():
    report, attention = make_report(healthy=False)
    copies = -(-2 * MOST_MEASUREMENTS // len(report.layers))
    many = [replace(layer, input=f"{layer.input} {n}") for n in range(copies) for layer in report.layers]
    html = render(replace(report, layers=tuple(many)), attention)
    payload = Page(html).payload
    assert len(html.encode()) < 3_000_000
    assert payload["whole"] is False
    culprit = payload["probes"][payload["first"]]
    assert [len(run) for run in culprit["runs"]] == [1] * len(RUNS)
    assert all(run[0][0] for run in culprit["runs"])


def test_a_failure_leaves_the_old_files(tmp_path):
    report, _ = make_report(healthy=True)
    path = write_report(tmp_path, report)
    before = [file.read_bytes() for file in sorted(tmp_path.iterdir())]
    with pytest.raises(ValueError, match="JSON"):
        write_report(tmp_path, replace(report, settings={"seed": math.nan}))
    assert [file.read_bytes() for file in sorted(tmp_path.iterdir())] == before
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError):
        write_report(tmp_path, report)
    (tmp_path / "file").touch()
    with pytest.raises(ParityInputError, match="cannot write a report here"):
        write_report(tmp_path / "file", report)
