"""Pictures are opened in the documented formats alone, and lose no bits."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from recipe.pictures import FORMATS, LOSSLESS, PictureError, open_picture

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%touch ran) (w) file closefile\n%%EOF\n"


def write_deep_png(path: Path) -> Path:
    """A PNG of 16-bit red, green and blue, which Pillow opens as `RGB`."""
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = (2).to_bytes(4, "big") + (2).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    rows = (b"\0" + bytes(range(12))) * 2
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("name", ["a.png", "a.eps", "a.jpg"])
def test_a_format_that_starts_programs_is_not_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(PictureError, match="none of PNG"), open_picture(tmp_path / name) as picture:
        picture.load()


@pytest.mark.parametrize("kind", FORMATS)
def test_documented_formats_are_opened_whatever_they_are_called(kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (9, 8, 7)).save(tmp_path / "a.bin", kind)
    with open_picture(tmp_path / "a.bin") as picture:
        assert np.asarray(picture.convert("RGB")).shape == (3, 4, 3)


def test_a_label_is_no_jpeg(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png", "JPEG")
    with pytest.raises(PictureError, match="none of PNG, BMP"), open_picture(tmp_path / "a.png", LOSSLESS):
        pass


def test_sixteen_bits_are_not_cut(tmp_path: Path) -> None:
    files = [write_deep_png(tmp_path / "a.png"), tmp_path / "b.png", tmp_path / "c.ppm"]
    Image.fromarray(np.full((2, 2), 300, np.uint16)).save(files[1])
    files[2].write_bytes(b"P6 1 1 65535\n" + bytes(6))
    for file in files:
        with pytest.raises(PictureError, match="16 bits"), open_picture(file):
            pass
    with open_picture(files[1], deep=True) as picture:
        assert np.asarray(picture).max() == 300


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path, reason in ((tmp_path / "a.png", "regular"), (tmp_path, "folder"), (tmp_path / "b", "no such")):
        with pytest.raises(PictureError, match=reason), open_picture(path):
            pass


def test_damage_within_is_a_picture_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    with pytest.raises(PictureError), open_picture(tmp_path / "b.png") as picture:
        picture.load()
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: 1 / 0)
    with pytest.raises(PictureError, match="division"), open_picture(tmp_path / "a.png") as picture:
        picture.load()
