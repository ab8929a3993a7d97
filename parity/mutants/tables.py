"""The catalogue's outcomes, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from converter.console import wide_console
from converter.names import count
from parity.mutants.run import Outcome
from parity.verdicts.incumbents import CRITERIA

INTRODUCTION = """\
# Mutants

Written by `make docs`. Each entry edits a freshly loaded Paddle twin the way a porter might, and the
harness compares it with the torch twin at its default settings: isolated and free-running, float64 and
float32, three inputs of odd and even sizes, one square, batch 2, R = 2, stand-in weights of depth {depth}.
`ccnet-parity mutants` runs them again.

**{summary}.**

A mutant is caught if the comparison fails, and pinned if exactly the guilty modules are accused, and of
them exactly the guilty calls (`#1` is the second). It is explained if each of them has the right cause, proved by
running the reference's own layer, or its side of the gate, with that one change; "–" stands where nothing
known repeats the port's output, and nothing is guessed. `network` is the code of the network itself. Beside each
stands which other criteria would have passed its outputs, all of them; they are named at the end.
Mistakes in training leave those outputs as they are: the gates of the [certificate](certificate.md) run, in
their order, until one fails, which is the one accused. Of mistakes in a PaddleSeg config or in a porter's function, the
gates of such parts run; those in configs need PaddleSeg.
"""


ROOMY = 100
"""Columns of a terminal from which there is room for what the porter did."""


def print_outcomes(outcomes: Sequence[Outcome], console: Console | None = None) -> None:
    """A table of every entry, and the summary; in narrow terminals an entry's name says what the porter did."""
    console = console or wide_console()
    narrow = console.width < ROOMY
    table = Table("entry", *([] if narrow else ["what the porter did"]), "accused", "cause", "", box=box.SIMPLE)
    for theme, group in _by_theme(outcomes):
        table.add_section()
        table.add_row(f"[bold]{theme}[/bold]")
        for outcome in group:
            description = [] if narrow else [outcome.mutant.description]
            table.add_row(outcome.mutant.name, *description, _accused(outcome), _cause(outcome), _verdict(outcome))
    console.print(table)
    console.print(summarise(outcomes), soft_wrap=True)


def summarise(outcomes: Iterable[Outcome]) -> str:
    """`84 of 84 mutants caught and pinned, 23 of 23 equivalents without an alarm`."""
    mutants, equivalents = split(outcomes)
    pinned = sum(outcome.caught and outcome.pinned for outcome in mutants)
    said = [f"{pinned} of {count(len(mutants), 'mutant')} caught and pinned"] if mutants else []
    if equivalents:
        said += [f"{sum(map(bool, equivalents))} of {count(len(equivalents), 'equivalent')} without an alarm"]
    return "; ".join([", ".join(said), *([summarise_causes(mutants)] if mutants else [])])


def summarise_causes(mutants: Sequence[Outcome]) -> str:
    """`the right cause named of 86 of 88 that change evaluation and 28 of 33 of training, a wrong one of none`."""
    said = []
    for kind, is_training in (("that change evaluation", False), ("of training", True)):
        group = [outcome for outcome in mutants if outcome.mutant.is_of_training == is_training]
        right = sum(outcome.explained and bool(outcome.causes) for outcome in group)
        said += [f"{right} of {len(group)} {kind}"] if group else []
    wrong = sum(not set(outcome.causes) <= set(outcome.mutant.causes) for outcome in mutants)
    return f"the right cause named of {' and '.join(said) or 'none'}, a wrong one of {wrong or 'none'}"


def split(outcomes: Iterable[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Mutants and equivalents."""
    mutants: list[Outcome] = []
    equivalents: list[Outcome] = []
    for outcome in outcomes:
        (equivalents if outcome.mutant.is_equivalent else mutants).append(outcome)
    return mutants, equivalents


def render_markdown(outcomes: Sequence[Outcome], *, depth: int) -> str:
    """`docs/mutants.md`: no timings and no figures, so that it changes only when the outcome does."""
    mutants, equivalents = split(outcomes)
    lines = [INTRODUCTION.format(depth=depth, summary=summarise(outcomes)), "## Mistakes"]
    for theme, group in _by_theme(mutants):
        lines += ["", f"### {theme.capitalize()}", ""]
        lines += _markdown_table(
            ("mutant", "what the porter did", "accused", "cause", "", "would have passed"),
            [(*_row(outcome), ", ".join(n for n, ok in outcome.incumbents.items() if ok)) for outcome in group],
        )
    lines += ["", "## Equivalent rewrites", "", "The same function, computed otherwise: none may be accused.", ""]
    lines += _markdown_table(
        ("rewrite", "what the porter did", "", "false alarms of"),
        [
            (name, description, verdict, ", ".join(n for n, ok in outcome.incumbents.items() if not ok))
            for outcome in equivalents
            for name, description, _, _, verdict in [_row(outcome)]
        ],
    )
    lines += ["", "## Other criteria on the same outputs", ""]
    lines += ["What they would have said of the networks' float32 outputs.", "", *_criteria(mutants, equivalents)]
    return "\n".join(lines) + "\n"


def _criteria(mutants: Sequence[Outcome], equivalents: Sequence[Outcome]) -> list[str]:
    mutants, equivalents = (
        [outcome for outcome in group if not outcome.mutant.is_of_training] for group in (mutants, equivalents)
    )
    return _markdown_table(
        ("criterion", "rule", "mutants passed", "equivalents failed"),
        [
            (
                name,
                criterion.description,
                f"{sum(outcome.incumbents.get(name, False) for outcome in mutants)} of {len(mutants)}",
                f"{sum(not outcome.incumbents.get(name, True) for outcome in equivalents)} of {len(equivalents)}",
            )
            for name, criterion in CRITERIA.items()
        ],
    )


def _markdown_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = [header, ("---",) * len(header), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells]


def _row(outcome: Outcome) -> tuple[str, str, str, str, str]:
    entry = outcome.mutant
    return entry.name, entry.description, _accused(outcome, quote="`"), _cause(outcome), _verdict(outcome)


def _cause(outcome: Outcome) -> str:
    if outcome.mutant.is_equivalent:
        return ""
    return ", ".join(outcome.causes) or "–"


def _accused(outcome: Outcome, *, quote: str = "") -> str:
    """The modules accused: where they are many, the patterns they match."""
    accused = outcome.guilty
    if outcome.pinned and len(accused) > len(outcome.mutant.guilty):
        accused = outcome.mutant.guilty
    return ", ".join(f"{quote}{path or 'network'}{quote}" for path in accused)


def _verdict(outcome: Outcome) -> str:
    if outcome.mutant.is_equivalent:
        return "silent" if outcome else "FALSE ALARM"
    if not outcome.caught:
        return "MISSED"
    if not outcome.pinned:
        return "caught, NOT PINNED"
    return "caught, pinned" if outcome.explained else "caught, pinned, WRONG CAUSE"


def _by_theme(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    themes = dict.fromkeys(outcome.theme for outcome in outcomes)
    return [(theme, [outcome for outcome in outcomes if outcome.theme == theme]) for theme in themes]
