"""What is handed in: the alignment report in both languages, true to the report, well-formed, and short."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt

from models_paddle import paddle
from parity.reports.alignment.page import ALIGNMENTS, render_alignment
from parity.reports.alignment.page import text as escape
from parity.reports.alignment.subject import describe_certificate, describe_report
from parity.reports.alignment.words import CHINESE, ENGLISH
from parity.reports.folder import write_report
from parity.verdicts.classes import count_equal
from parity.verdicts.report import ATTRIBUTES_SITE, Coverage, Guilty, Report
from tests.parity.made_reports import INPUTS, build_twins, make_report

COMMAND = "ccnet-parity official.pth out.pdparams --report report"
LONGEST = 65_536
"""Characters of a description on GitHub."""


def tables(text: str) -> list[list[list[str]]]:
    """Each table's rows of cells, as a reader sees them; all tables have as many cells in each row."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in itertools.pairwise(tokens):
        if before.type == "table_open":
            found.append([])
        elif before.type == "tr_open":
            found[-1].append([])
        if before.type in ("th_open", "td_open"):
            found[-1][-1].append(token.content)
    for table in found:
        assert len({len(row) for row in table}) == 1, table
    return found


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module", params=[True, False], ids=["healthy", "wrong"])
def report(request) -> Report:
    return make_report(healthy=request.param)[0]


def page(report: Report, language: str) -> str:
    return render_alignment(describe_report(report, COMMAND), language)


def test_both_languages_have_the_same_words():
    assert CHINESE.keys() == ENGLISH.keys()
    for name, words in ENGLISH.items():
        assert words.count("{}") == CHINESE[name].count("{}"), name


def test_figures_are_the_reports(report, language):
    outputs, stages = tables(page(report, language))[1:3]
    rows = {(row[0].split()[0], row[1]): row for row in outputs[1:]}
    for layer in report.layers:
        if (layer.path, layer.mode) == ("", "free"):
            row = rows[str(layer.output + 1), layer.dtype]
            assert float(row[2]) >= layer.comparison.max_abs * 0.94
            assert ("✗" in row[0]) >= (not layer.comparison)
    assert len(rows) == 4
    assert sum(int(row[1]) for row in stages[1:]) == len({(one.path, one.call, one.output) for one in report.layers})
    assert sum(int(row[-1].strip("*")) for row in stages[1:]) == len(report.failures)


def test_verdict_culprits_and_command(report, language):
    text = page(report, language)
    words = ENGLISH if language == "en" else CHINESE
    assert (words["passed"][:8] in text) == bool(report)
    for guilty in report.guilty:
        assert f"`{guilty.path}" in text
        assert guilty.cause is not None
        assert f"**{words['because'].format(escape(guilty.cause.text))}**" in text
        assert words["change"].format(escape(guilty.cause.fix)) in text
    assert (f"## {words['cause']}" in text) == bool(report.guilty)
    assert f"~~~\n{COMMAND}\n~~~" in text
    assert len(text) < LONGEST / 8
    assert "\n\n\n" not in text
    assert text.count("<details>") == text.count("</details>") >= 2
    assert "head.attention.key.bias" in text


def test_the_worst_layer_is_the_guilty_one_not_its_victim():
    stages = tables(page(make_report(healthy=False)[0], "en"))[2]
    assert {row[0]: row[2] for row in stages}["`stage3`"] == "`backbone.stage3.0.spatial.norm`"


def test_classes_are_counted_as_a_script_would():
    torch_model, paddle_model, _ = build_twins({"head.attention.gamma": 1.5})
    report = make_report(healthy=False)[0]
    equal = {}
    for name, images in INPUTS.items():
        with torch.no_grad(), paddle.no_grad():
            expected = torch_model.eval()(torch.from_numpy(images).float())[1].argmax(1).numpy()
            paddle_model.eval()
            actual = paddle_model(paddle.to_tensor(images.astype(np.float32)))[1].numpy().argmax(1)
        equal[name] = int((expected == actual).sum()), expected.size
    found = {one.input: (one.equal, one.total) for one in report.classes if (one.output, one.dtype) == (1, "float32")}
    assert found == equal
    assert any(one.equal < one.total for one in report.classes if one.output == 0)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)),
        (torch.zeros(5), torch.zeros(5)),
        (torch.zeros(2, 1, 3), torch.zeros(2, 1, 3)),
        (torch.zeros(2, 3).long(), torch.zeros(2, 3).long()),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
    ],
)
def test_what_is_no_choice_of_classes_is_not_counted(actual, expected):
    assert count_equal(actual, expected) is None


def made(**parts: Any) -> Report:
    return Report(layers=(), coverage=Coverage(paired=()), **parts)


