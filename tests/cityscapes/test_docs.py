"""docs/evaluation.md says what the table of protocols holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from cityscapes.protocols import PROTOCOLS

DOCS = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def row(protocol):
    preprocessing, size = protocol.preprocessing, protocol.padded_size
    cells = (
        f"`{protocol.name}`",
        preprocessing.channel_order,
        ", ".join(f"{value:.6g}" for value in preprocessing.mean),
        ", ".join(f"{value:g}" for value in preprocessing.deviation),
        " × ".join(map(str, size)) if size else "–",
        f"{protocol.window}, overlap {protocol.overlap}" if protocol.window else "whole",
        "padded" if protocol.pads_tiles else "as it is",
        "yes" if preprocessing.align_corners else "no",
        "align_corners" if protocol.picture_align_corners else "half-pixel",
        protocol.averages,
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_table_is_the_code_s(name):
    assert row(PROTOCOLS[name]) in DOCS
