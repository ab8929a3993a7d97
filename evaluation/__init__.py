"""Cityscapes evaluation: data set, protocols, mIoU, and how far two frameworks agree."""

from __future__ import annotations

from processor import configure_processor

configure_processor()
