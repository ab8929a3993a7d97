"""README.zh-CN.md says what README.md says: the same commands, output, tables, names, links and pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

Part = Callable[[str], list[str]]


def code_blocks(text: str) -> list[str]:
    return FENCE.findall(text)


def table_rows(text: str) -> list[str]:
    return [line for line in FENCE.sub("", text).splitlines() if line.startswith("|")]


def headings(text: str) -> list[str]:
    """Levels, and what is code in them."""
    lines = [line for line in FENCE.sub("", text).splitlines() if line.startswith("#")]
    return [f"{line.partition(' ')[0]} {re.findall('`[^`]+`', line)}" for line in lines]


def links(text: str) -> list[str]:
    return sorted(re.findall(r"\]\(([^)]+)\)", FENCE.sub("", text)))


def inline_code(text: str) -> list[str]:
    return sorted(set(re.findall(r"`[^`\n]+`", FENCE.sub("", text))))


PARTS: tuple[Part, ...] = (code_blocks, table_rows, headings, links, inline_code)


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("part", PARTS)
def test_both_languages_have_the_same(part: Part) -> None:
    english, chinese = (part(read(name)) for name in ("README.md", "README.zh-CN.md"))
    assert english
    assert chinese == english


@pytest.mark.parametrize("part", PARTS)
def test_a_change_of_one_is_seen(part: Part) -> None:
    text = "# `a`\n\n```\nrun\n```\n\n| x |\n\n[`b`](c.md)\n"
    changed = text.replace("run", "walk").replace("| x", "| y").replace("`a`", "`z`").replace("c.md", "d.md")
    assert part(text) != part(changed)


def test_links_lead_somewhere() -> None:
    for target in links(read("README.md")):
        assert target.startswith("https://") or (REPOSITORY / target).exists(), target
