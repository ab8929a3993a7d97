"""Words of a config that PaddleSeg evaluates."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.errors import InputError
from paddleseg_port.words import check_words
from tests.paddleseg_port.conftest import refuse


@pytest.mark.parametrize("word", ["UAFM_SpAtten", "nn.LayerNorm", None, 3])
def test_names_are_let_through(word: object) -> None:
    check_words({"model": [{"arm_type": word}, {"norm_layer": word}]}, Path("a.yml"))


@pytest.mark.parametrize("word", ["__import__('os').system('true')", "UAFM if 1 else 2", "a.b.c.d()", "", "x\n"])
def test_code_is_refused(word: str) -> None:
    settings: dict[str, object] = {"model": {"backbone": {"norm_layer": word}}}
    settings["again"] = settings
    with pytest.raises(InputError, match=r"a\.yml: norm_layer"):
        check_words(settings, Path("a.yml"))


def test_a_config_that_names_code_is_one_line(settings: list[str], tmp_path: Path) -> None:
    code = f"model.arm_type=UAFM or open('{tmp_path / 'ran'}','w')"
    assert "arm_type is" in refuse("train", *settings, "model.type=PPLiteSeg", code, "--save_dir", tmp_path / "out")
    assert not (tmp_path / "ran").exists()
