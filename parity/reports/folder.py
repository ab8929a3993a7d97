"""`write_report`: a report as JSON, as a page, and as what is handed in with a pull request."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from converter.files.atomic import check_writable, make_folder, staged
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
            path.write_text(content, encoding="utf-8", errors="backslashreplace")  # names that are not UTF-8
    return folder / PAGE


def write_alignments(folder: Path, subject: Subject) -> None:
    """Write `ALIGNMENT.md` and `ALIGNMENT.zh-CN.md` into a folder that there is, both or neither."""
    with staged(*(folder / name for name in ALIGNMENTS.values())) as paths:
        for path, language in zip(paths, ALIGNMENTS, strict=True):
            path.write_text(render_alignment(subject, language), encoding="utf-8", errors="backslashreplace")


def try_outputs(*folders: Path | None, junit: Path | None = None) -> None:
    """Look, before the work, whether `folders` and the file `junit` can be written.

    Raises ParityInputError or InputError if not, and for a `junit` that is no XML: it may be a checkpoint, or a port.
    """
    for folder in folders:
        if folder is not None:
            try_folder(folder)
    if junit is not None:
        try_folder(junit.parent)
        check_writable(junit, force=True)
        if junit.exists() and (head := _head(junit)) and head != b"<?xml":
            raise ParityInputError(f"{junit}: is there and no XML; name another file to write JUnit XML to")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(5)


def try_folder(folder: Path) -> None:
    """Make the folder. Raises ParityInputError if it cannot be made or written: better before the work than after."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ParityInputError(f"{folder}: cannot write a report here: {error.strerror}") from error
