"""The CCNet twin in PyTorch: the same files, classes and names as `models_paddle`."""

from __future__ import annotations

from threads import configure_threads

configure_threads()

from models_torch.ccnet import CCNet, build_ccnet
from models_torch.weights import build_uninitialised, load_weights

__all__ = ["CCNet", "build_ccnet", "build_uninitialised", "load_weights"]
