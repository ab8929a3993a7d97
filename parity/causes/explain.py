"""Why a unit differs: hypotheses tried one after another until the reference's own unit repeats the port's output.

    found = explain(questions)          # one `Asked` for each input
    found.cause, found.tried, found.facts

A hypothesis is proved if it repeats the port's output on every input, element by element, to the limit of a float64
comparison. Where two do, one more input is asked for; if both still do, both are named. Where none does, nothing is
guessed: what can be measured of the difference is said.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import torch
from torch import Tensor

from converter.names import count
from parity.causes.facts import common_facts, measure_facts
from parity.causes.hypotheses import Asked, Hypothesis, join_edits
from parity.causes.replay import Replay
from parity.causes.results import on_inputs, on_outputs, on_results
from parity.causes.rules import SETTINGS, propose, propose_steps
from parity.causes.solve import propose_solved
from parity.causes.steps import Edit
from parity.causes.tensors import Weight, explain_tensor
from parity.causes.trial import compare_made, distance, make, measure_left
from parity.verdicts.found import EXACTER, ROUNDING, Found, keep_nearest, name_cause
from parity.verdicts.report import Cause
from twins.tensors import refill

SPREAD = 8.0
"""Standard deviation of the random input on which hypotheses are compared with each other."""
MOST_TRIED = 1500
RIVALS_WORK = 1 << 22
"""What may be made of further hypotheses where one is proved: those that are near it come next."""
MOST_UNEXPLAINED = 8
"""Units of a network that all hypotheses are tried on in vain: the others are seldom explained then."""
MOST_PAIRED = 24
"""Hypotheses that are tried by twos."""
LEAST_WORK = 3 << 24
"""What may be made of hypotheses in any network, however small, as `count_work` counts: about a second's."""


@dataclass
class Likely:
    """What was proved of other units of the same network, which is tried first of the next: a mistake comes in dozens.

    `left` is the work that hypotheses may make, all together, whatever time it takes; they may make more `until` that
    time of `time.perf_counter`. Each unit may spend its share of both. Then it is still asked for what was proved
    elsewhere, and for what is read off the port's layer.
    """

    left: int = LEAST_WORK
    until: float = 0.0
    _kept: int = 0
    _until: float = 0.0
    unexplained: int = 0
    known: dict[tuple[str, str], None] = field(default_factory=dict)

    @property
    def is_spent(self) -> bool:
        """Whether it is enough: of work and time, or of units that nothing explains."""
        is_over = self.left <= self._kept and time.perf_counter() >= self._until
        return is_over or self.unexplained >= MOST_UNEXPLAINED

    def share(self, units: int) -> None:
        """Let the next of so many units spend its part of what is left."""
        now = time.perf_counter()
        self._kept = self.left * (units - 1) // units
        self._until = now + max(self.until - now, 0.0) / units

    def chosen(self, hypotheses: Iterator[Hypothesis]) -> Iterator[Hypothesis]:
        """Those of these that were proved elsewhere."""
        return (one for one in hypotheses if (one.name, one.text) in self.known) if self.known else iter(())

    def note(self, proved: Sequence[tuple[Hypothesis, float]]) -> None:
        """Remember the one that is proved alone."""
        if len(proved) == 1:
            self.known[proved[0][0].name, proved[0][0].text] = None


@dataclass
class _Tried:
    """The hypotheses that repeat the port's output, each with the greatest difference it leaves."""

    questions: Sequence[Asked]
    likely: Likely
    count: int = 0
    untried: int = 0
    proved: list[tuple[Hypothesis, float]] = field(default_factory=list)

    def attempt(self, hypotheses: Iterator[Hypothesis], *, bounded: bool = True) -> None:
        """Keep those that repeat the port's output on all inputs, unless others do already.

        What is `bounded` is tried while there is work left.
        """
        first, *others = self.questions
        if self.proved:
            return
        last, proved_at = first.replay.work, 0
        for hypothesis in _safely(hypotheses):
            if not self.proved and (self.count >= MOST_TRIED or (bounded and self.likely.is_spent)):
                self.untried += 1
                continue
            if self.proved and bounded and proved_at - self.likely.left > RIVALS_WORK:
                return
            self.count += 1
            if any(_is_same(hypothesis, known) for known, _ in self.proved):
                continue
            left = measure_left(first, hypothesis)
            if bounded:
                self.likely.left -= first.replay.work - last + first.compared.numel()
                last = first.replay.work
            if left is None:
                continue
            rest = [_left_on(asked, hypothesis) for asked in others]
            if None not in rest:
                proved_at = proved_at or self.likely.left
                self.proved.append((hypothesis, max(left, *(one for one in rest if one is not None), 0.0)))