def test_names_are_no_markup(language):
    nasty = "a|b`c`<b>*d*\nE ](x) ~~~"
    guilty = Guilty(path=nasty, call=1, dtype="float64", site="output", reason=nasty)
    report = made(
        guilty=(guilty,),
        problems=(nasty,),
        notes=(nasty,),
        settings={"port": nasty},
        files={"port": {"name": nasty, "sha256": "0" * 64, "of": "file"}},
    )
    text = page(report, language)
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<b>" not in html
    assert "<em>" not in html
    assert "<a" not in html
    assert [len(row) for row in tables(text)[0]] == [3, 3, 3]


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (made(problems=("nothing was compared",)), "not everything could be compared.** nothing was compared"),
        (
            made(guilty=(Guilty(path="bn", call=0, dtype="", site=ATTRIBUTES_SITE, reason="momentum 0.9"),)),
            "one layer is itself wrong: `bn`",
        ),
    ],
)
def test_other_verdicts(report, said):
    text = page(report, "en")
    assert said.replace(".** ", ". ") in text
    assert text.startswith("# Alignment report\n\n**FAILED**")


def test_a_port_that_was_given_its_weights_is_said():
    report = made(weights={"copied": True}, files={"reference": {"name": "a.pth", "sha256": "12" * 32, "of": "file"}})
    rows = tables(page(report, "en"))[0]
    assert rows[1][2] == "`a.pth`, file, SHA-256 `1212121212121212`…"
    assert rows[2][2] == ENGLISH["copied"]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_tf32_and_flags_are_said(device):
    environment = {
        "versions": {"torch": "2.13.0"},
        "gpu": "H100",
        "switches": {"torch": {"tf32_matmul": True}},
        "flags": {"FLAGS_cudnn_deterministic": "1"},
    }
    report = made(settings={"device": device}, environment=environment)
    text = page(report, "en")
    assert ("`H100`, `TF32 on`" if device == "gpu" else "`CPU`, `no TF32 on a CPU`") in text
    assert "`FLAGS_cudnn_deterministic=1`" in text
    forbidden = {**environment, "flags": {"NVIDIA_TF32_OVERRIDE": "0"}}
    assert ("`TF32 off`" in page(replace(report, environment=forbidden), "en")) == (device == "gpu")


def test_long_lists_are_counted(language):
    names = tuple(f"layer{number}" for number in range(40))
    report = Report(layers=(), coverage=Coverage(paired=(), uncalled=names), problems=("nothing was compared",))
    text = page(report, language)
    assert "`layer7`" in text
    assert "`layer8`" not in text
    assert ("32 more" if language == "en" else "另有 32 项") in text


@pytest.mark.parametrize("verdict", ["certified", "not certified", "incomplete"])
def test_gates_of_a_certificate(verdict, language):
    gates = [{"name": "weights", "verdict": "passed", "measured": 0.0, "limit": 0.0, "reason": "exact", "seconds": 1.0}]
    other = {"not certified": "failed", "incomplete": "not run"}.get(verdict)
    if other:
        gates.append({**gates[0], "name": "loss", "verdict": other, "measured": None, "reason": "a|b differs"})
    content = {
        "verdict": verdict,
        "source": {"name": "a.pth", "sha256": "12" * 32},
        "target": {"name": "port.py:build", "sha256": None},
        "family": "official",
        "port": "port.py:build",
        "gates": gates,
        "settings": {"seed": 0, "cityscapes": None},
        "environment": {"versions": {"torch": "2.13.0"}, "device": "cpu"},
    }
    text = render_alignment(describe_certificate(content), language)
    words = ENGLISH if language == "en" else CHINESE
    counts = (1,) if verdict == "certified" else (1, 2)
    assert words[verdict].format(*counts) in text
    rows = tables(text)[1]
    assert [row[0] for row in rows[1:]] == [gate["name"] for gate in gates]
    assert ("a\\|b differs" in text) == bool(other)


def test_all_files_or_none(tmp_path, monkeypatch):
    report = make_report(healthy=True)[0]
    write_report(tmp_path, report, command=COMMAND)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html", *ALIGNMENTS.values()}
    monkeypatch.setattr("parity.reports.folder.render_alignment", lambda *_: 1 / 0)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(ZeroDivisionError):
        write_report(tmp_path, replace(report, problems=("new",)))
    assert before == {path.name: path.read_text() for path in tmp_path.iterdir()}


def test_no_sentence_of_the_other_language(language):
    text = page(make_report(healthy=True)[0], language)
    assert bool(re.search(r"[\u4e00-\u9fff]", text)) == (language == "zh")
