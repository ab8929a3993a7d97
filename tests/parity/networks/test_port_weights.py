"""Whether a port's own code gave it weights: it is then never given others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models_paddle import paddle
from parity.networks.port import build_port

LOADERS = {
    "set_value": "layer.weight.set_value(np.load('own.npy'))",
    "state dict": "layer.set_state_dict(paddle.load('own.pdparams'))",
    "state dict of what it made": "layer.set_state_dict({'weight': paddle.ones([4, 3, 1, 1]), 'bias': layer.bias})",
}
CODE = """
import numpy as np
import paddle

def build():
    layer = paddle.nn.Conv2D(3, 4, 1)
    {load}
    return layer
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("own.npy", np.ones((4, 3, 1, 1), np.float32))
    paddle.save(paddle.nn.Conv2D(3, 4, 1).state_dict(), "own.pdparams")
    return tmp_path


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_a_port_that_loads_its_own(folder: Path, load: str) -> None:
    (folder / "loading_port.py").write_text(CODE.format(load=load))
    assert build_port("loading_port.py:build").came_loaded


def test_a_fresh_port(folder: Path) -> None:
    (folder / "fresh_port.py").write_text(CODE.format(load="layer.bias.set_value(paddle.zeros([4]))"))
    assert not build_port("fresh_port.py:build").came_loaded
    np.load("own.npy")  # by others, afterwards
    assert not build_port("fresh_port.py:build").came_loaded
