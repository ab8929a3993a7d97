"""Cityscapes evaluation: data set, protocols, mIoU, and how far two frameworks agree."""

from __future__ import annotations

from threads import configure_threads

configure_threads()
