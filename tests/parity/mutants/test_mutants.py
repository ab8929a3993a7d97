"""Every mutant is caught and pinned to its layer, every equivalent passes, and nothing in the catalogue is idle."""

from __future__ import annotations

import io
import json
from functools import cache

import pytest
from rich.console import Console

from parity.errors import ParityInputError
from parity.mutants.catalogue import CATALOGUE, MUTANTS
from parity.mutants.equivalents import EQUIVALENTS
from parity.mutants.mutant import Mutant, Port
from parity.mutants.run import Bench, Outcome, is_pinned, run_catalogue, select
from parity.mutants.tables import print_outcomes, render_markdown, summarise
from parity.verdicts.incumbents import CRITERIA

MISTAKES = [entry for group in MUTANTS.values() for entry in group if not entry.is_of_training]
IDLE = Mutant(name="idle", description="Nothing at all.", apply=lambda port: None, guilty=("head.attention",))

ISOLATED = {"mode": "isolated", "dtypes": ("float64",)}
"""The passes that accuse. Those of the default settings that are left out can only add failures."""


SMALL = ((32, 56),)
"""The smallest input on which every mistake shows: each stage is even on one side at least, and none is square."""


@cache
def bench() -> Bench:
    return Bench()


@cache
def small_bench() -> Bench:
    return Bench(sizes=SMALL)


def by_name(name: str) -> Mutant:
    ((_, entry),) = select([name])
    return entry


@pytest.mark.parametrize("entry", MISTAKES, ids=lambda entry: entry.name)
def test_mutant_is_caught_and_pinned(entry: Mutant) -> None:
    outcome = small_bench().run(entry, **ISOLATED)
    assert outcome.caught, outcome.sentence
    assert outcome.pinned, outcome.guilty
    assert outcome.explained, outcome.causes
    assert outcome


@pytest.mark.parametrize("entry", EQUIVALENTS, ids=lambda entry: entry.name)
def test_equivalent_raises_no_alarm_in_any_mode_or_precision(entry: Mutant) -> None:
    outcome = small_bench().run(entry)
    assert not outcome.caught, outcome.sentence
    assert not outcome.guilty
    assert outcome


@pytest.mark.parametrize("entry", EQUIVALENTS, ids=lambda entry: entry.name)
def test_equivalent_changes_the_port(entry: Mutant) -> None:
    port = bench().port()
    before = _fingerprint(port)
    entry.apply(port)
    assert _fingerprint(port) != before


def _fingerprint(port: Port) -> list[tuple[str, int, bool]]:
    """Paths, layers, and whether a layer's forward pass was replaced."""
    return [
        (path, id(layer), "forward" in vars(layer)) for path, layer in port.network.named_sublayers(include_self=True)
    ]


def test_catalogue_is_large_and_its_names_are_unique() -> None:
    entries = [entry for group in CATALOGUE.values() for entry in group]
    assert len(MISTAKES) >= 40
    assert len(EQUIVALENTS) >= 10
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(entry.description.endswith(".") for entry in entries)
    assert not any(entry.is_equivalent for entry in MISTAKES)
    assert all(entry.is_equivalent for entry in EQUIVALENTS)


@pytest.mark.parametrize("pipeline", [False, True])
def test_an_edit_without_effect_is_reported_as_missed(pipeline: bool) -> None:
    idle = Mutant(**{**vars(IDLE), "pipeline": pipeline})
    outcome = bench().run(idle, **ISOLATED)
    assert not outcome.caught
    assert not outcome.pinned
    assert not outcome


@pytest.mark.parametrize(
    ("guilty", "calls", "pinned"),
    [
        (("head.attention",), (), True),
        (("head.attention",), (1,), True),
        (("head.attention",), (0,), False),
        (("head.attention",), (0, 1), False),
        (("head",), (), False),
        (("head.attention", "head.refine"), (), False),
        (("head.attention.*",), (), False),
        (("head.attention", "no.such.module"), (), False),
        ((), (), False),
    ],
)
def test_pinned_means_exactly_the_guilty_modules_and_calls(
    guilty: tuple[str, ...], calls: tuple[int, ...], pinned: bool
) -> None:
    entry = Mutant(**{**vars(IDLE), "guilty": guilty, "calls": calls})
    assert is_pinned(entry, {("head.attention", 1)}, bench().torch) is pinned
    assert not is_pinned(entry, {("head.attention", 1), ("backbone.pool", 0)}, bench().torch)


