"""Ratios measured in one run each, with the processor as the commands have it."""

from __future__ import annotations

from twins.processor import configure_processor

configure_processor()
