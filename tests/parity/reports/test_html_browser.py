"""The page in every Chromium found on PATH: its scripts run, clicks select layers, nothing is fetched.

Where there is none, `test_html` still holds the page to its form.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from PIL import Image

from parity.reports.html.render import render
from tests.parity.made_reports import make_report
from tests.parity.reports.test_html import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSERS = [path for path in map(shutil.which, NAMES) if path]
CLICKS = """
<script>
const plot = document.querySelector(".plot"), box = plot.getBoundingClientRect();
const at = (index, heights) => ({
  bubbles: true,
  clientX: box.left + box.width * (index + 0.5) / heights.length,
  clientY: box.top + box.height * heights[index] / 100,
});
const {heights} = JSON.parse(document.getElementById("data").textContent), layer = document.getElementById("layer");
const seen = [], note = () => seen.push(layer.dataset.selected);
note();
plot.dispatchEvent(new MouseEvent("click", at(3, heights[0]))); note();
plot.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"})); note();
document.querySelector("[data-step='-1']").click(); note();
[...document.querySelectorAll(".layers [data-select]")].pop().click(); note();
document.body.dataset.seen = seen.join(" | ");
document.body.dataset.rows = document.querySelectorAll("#numbers tbody tr").length;
plot.dispatchEvent(new PointerEvent("pointermove", at(3, heights[0])));
document.body.dataset.tip = plot.querySelector(".tip").textContent;
</script>
"""


@pytest.fixture(scope="module")
def page():
    return render(*make_report(healthy=False))


def browse(browser, path, *options, fragment=""):
    """(output, console messages) of a headless visit."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    profile = f"--user-data-dir={path.parent / 'profile'}"
    visit = subprocess.run(
        [*command, profile, *options, path.as_uri() + fragment], capture_output=True, text=True, timeout=120, check=True
    )
    return visit.stdout, [line for line in visit.stderr.splitlines() if "CONSOLE" in line]


def dump(browser, folder, html, fragment=""):
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return browse(browser, path, "--dump-dom", fragment=fragment)


def attribute(name, document):
    found = re.search(rf'\bdata-{name}="([^"]*)"', document)
    return found and found[1]


def test_scripts_run_and_clicks_select_layers(page, tmp_path):
    for browser in BROWSERS:
        document, console = dump(browser, tmp_path, page.replace("</body>", CLICKS + "</body>"))
        assert console == []
        assert attribute("ready", document) == "true"
        first, second, third = "backbone.stage3.0.spatial.norm", "backbone.stem.0", "backbone.stem.1.conv"
        assert attribute("seen", document) == " | ".join([first, second, third, second, "(network), output 2"])
        assert attribute("rows", document) == "8"
        assert attribute("tip", document) == "backbone.stem.0: 0"


def test_an_address_can_name_a_layer(page, tmp_path):
    for browser in BROWSERS:
        document, console = dump(browser, tmp_path, page, "#head.attention%2C%20pass%202")
        assert console == []
        assert attribute("selected", document) == "head.attention, pass 2"
        assert "times as far from the float64 truth" in document


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (500, 844)])
def test_page_is_drawn(page, tmp_path, width, height):
    for browser in BROWSERS:
        path, picture = tmp_path / "page.html", tmp_path / "page.png"
        path.write_text(page, encoding="utf-8")
        _, console = browse(browser, path, f"--window-size={width},{height}", f"--screenshot={picture}")
        assert console == []
        with Image.open(picture) as image:
            assert image.width == width
            colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=1 << 24)}
        assert {(0xB8, 0x4A, 0x00), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


@pytest.mark.parametrize(
    ("mistake", "message"),
    [('<img src="http://127.0.0.1/x.png">', "Content Security Policy"), ("<script>missing();</script>", "missing")],
)
def test_the_console_would_tell(page, tmp_path, mistake, message):
    for browser in BROWSERS:
        _, console = dump(browser, tmp_path, page.replace("<main>", "<main>" + mistake))
        assert any(message in line for line in console)


def test_what_the_clicks_rely_on_is_in_the_page(page):
    parsed = Page(page)
    assert parsed.payload["probes"][3]["name"] == "backbone.stem.0"
    assert parsed.payload["runs"] == ["float64 isolated", "float64 free", "float32 isolated", "float32 free"]
    for hook in ('id="layer"', 'id="numbers"', 'id="name"', 'id="shape"', 'class="plot"', 'data-step="-1"'):
        assert hook in page
