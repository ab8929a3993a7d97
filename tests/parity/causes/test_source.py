"""The line of the user's file at which a layer is built, or its code stands."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from models_paddle import paddle
from parity.causes.source import find_line
from parity.networks.modules import paddle_modules

CODE = """
from paddle import nn


class Own(nn.BatchNorm2D):
    def forward(self, x):
        return super().forward(x)


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2D(3, 4, 1)
        self.block = nn.Sequential(
            nn.Conv2D(4, 4, 1),
            nn.Sequential(nn.ReLU(), Own(4)),
        )
        for name in ("left", "right"):
            setattr(self, name, nn.ReLU())

    def forward(self, x):
        return self.block(self.stem(x))
"""


@pytest.fixture
def port(tmp_path: Path) -> Any:
    path = tmp_path / "my_net.py"
    path.write_text(CODE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my_net_of_the_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Net()


@pytest.mark.parametrize(
    ("path", "built", "line"),
    [
        ("stem", True, "my_net.py:13"),
        ("stem", False, "my_net.py:13"),
        ("block.0", True, "my_net.py:15"),
        ("block.1.0", True, "my_net.py:16"),
        ("block.1.1", True, "my_net.py:16"),
        ("block.1.1", False, "my_net.py:6"),
        ("", False, "my_net.py:21"),
        ("left", True, ""),
        ("no.such", True, ""),
    ],
)
def test_lines(port: Any, path: str, built: bool, line: str) -> None:
    assert find_line(paddle_modules(port), path, built=built) == line


def test_nothing_is_said_of_layers_that_are_no_users() -> None:
    assert find_line(paddle_modules(paddle.nn.Sequential(paddle.nn.ReLU())), "0", built=True) == ""
