"""The page: complete, self-contained, escaped, and drawn by every Chromium on PATH without a complaint."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from cityscapes.errors import DatasetError
from cityscapes.html.render import render, write_report
from cityscapes.labels import NAMES
from converter.errors import InputError
from tests.cityscapes.results import make_result
from tests.parity.reports.test_html_browser import BROWSERS, browse


def test_everything_is_said():
    page = render(make_result())
    for word in (*NAMES, "AGREES", "53.42", "69.70", "window", "1024 × 2048", "a note", "rounding", "63, 1027"):
        assert word in page
    assert "FAILED" not in page
    for word in ("FAILED", 'class="failed"', "unexplained"):
        assert word in render(make_result(healthy=False))


def test_one_framework_has_one_bar_a_class():
    page = render(make_result(frameworks=("paddle",)))
    assert page.count('class="fill paddle"') == 19
    for word in ("AGREES", 'class="fill torch"', "disagreement"):
        assert word not in page


def test_names_are_escaped_and_nothing_is_fetched():
    page = render(make_result())
    assert "generated/&lt;b&gt;" in page
    assert "<b>" not in page
    assert set(re.findall(r'(?:src|href)="([^",]*)', page)) == {"data:image/png;base64", "data:"}
    assert "default-src 'none'" in page


def panels(page):
    found = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="(\w+) of', page)
    return {title: np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data, title in found}


def test_pictures_are_side_by_side_and_lose_no_flipped_pixel():
    found = panels(render(make_result()))
    assert list(found) == ["input", "labels", "torch", "Paddle", "disagreement"]
    assert {array.shape for array in found.values()} == {(22, 343, 3)}
    assert (found["disagreement"][-1, -1] == (213, 94, 0)).all()
    assert (found["disagreement"][:-1] == (232, 236, 240)).all()


def test_both_files_are_written(tmp_path):
    path = write_report(tmp_path / "new" / "report", make_result())
    assert path.name == "report.html"
    assert json.loads(path.with_name("report.json").read_text())["images"] == 2


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((DatasetError, InputError), match="file"):
        write_report(tmp_path / "file", make_result())


@pytest.mark.parametrize("width", [1300, 500])
def test_it_is_drawn(tmp_path, width):
    path, picture = tmp_path / "page.html", tmp_path / "page.png"
    path.write_text(render(make_result(healthy=False)), encoding="utf-8")
    for browser in BROWSERS:
        _, console = browse(browser, path, f"--window-size={width},1600", f"--screenshot={picture}")
        assert console == []
        with Image.open(picture) as image:
            colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=1 << 24)}
        assert {(0xB8, 0x4A, 0x00), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (128, 64, 128)} <= colours