def test_a_mutant_that_is_blamed_on_another_layer_fails() -> None:
    wrong = Mutant(**{**vars(by_name("one-weight-off")), "guilty": ("head.attention",)})
    outcome = bench().run(wrong, **ISOLATED)
    assert outcome.caught
    assert not outcome.pinned
    assert not outcome


@pytest.mark.parametrize("causes", [(), ("epsilon",)])
def test_a_mutant_that_is_explained_otherwise_fails(causes: tuple[str, ...]) -> None:
    entry = Mutant(**{**vars(by_name("missing-residual")), "causes": causes})
    outcome = small_bench().run(entry, **ISOLATED)
    assert outcome.pinned
    assert not outcome.explained
    assert not outcome
    assert summarise([outcome]).endswith("named of 0 of 1 that change evaluation, a wrong one of 1")


def test_most_mutants_have_a_cause() -> None:
    assert sum(bool(entry.causes) for entry in MISTAKES) >= 0.9 * len(MISTAKES)


def test_an_equivalent_that_is_none_is_an_alarm() -> None:
    entry = by_name("missing-diagonal-mask")
    outcome = bench().run(Mutant(**{**vars(entry), "guilty": ()}), **ISOLATED)
    assert outcome.caught
    assert not outcome


def test_full_settings_accuse_the_same() -> None:
    """Free passes and float32, which the tests above leave out, accuse nobody else."""
    outcome = bench().run(by_name("query-and-key-weights-swapped"))
    assert outcome
    assert outcome.incumbents.keys() == CRITERIA.keys()


def test_run_catalogue_runs_what_it_is_asked_for() -> None:
    seen: list[str] = []
    outcomes = run_catalogue(names=["dropout-rate", "without-dropout"], progress=seen.append, **ISOLATED)
    assert seen == ["dropout-rate", "without-dropout"]
    assert [outcome.theme for outcome in outcomes] == ["structure", "equivalents"]
    assert all(outcomes)
    with pytest.raises(ParityInputError, match="no mutant is called no-such"):
        run_catalogue(names=["no-such"])


def outcome_of(entry: Mutant, *, caught: bool, pinned: bool, guilty: tuple[str, ...], theme: str = "t") -> Outcome:
    verdicts = {name: name == "reprod_log" for name in CRITERIA}
    return Outcome(
        mutant=entry,
        theme=theme,
        caught=caught,
        pinned=pinned,
        guilty=guilty,
        sentence="",
        seconds=1.0,
        causes=entry.causes if pinned else (),
        explained=pinned,
        incumbents=verdicts,
    )


def some_outcomes() -> list[Outcome]:
    heads = by_name("heads-swapped")
    return [
        outcome_of(heads, caught=True, pinned=True, guilty=("",)),
        outcome_of(heads, caught=True, pinned=False, guilty=("head", "head.fuse #1")),
        outcome_of(IDLE, caught=False, pinned=False, guilty=()),
        outcome_of(by_name("einsum"), caught=False, pinned=True, guilty=(), theme="equivalents"),
        outcome_of(by_name("nested"), caught=True, pinned=False, guilty=("head",), theme="equivalents"),
    ]


def test_summary_counts() -> None:
    assert summarise(some_outcomes()) == (
        "1 of 3 mutants caught and pinned, 1 of 2 equivalents without an alarm; "
        "the right cause named of 1 of 3 that change evaluation, a wrong one of none"
    )


def test_outcome_as_json() -> None:
    written = json.loads(json.dumps(some_outcomes()[0].to_json()))
    assert written["name"] == "heads-swapped"
    assert written["expected"] == written["guilty"] == [""]
    assert written["passed"] is written["caught"] is written["pinned"] is True
    assert written["causes"] == ["another output"]
    assert written["explained"] is True
    assert written["incumbents"]["reprod_log"] is True


def test_table_says_what_went_wrong() -> None:
    stream = io.StringIO()
    print_outcomes(some_outcomes(), Console(file=stream, width=160))
    text = stream.getvalue()
    for words in ("caught, pinned", "NOT PINNED", "MISSED", "FALSE ALARM", "silent", "network", "head.fuse #1"):
        assert words in text
    assert "1 of 3 mutants" in text


def test_markdown_has_both_tables_and_the_criteria() -> None:
    text = render_markdown(some_outcomes(), depth=18)
    assert (
        "| heads-swapped | The auxiliary logits are returned first. | `network` | another output | caught, pinned "
        "| reprod_log |" in text
    )
    assert "| nested |" in text
    assert "FALSE ALARM" in text
    assert "| reprod_log |" in text
    assert "3 of 3" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| heads")}) == 1
