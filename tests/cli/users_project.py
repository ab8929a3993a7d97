"""A project of somebody's own: a small torch network and its port, in files, beside folders named as ours."""

from __future__ import annotations

from pathlib import Path

NAMES = (
    *("training", "evaluation", "seg", "commands", "processor", "converter", "cli", "parity", "families", "twins"),
    *("recipe", "models_torch", "models_paddle", "cityscapes", "paddleseg_port"),
)
"""What our folders and modules are called, and what they were called before."""

REFERENCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        return nn.functional.leaky_relu(self.bn(self.conv(x)), 0.01)


def build():
    torch.manual_seed(0)
    return Net()
"""

PORT = """
import paddle
from paddle import nn


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3)
        self.bn = nn.BatchNorm2D(4)

    def forward(self, x):
        return nn.functional.leaky_relu(self.bn(self.conv(x)), 0.01)


def build():
    return Net()
"""


def write(path: Path, text: str) -> Path:
    """The file, in folders that are made where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_folders(root: Path, *, packages: bool) -> None:
    """Folders named as ours, with or without `__init__.py`, and modules where a name is one of ours: all raise."""
    for name in (*NAMES, "benchmarks", "tests"):
        text = f"raise RuntimeError('the user\\'s {name} was imported')\n"
        write(root / name / ("__init__.py" if packages else "helpers.py"), text)
        if name in ("processor", "cli"):
            write(root / f"{name}.py", text)
