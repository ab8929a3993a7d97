"""What is not installed everywhere: PaddleSeg pins an OpenCV that was built against NumPy 1, which Python 3.13 has none
of."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

HAS_PADDLESEG = find_spec("paddleseg") is not None
needs_paddleseg = pytest.mark.skipif(not HAS_PADDLESEG, reason="PaddleSeg is not installed")
PADDLESEGS = (
    "paddleseg_port/*",
    "cityscapes/test_confusion.py",
    "cityscapes/test_predict.py",
    "cityscapes/test_protocols.py",
    "cli/test_certify_parts.py",
    "cli/test_config.py",
    "parity/certify/test_config.py",
    "parity/certify/test_paddleseg_config.py",
    "parity/certify/test_paddleseg_config.py",
    "recipe/test_augmentation.py",
    "references/test_paddleseg.py",
)
"""Modules that need it, or its OpenCV, to be read at all."""