def explain(
    questions: Sequence[Asked],
    weights: Sequence[Weight] = (),
    likely: Likely | None = None,
    ask_again: Callable[[], Asked | None] = lambda: None,
    later: Sequence[Asked] = (),
) -> Found:
    """Why the port's unit differs in the `questions`, one for each input.

    `weights` are the port's tensors that are not the reference's. `likely` is of the whole network. `ask_again` gives a
    question on one input more. `later` are questions of the same code further on: a recurrence that begins with zeros
    shows little in its first step, and what is proved there must hold in the next, too.
    """
    first = questions[0]
    first.replay.steps  # noqa: B018 - runs it
    lost = _lost_outputs(first)
    if lost is not None or distance(first) == 0 or first.is_otherwise_many:
        return Found(lost, 1)
    tried = _Tried(questions, likely or Likely())
    read = (one for one in propose_steps(first) if one.is_read)
    for level in (_weights(weights), tried.likely.chosen(propose(first)), read):
        tried.attempt(level, bounded=False)
    outputs = on_outputs(first) if first.is_network else iter(())
    for level in (outputs, propose_steps(first), on_results(first), on_inputs(first)):
        tried.attempt(level)
    if not tried.untried:
        tried.attempt(propose_solved(first))
        tried.attempt(_pairs(first))
    if later and _begins_with_zeros(first):
        tried.proved = [(one, left) for one, left in tried.proved if all(_holds_later(asked, one) for asked in later)]
    if tried.proved:
        tried.likely.note(tried.proved)
        told = _told_apart(tried, ask_again)
        return Found(name_cause(told, max(map(distance, questions)), "on all inputs tried"), tried.count)
    tried.likely.unexplained += 1
    return Found(None, tried.count, common_facts([_facts(asked) for asked in questions]), tried.untried)


def _facts(asked: Asked) -> tuple[str, ...]:
    asked.replay.steps  # noqa: B018 - runs it
    given = next(iter(asked.replay.tensors), None)
    arrays = asked.expected.numpy(), asked.compared.numpy(), None if given is None else given.numpy()
    return measure_facts(*arrays)


def _safely(hypotheses: Iterator[Hypothesis]) -> Iterator[Hypothesis]:
    """Up to where a user's own tensors are of another kind than they know."""
    try:
        yield from hypotheses
    except Exception:  # noqa: BLE001 - whatever torch says of tensors that nobody thought of
        return


def _lost_outputs(asked: Asked) -> Cause | None:
    """That the port gives some of the reference's tensors alone."""
    expected, actual = asked.replay.baseline, asked.actual
    if len(expected) == len(actual) or asked.finish is not None or asked.replay.watched.kind != "output":
        return None
    order = [next((number for number, one in enumerate(expected) if compare_made(own, one)), None) for own in actual]
    if None in order:
        return None
    said = ", ".join(str(number + 1) for number in range(len(expected)) if number not in order)
    text = f"it gives {count(len(actual), 'tensor')}, the reference {len(expected)}"
    text += f": the reference's output {said} is missing" if said else ""
    residual = max(
        compare_made(own, expected[number]).relative
        for own, number in zip(actual, order, strict=True)
        if number is not None
    )
    return Cause(
        name="outputs missing", text=text, fix="return all outputs", residual=residual, proved=True, before=math.inf
    )


def _weights(weights: Sequence[Weight]) -> Iterator[Hypothesis]:
    """That the layer has other weights: each explained by itself, proved together."""
    if not weights:
        return
    found = [(weight, explain_tensor(weight)) for weight in weights]
    said = list(dict.fromkeys(explained.text for _, explained in found))
    if len(said) == 1 and len(found) > 1:
        text = f"{len(found)} tensors: each {said[0]}"
    else:
        text = "; ".join(f"`{weight.label}` {explained.text}" for weight, explained in found)
    tensors = [(weight.parameter, torch.from_numpy(weight.actual.copy())) for weight in weights]
    yield Hypothesis(found[0][1].name, text, found[0][1].fix, tensors=tensors)


def _pairs(asked: Asked) -> Iterator[Hypothesis]:
    """Two at a time, of different steps: those that are read off the port's layer, and the first of each name."""
    firsts: dict[tuple[str, int], Hypothesis] = {}
    for one in propose_steps(asked):
        if one.edits and not one.attributes:
            firsts.setdefault((one.name, min(one.edits)) if not one.is_read else (one.text, min(one.edits)), one)
    chosen = sorted(firsts.values(), key=lambda one: not one.is_read)[:MOST_PAIRED]
    for left, right in combinations(chosen, 2):
        if (left.name, min(left.edits)) != (right.name, min(right.edits)):
            yield Hypothesis(
                " and ".join(dict.fromkeys((left.name, right.name))),
                f"{left.text}; and {right.text}",
                "; ".join(dict.fromkeys((left.fix, right.fix))),
                join_edits(left.edits, right.edits),
                parts=(left.key, right.key),
            )


