"""`write_report`: a report as JSON, as a page, and as what is handed in with a pull request."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from converter.files.atomic import staged
from parity.errors import ParityInputError
from parity.reports.alignment.page import ALIGNMENTS, render_alignment
from parity.reports.alignment.subject import Subject, describe_report
from parity.reports.html.attention_maps import AttentionMaps
from parity.reports.html.render import render
from parity.verdicts.report import Report

JSON, PAGE = "report.json", "report.html"


def write_report(folder: Path, report: Report, attention: AttentionMaps | None = None, *, command: str = "") -> Path:
    """Write `report.json`, `report.html`, `ALIGNMENT.md` and `ALIGNMENT.zh-CN.md` into `folder`, all or none.

        page = write_report(Path("report"), compare_models(reference, port, images))

    `command` is the line that makes the report again. Returns the page's path; the page needs nothing but itself.
    Raises ParityInputError or InputError if the folder cannot be written.
    """
    try_folder(folder)
    subject = describe_report(report, command)
    contents = {
        JSON: json.dumps(report.to_json(), ensure_ascii=False, allow_nan=False) + "\n",
        PAGE: render(report, attention),
        **{name: render_alignment(subject, language) for language, name in ALIGNMENTS.items()},
    }
    with staged(*(folder / name for name in contents)) as paths:
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_text(content, encoding="utf-8")
    return folder / PAGE


def write_alignments(folder: Path, subject: Subject) -> None:
    """Write `ALIGNMENT.md` and `ALIGNMENT.zh-CN.md` into a folder that there is, both or neither."""
    with staged(*(folder / name for name in ALIGNMENTS.values())) as paths:
        for path, language in zip(paths, ALIGNMENTS, strict=True):
            path.write_text(render_alignment(subject, language), encoding="utf-8")


def try_folder(folder: Path) -> None:
    """Make the folder. Raises ParityInputError if it cannot be made or written: better before the work than after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ParityInputError(f"{folder}: cannot write a report here: {error.strerror}") from error
