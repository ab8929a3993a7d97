"""Why a unit differs: hypotheses tried one after another until the reference's own unit repeats the port's output.

    found = explain(questions)          # one `Asked` for each input
    found.cause, found.tried, found.facts

A hypothesis is proved if it repeats the port's output on every input, element by element, to the limit of a float64
comparison. Where two do, one more input is asked for; if both still do, both are named. Where none does, nothing is
guessed: what can be measured of the difference is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from parity.causes.activations import FUNCTIONS, called_activations, moved_activations, other_activations
from parity.causes.attention import SOFTMAXES, fills, masks, scaled_products, softmaxes
from parity.causes.facts import measure_facts
from parity.causes.hypotheses import Asked, Hypothesis, Rule
from parity.causes.layers import convolutions, dropouts, global_pools, linears, norms, pools, resizes
from parity.causes.replay import Replay
from parity.causes.results import on_inputs, on_results
from parity.causes.steps import CALL, VIEWS, Step
from parity.causes.structure import (
    PRODUCTS,
    SUMS,
    attributes,
    axes_exchanged,
    calls,
    concatenations,
    embeddings,
    exchanged_calls,
    flips,
    left_out,
    matrix_products,
    passes,
    picked,
    products,
    rearrangements,
    sequences,
    splits,
    sums,
    views,
)
from parity.causes.tensors import Weight, explain_tensor
from parity.verdicts.comparison import Comparison, compare
from parity.verdicts.report import Cause
from twins.tensors import refill

NEARER = 1e-3
"""Of the difference as it is: a hypothesis that leaves more explains nothing, however small it is."""
SPREAD = 8.0
"""Standard deviation of the random input on which hypotheses are compared with each other."""
MOST_TRIED = 1500
LEAST_WORK = 1 << 26
"""Elements that hypotheses may make in any network, however small."""
SETTINGS = frozenset({"epsilon", "slope", "stride", "padding", "dilation", "padding mode", "kernel size"})
"""Names of hypotheses that are one mistake whatever the number: the first that repeats the port's is the port's own."""
RULES: tuple[tuple[tuple[str, ...], Rule], ...] = (
    ((CALL,), passes),
    (tuple(FUNCTIONS), other_activations),
    (tuple(FUNCTIONS), moved_activations),
    (("batch_norm", "layer_norm", "group_norm", "instance_norm"), norms),
    (("conv1d", "conv2d", "conv3d"), convolutions),
    (("linear",), linears),
    (("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"), pools),
    (("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax"), global_pools),
    (("interpolate", "upsample"), resizes),
    (("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), dropouts),
    (SOFTMAXES, softmaxes),
    (("add", "__add__", "__iadd__", "__radd__"), masks),
    (("masked_fill", "masked_fill_"), fills),
    (("scaled_dot_product_attention",), scaled_products),
    (SUMS, sums),
    (PRODUCTS, products),
    (("cat", "concat"), concatenations),
    (("permute", "transpose", "mT", "T", "t", "swapaxes", "movedim"), rearrangements),
    (("flip",), flips),
    (("__getitem__", "select"), picked),
    (("embedding",), embeddings),
    (("permute", "transpose", "mT", "T", "t"), axes_exchanged),
    (("split", "chunk"), splits),
    (("view", "reshape", "unflatten"), views),
    (("bmm", "matmul", "__matmul__"), matrix_products),
    (("lstm", "gru"), sequences),
    ((CALL,), called_activations),
    ((CALL,), calls),
)
"""Which functions of torch which hypotheses are about; those at the head are tried first."""
KNOWN = frozenset(name for names, _ in RULES for name in names) | VIEWS


@dataclass(frozen=True)
class Found:
    """What is known of a difference: its cause, or how many hypotheses failed and what was measured."""

    cause: Cause | None = None
    tried: int = 0
    facts: tuple[str, ...] = ()


@dataclass
class Likely:
    """What was proved of other units of the same network, which is tried first of the next: a mistake comes in dozens.

    `left` are the elements that hypotheses may make, all together. When they are spent, a unit is still asked for what
    was proved elsewhere, and for what is read off the port's layer.
    """

    left: int = LEAST_WORK
    known: dict[tuple[str, str], None] = field(default_factory=dict)

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
    count: int = 0
    proved: list[tuple[Hypothesis, float]] = field(default_factory=list)


def explain(
    questions: Sequence[Asked],
    weights: Sequence[Weight] = (),
    likely: Likely | None = None,
    ask_again: Callable[[], Asked | None] = lambda: None,
) -> Found:
    """Why the port's unit differs in the `questions`, one for each input.

    `weights` are the port's tensors that are not the reference's. `likely` is of the whole network. `ask_again` gives a
    question on one input more.
    """
    first = questions[0]
    first.replay.steps  # noqa: B018 - runs it
    lost = _lost_outputs(first)
    if lost is not None or distance(first) == 0 or first.is_otherwise_many:
        return Found(lost, 1)
    tried, likely = _Tried(questions), likely or Likely()
    known = likely.chosen(_all(first))
    read = (one for one in _steps(first) if one.is_read)
    for level in (_weights(weights), known, read):
        _try(tried, level)
    searched = [on_results(first), _steps(first)] if first.is_network else [_steps(first), on_results(first)]
    for level in (*searched, on_inputs(first)):
        _try(tried, level, likely)
    if tried.proved:
        likely.note(tried.proved)
        return Found(_name(_told_apart(tried, ask_again), questions), tried.count)
    given = next(iter(first.replay.tensors), None)
    return Found(None, tried.count, measure_facts(first.expected, first.compared, given))


def _lost_outputs(asked: Asked) -> Cause | None:
    """That the port gives some of the reference's tensors alone."""
    expected, actual = asked.replay.baseline, asked.actual
    if len(expected) == len(actual) or asked.finish is not None or asked.replay.watched.kind != "output":
        return None
    order = [next((number for number, one in enumerate(expected) if _compare(own, one)), None) for own in actual]
    if None in order:
        return None
    said = ", ".join(str(number + 1) for number in range(len(expected)) if number not in order)
    text = f"it gives {len(actual)} tensors, the reference {len(expected)}"
    text += f": the reference's output {said} is missing" if said else ""
    residual = max(
        _compare(own, expected[number]).relative
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


def _steps(asked: Asked) -> Iterator[Hypothesis]:
    for names, rule in RULES:
        for step in asked.replay.relevant:
            if step.name in names and step.outputs:
                yield from _proposed(rule, step, asked)
    yield from exchanged_calls(asked)
    yield from attributes(asked)
    for step in asked.replay.relevant:
        if step.name not in KNOWN and step.outputs and step.tensors and step.tensors[0].shape == step.outputs[0].shape:
            yield from left_out(step)


def _proposed(rule: Rule, step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """What a rule proposes, up to where a user's own call is of another kind than it knows."""
    try:
        yield from rule(step, asked)
    except (AttributeError, IndexError, KeyError, LookupError, RuntimeError, TypeError, ValueError):
        return


def _all(asked: Asked) -> Iterator[Hypothesis]:
    yield from _steps(asked)
    yield from on_results(asked)
    yield from on_inputs(asked)


def _try(tried: _Tried, hypotheses: Iterator[Hypothesis], within: Likely | None = None) -> None:
    """Keep those that repeat the port's output on all inputs, unless others do already."""
    first, *others = tried.questions
    if tried.proved:
        return
    for hypothesis in hypotheses:
        if tried.count >= MOST_TRIED or (within is not None and within.left <= 0):
            return
        tried.count += 1
        before = first.replay.work
        if any(_is_same(hypothesis, known) for known, _ in tried.proved):
            continue
        left = _left(first, hypothesis)
        if within is not None:
            within.left -= first.replay.work - before + first.compared.numel()
        if left is None:
            continue
        rest = [_left_on(asked, hypothesis) for asked in others]
        if None not in rest:
            tried.proved.append((hypothesis, max(left, *(one for one in rest if one is not None), 0.0)))


def _is_same(one: Hypothesis, known: Hypothesis) -> bool:
    """Whether two are one mistake, said with other numbers."""
    return one.name == known.name and (one.name in SETTINGS or one.text == known.text)


def _left_on(asked: Asked, hypothesis: Hypothesis) -> float | None:
    """The same on another input, whose steps have tensors of their own."""
    if hypothesis.tensors:
        return _left(asked, hypothesis)
    asked.replay.steps  # noqa: B018 - runs it
    again = (one for one in _all(asked) if one.key == hypothesis.key)
    return next((left for one in again if (left := _left(asked, one)) is not None), None)


def _left(asked: Asked, hypothesis: Hypothesis) -> float | None:
    """The difference that the hypothesis leaves, over the RMS; None if it does not repeat the port's output."""
    try:
        comparison = _compare(asked.compared, _make(asked, hypothesis))
    except Exception:  # noqa: BLE001 - what a unit says of an edit that does not fit it
        return None
    if not comparison or comparison.relative > NEARER * distance(asked):
        return None
    return comparison.relative


def _make(asked: Asked, hypothesis: Hypothesis) -> Tensor:
    """What the reference's unit gives under a hypothesis."""
    with _set(hypothesis), torch.no_grad():
        made = (
            asked.replay.run(
                hypothesis.edits,
                hypothesis.change,
                hypothesis.other,
                changes_unit=bool(hypothesis.tensors or hypothesis.attributes),
            )
            if hypothesis.edits or hypothesis.change or hypothesis.other or hypothesis.tensors or hypothesis.attributes
            else asked.replay.baseline
        )
        result = made[asked.number]
        result = result if hypothesis.result is None else hypothesis.result(result)
        return (result if asked.finish is None else asked.finish(result)).contiguous()


def distance(asked: Asked) -> float:
    """How far the port is from the reference as it is."""
    expected = asked.expected if asked.finish is None else asked.finish(asked.expected)
    return _compare(asked.compared, expected).relative


def _compare(actual: Tensor, made: Tensor) -> Comparison:
    """As layers are compared; what is not finite must be so in both, in the same places."""
    if actual.is_floating_point() and actual.shape == made.shape and not bool(torch.isfinite(actual).all()):
        same = (actual == made) | (actual.isnan() & made.isnan())
        actual, made = (torch.where(same & ~torch.isfinite(actual), 0.0, one) for one in (actual, made))
    return compare(actual, made, constant=True)


@contextmanager
def _set(hypothesis: Hypothesis) -> Iterator[None]:
    """Within, the reference's parameters are the hypothesis's."""
    before = [(parameter, parameter.detach().clone()) for parameter, _ in hypothesis.tensors]
    own = [(module, name, getattr(module, name)) for module, name, _ in hypothesis.attributes]
    try:
        for module, name, number in hypothesis.attributes:
            setattr(module, name, number)
        with torch.no_grad():
            for parameter, value in hypothesis.tensors:
                parameter.copy_(value)
        yield
    finally:
        for module, name, number in own:
            setattr(module, name, number)
        with torch.no_grad():
            for parameter, value in before:
                parameter.copy_(value)


def _told_apart(tried: _Tried, ask_again: Callable[[], Asked | None]) -> list[tuple[Hypothesis, float]]:
    """Those of several that are one mistake said in two ways, once; of the rest, those that repeat one input more.

    All of them, where no other input can be had or none repeats it.
    """
    proved = tried.proved
    if len(proved) == 1:
        return proved
    other = _random(tried.questions[0])
    made = [_make_on(other, one) for one, _ in proved]
    kept = [
        number
        for number, own in enumerate(made)
        if own is None or not any(one is not None and bool(_compare(own, one)) for one in made[:number])
    ]
    proved = [proved[number] for number in kept]
    asked = ask_again() if len(proved) > 1 else None
    if asked is None:
        return proved
    return [(one, left) for one, left in proved if _left_on(asked, one) is not None] or proved


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
        asked.replay.steps  # noqa: B018 - runs it
        again = (one for one in _all(asked) if one.key == hypothesis.key)
        return _make(asked, next(again))
    except Exception:  # noqa: BLE001 - what a unit says of an input that it was not made for
        return None


def _name(proved: Sequence[tuple[Hypothesis, float]], questions: Sequence[Asked]) -> Cause:
    names, texts, fixes = (
        list(dict.fromkeys(getattr(one, field) for one, _ in proved)) for field in ("name", "text", "fix")
    )
    unsure = ": these are one on all inputs tried" if len(texts) > 1 else ""
    return Cause(
        name=" or ".join(names),
        text=f"{', or '.join(texts)}{unsure}",
        fix=", or ".join(fixes),
        residual=max(left for _, left in proved),
        proved=True,
        before=max(map(distance, questions)),
    )