def _is_same(one: Hypothesis, known: Hypothesis) -> bool:
    """Whether two are one mistake, said with other numbers."""
    return one.name == known.name and (one.name in SETTINGS or one.text == known.text)


def _again(asked: Asked, hypothesis: Hypothesis) -> Iterator[Hypothesis]:
    """The same hypothesis for another input, whose steps have tensors of their own."""
    asked.replay.steps  # noqa: B018 - runs it
    if hypothesis.again is not None:
        yield hypothesis.again(asked)
    elif hypothesis.tensors:
        yield hypothesis
    elif hypothesis.parts:
        found = {one.key: one.edits for one in propose_steps(asked) if one.key in hypothesis.parts}
        yield replace(hypothesis, edits=join_edits(*(found[key] for key in hypothesis.parts)))
    else:
        yield from (one for one in propose(asked) if one.key == hypothesis.key)


def _begins_with_zeros(asked: Asked) -> bool:
    """Whether some step is given nothing but zeros."""
    return any(
        tensor.is_floating_point() and tensor.ndim > 1 and not bool(tensor.any())
        for step in asked.replay.relevant
        for tensor in step.tensors
    )


def _holds_later(asked: Asked, hypothesis: Hypothesis) -> bool:
    """Whether the same, done in every step of a recurrence, repeats what the port gave after the next one."""
    if hypothesis.tensors or not hypothesis.edits:
        return True
    try:
        asked.replay.steps  # noqa: B018 - runs it
        again = [one for one in propose_steps(asked) if (one.name, one.text) == (hypothesis.name, hypothesis.text)]
        again += [one for one in propose_solved(asked) if one.text == hypothesis.text] if not again else []
    except Exception:  # noqa: BLE001 - what a unit says of this input
        return True
    if not again:
        return True
    edits: dict[int, Edit] = {}
    for one in again:
        edits = join_edits(edits, one.edits)
    return measure_left(asked, replace(hypothesis, edits=edits)) is not None


def _left_on(asked: Asked, hypothesis: Hypothesis) -> float | None:
    try:
        again = list(_again(asked, hypothesis))
    except Exception:  # noqa: BLE001 - what a unit says of this input
        return None
    return next((left for one in again if (left := measure_left(asked, one)) is not None), None)


def _told_apart(tried: _Tried, ask_again: Callable[[], Asked | None]) -> list[tuple[Hypothesis, float]]:
    """Those of several that are one mistake said in two ways, once; of the rest, those that repeat one input more.

    All of them, where no other input can be had or none repeats it.
    """
    proved = keep_nearest(tried.proved)
    if len(proved) == 1:
        return proved
    other = _random(tried.questions[0])
    made = [_make_on(other, one) for one, _ in proved]
    kept = [
        number
        for number, own in enumerate(made)
        if own is None or not any(one is not None and _are_one(own, one) for one in made[:number])
    ]
    proved = [proved[number] for number in kept]
    asked = ask_again() if len(proved) > 1 else None
    if asked is None:
        return proved
    return [(one, left) for one, left in proved if _left_on(asked, one) is not None] or proved


def _are_one(left: Tensor, right: Tensor) -> bool:
    """Whether two hypotheses make the same of an input, but for rounding."""
    return compare_made(left, right).relative <= EXACTER * ROUNDING


def _random(asked: Asked) -> Asked:
    """The same unit on a random input, some of which is large."""
    generator = torch.Generator().manual_seed(0)
    old = asked.replay
    tensors = [
        SPREAD * torch.randn(one.shape, generator=generator, dtype=one.dtype) if one.is_floating_point() else one
        for one in old.tensors
    ]
    args, kwargs = refill((old.args, old.kwargs), iter(tensors))
    return replace(asked, replay=Replay(old.unit, args, kwargs, old.held, old.watched, shapes=old.shapes))


def _make_on(asked: Asked, hypothesis: Hypothesis) -> Tensor | None:
    """What the hypothesis makes of another input; None where it cannot be made of it."""
    try:
        return make(asked, next(_again(asked, hypothesis)))
    except Exception:  # noqa: BLE001 - what a unit says of an input that it was not made for
        return None
