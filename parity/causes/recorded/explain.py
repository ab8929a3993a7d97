"""Why a unit differs from a recorded one: each hypothesis is made of the recording and held against the port's tensor.

    cause, tried = explain_recorded(questions)      # one `Question` for each input

A hypothesis is proved if it repeats the port's tensor on every input to the limit of a float64 comparison. The
reference's layer is recomputed by its class, settings and tensors, and only where that repeats its own recorded output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from parity.causes.recorded.layers import ACTIVATIONS, DrawnLayer, read_layer, read_settings
from parity.causes.recorded.results import Make, Question, Trial, ends_of, propose_done, propose_others, turns
from parity.causes.tensors import Weight, explain_tensor
from parity.verdicts.comparison import compare
from parity.verdicts.found import keep_nearest, name_cause
from parity.verdicts.report import Cause

Array = np.ndarray[Any, Any]
Level = Callable[[Question], Iterator[Trial]]
NEARER = 1e-3
"""Of the difference as it is: what a hypothesis that explains anything leaves at most."""
FIXES = {"kernel size": "kernel_size", "padding mode": "padding_mode", "slope": "negative_slope"}
"""What Paddle calls a setting, where it is another name."""


def explain_recorded(questions: Sequence[Question]) -> tuple[Cause | None, int]:
    """The cause that the recordings prove, and how many hypotheses were tried."""
    first, *others = questions
    tried = 0
    for level in LEVELS:
        proved: dict[tuple[str, str], tuple[Trial, float]] = {}
        for trial in _proposed(level, first):
            tried += 1
            left = _left(first, trial)
            if left is None or (trial.name, trial.text) in proved:
                continue
            rest = [_left_again(asked, level, trial) for asked in others]
            if None not in rest:
                proved[trial.name, trial.text] = trial, max(left, *(one for one in rest if one is not None), 0.0)
        if proved:
            nearest = keep_nearest(list(proved.values()))
            return name_cause(nearest, max(map(_distance, questions)), "on all inputs recorded"), tried
    return None, tried


def _proposed(level: Level, asked: Question) -> Iterator[Trial]:
    """What a level proposes, up to where a user's layer is of another kind than it knows."""
    try:
        yield from level(asked)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return


def list_differences(asked: Question) -> tuple[str, ...]:
    """The settings in which the two layers differ, in sentences, whether or not they are why."""
    if asked.reference is None or asked.port is None:
        return ()
    expected, actual = read_settings(asked.reference), read_settings(asked.port)
    return tuple(_say(name, actual[name], expected[name]) for name in _differing(expected, actual))


def _left(asked: Question, trial: Trial) -> float | None:
    """The difference that is left, over the RMS; None if the port's tensor is not repeated."""
    try:
        made = trial.make()
        comparison = compare(asked.actual, np.ascontiguousarray(made), constant=True)
    except Exception:  # noqa: BLE001 - what NumPy says of a hypothesis that does not fit
        return None
    near = comparison and comparison.relative <= NEARER * _distance(asked)
    return comparison.relative if near else None


def _left_again(asked: Question, level: Level, trial: Trial) -> float | None:
    """The same hypothesis on another input."""
    alike = (one for one in _proposed(level, asked) if (one.name, one.text) == (trial.name, trial.text))
    return next((left for one in alike if (left := _left(asked, one)) is not None), None)


def _distance(asked: Question) -> float:
    return compare(asked.actual, asked.expected, constant=True).relative


@dataclass(frozen=True)
class _Repeated:
    """The reference's layer as it can be run again, and the activation that it ends in, "" for none."""

    layer: DrawnLayer
    ends_in: str
    end: Make

    def __call__(self, x: Array, **changed: Any) -> Array:
        return self.end(replace(self.layer, **changed).run(x))


def _repeat(asked: Question) -> _Repeated | None:
    """None where what is known of the layer does not repeat its own recorded output."""
    layer = None if asked.reference is None or len(asked.given) != 1 else read_layer(asked.reference)
    if layer is None:
        return None
    for settings in _as_kept(layer.settings):
        own = replace(layer, settings=settings)
        try:
            plain = own.run(asked.given[0])
        except Exception:  # noqa: BLE001 - a setting that is not known here
            return None
        if plain.shape != asked.expected.shape:
            return None
        for name, end in ends_of(plain, asked.expected):
            if compare(end(plain), asked.expected, constant=True):
                return _Repeated(own, name, end)
    return None


