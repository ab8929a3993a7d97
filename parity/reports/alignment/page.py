"""An alignment report as Markdown, in either language.

text = render_alignment(describe_report(report), "en")
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from parity.reports.alignment.subject import Subject
from parity.reports.alignment.words import WORDS

ALIGNMENTS = {"en": "ALIGNMENT.md", "zh": "ALIGNMENT.zh-CN.md"}
"""Language -> file."""
LISTED, STAGES = 8, 12
"""Names before the rest is counted, and stages before the rest is folded away."""


def render_alignment(subject: Subject, language: str) -> str:
    """The page in "en" or "zh". What comes from files and networks is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown: the filters escape
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "text": text}
    words = WORDS[language]
    said = environment.get_template("alignment.md.j2").render(
        subject=subject, w=words, listed=LISTED, most_stages=STAGES
    )
    return re.sub(r"\n{3,}", "\n\n", said).strip() + "\n"


def code(value: object) -> str:
    """`value` as code, on one line, also within a table."""
    return f"`{_on_one_line(value).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def text(value: object) -> str:
    """`value` as plain words: nothing in it is markup."""
    return re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", html.escape(_on_one_line(value), quote=False))


def _on_one_line(value: object) -> str:
    return " ".join(str(value).split())
