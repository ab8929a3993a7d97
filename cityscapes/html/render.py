"""`write_report`: a result as `report.json` and a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cityscapes.folders import make_folder
from cityscapes.labels import CLASSES
from cityscapes.result import Result
from cityscapes.tables import TITLES, agreement_lines, describe, published_lines, titles_of
from converter.files.atomic import staged
from converter.names import count


def write_report(folder: Path, result: Result) -> Path:
    """Write `report.json` and `report.html` into `folder`, both or neither, and return the page's path.

    The page needs nothing but itself. Raises DatasetError or InputError if the folder cannot be written.
    """
    make_folder(folder)
    contents = [json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False) + "\n", render(result)]
    targets = folder / "report.json", folder / "report.html"
    with staged(*targets) as paths:
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content, encoding="utf-8")
    return targets[1]


def render(result: Result) -> str:
    """The page, with styles and pictures inside."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = count
    return environment.get_template("report.html.j2").render(
        result=result,
        agreement=result.totals.agreement,
        titles=titles_of(result),
        frameworks=list(result.totals.confusion),
        scores=result.totals.scores,
        facts=describe(result),
        published=published_lines(result),
        agreed=agreement_lines(result),
        classes=_classes(result),
        pictures=result.totals.pictures,
        settings=_settings(result),
    )


def _classes(result: Result) -> list[dict[str, Any]]:
    """Each class with its colour and, for each framework, the share that its bar shows; None where no pixel tells."""
    rows = []
    ious = {name: score.class_iou for name, score in result.totals.scores.items()}
    for index, item in enumerate(CLASSES):
        shares = {name: None if iou[index] != iou[index] else float(iou[index]) for name, iou in ious.items()}
        rows.append({"name": item.name, "colour": "#{:02x}{:02x}{:02x}".format(*item.colour), "shares": shares})
    return rows


def _settings(result: Result) -> dict[str, Any]:
    """One line each."""
    lines: dict[str, Any] = {}
    for name, value in result.settings.items():
        if isinstance(value, dict):
            lines |= {f"{name}, {TITLES.get(key, key)}": item for key, item in value.items()}
        elif value is not None:
            lines[name] = " × ".join(map(str, value)) if isinstance(value, tuple) else value
    return lines