def _weights(asked: Question) -> Iterator[Trial]:
    """That the layer has other weights, explained one by one."""
    again = _repeat(asked)
    if again is None:
        return
    differing = {
        name: array
        for name, array in asked.own.items()
        if name in again.layer.tensors and not np.array_equal(array, again.layer.tensors[name])
    }
    if not differing:
        return
    found = {
        name: explain_tensor(Weight(name, None, again.layer.tensors[name], array)) for name, array in differing.items()
    }
    assert asked.reference is not None
    labels = {name: ".".join(filter(None, (asked.reference.path, name))) for name in found}
    text = "; ".join(f"`{labels[name]}` {explained.text}" for name, explained in found.items())
    first = next(iter(found.values()))
    tensors = {**again.layer.tensors, **differing}
    yield Trial(first.name, text, first.fix, partial(again, asked.given[0], tensors=tensors))


def _settings(asked: Question) -> Iterator[Trial]:
    """The port's own settings, each by itself and all together."""
    again = _repeat(asked)
    if again is None or asked.port is None:
        return
    own = read_layer(asked.port)
    if own is not None and own.family != again.layer.family:
        actual_class, expected_class = (type(info.module).__name__ for info in (asked.port, asked.reference) if info)
        text = f"{actual_class} stands where the reference has {expected_class}"
        yield Trial("kind of layer", text, f"use {expected_class}", partial(own.run, asked.given[0]))
    expected, actual = again.layer.settings, read_settings(asked.port)
    names = _differing(expected, actual)
    for chosen in [*([name] for name in names), *([names] if len(names) > 1 else [])]:
        text = "; ".join(_say(name, actual[name], expected[name]) for name in chosen)
        fixes = {**FIXES, "groups": "num_groups"} if again.layer.family == "groupnorm" else FIXES
        fix = ", ".join(f"{fixes.get(name, name)}={_shown(expected[name])}" for name in chosen)
        for kept in _as_kept({name: actual[name] for name in chosen}):
            settings = {**expected, **kept}
            yield Trial(" and ".join(chosen), text, fix, partial(again, asked.given[0], settings=settings))


def _as_kept(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """As they are, and with fractions as a kernel keeps them, in float32."""
    yield dict(settings)
    yield {name: float(np.float32(one)) if isinstance(one, float) else one for name, one in settings.items()}


def _inside(asked: Question) -> Iterator[Trial]:
    """The usual mistakes about a layer whose settings are the reference's."""
    again = _repeat(asked)
    if again is None:
        return
    layer, (given,) = again.layer, asked.given
    for name, what, fix in (("bias", "the bias", "add it"), ("weight", "the scale", "multiply by it")):
        if name in layer.tensors and (name == "bias" or layer.family.endswith("norm")):
            rest = {one: array for one, array in layer.tensors.items() if one != name}
            yield Trial(f"{name} missing", f"{what} is not applied", fix, partial(again, given, tensors=rest))
    for name, array in asked.added.items() if "bias" not in layer.tensors else ():
        tensors = {**layer.tensors, "bias": array}
        text = f"the port adds a bias, `{name}`, which the reference has not"
        yield Trial("bias added", text, "bias_attr=False", partial(again, given, tensors=tensors))
    if layer.family == "batchnorm":
        axes = (0, *range(2, given.ndim))
        tensors = {**layer.tensors, "running_mean": given.mean(axes), "running_var": given.var(axes)}
        text, fix = "statistics of the batch are used in evaluation", "use the running statistics in evaluation"
        yield Trial("batch statistics", text, fix, partial(again, given, tensors=tensors))
    changes: dict[str, Make] = {
        "divided by 255": lambda x: x / 255,
        "with its channels in the opposite order (BGR for RGB)": lambda x: x[:, ::-1],
        **{name: make for name, make in turns(given.ndim).items() if "layout" not in name},
        **{f"activated by {name}": make for name, make in ACTIVATIONS.items()},
    }
    for name, make in changes.items():
        text = f"its input is {name} before all else"
        yield Trial("input changed", text, "use the input as it is", partial(_after, again, make, given))


def _ends(asked: Question) -> Iterator[Trial]:
    """That the layer ends in another activation than the reference's, or in none."""
    again = _repeat(asked)
    if again is None or not again.ends_in:
        return
    plain = again.layer.run(asked.given[0])
    for name, make in ends_of(plain, asked.actual):
        text = f"it ends in {name}, the reference's in {again.ends_in}" if name else f"{again.ends_in} is left out"
        said = "another activation" if name else "activation missing"
        yield Trial(said, text, f"use {again.ends_in}", partial(make, plain))


def _after(again: _Repeated, make: Make, given: Array) -> Array:
    return again(make(given))


LEVELS: tuple[Level, ...] = (_weights, _settings, _ends, propose_others, propose_done, _inside)
"""In this order: where one of a level is proved, those after it are not tried."""


def _differing(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    return [name for name in expected if name in actual and not _same(expected[name], actual[name])]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.float32(one) == np.float32(other))
    return bool(one == other)


def _say(name: str, actual: Any, expected: Any) -> str:
    return f"{name} is {_shown(actual)}, the reference's is {_shown(expected)}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
