"""Hypotheses about a recorded tensor: what became of the reference's, or which other tensor stands in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from parity.causes.recorded.layers import ACTIVATIONS, leaky_relu
from parity.causes.tensors import find_order
from parity.networks.modules import ModuleInfo
from recipe.interpolation import interpolation_matrix
from twins.tolerances import FLOAT64_RELATIVE

Array = np.ndarray[Any, Any]
Make = Callable[[Array], Array]
Known = Callable[[tuple[int | None, ...]], Iterator[tuple[str, Array]]]
MOST_CHANNELS = 4096
MOST_TERMS = 6
"""Tensors recorded before, the nearest, that may be a sum's."""
INPUT = "its input"
SAMPLED = 256
"""Elements of which most activations are ruled out."""


@dataclass(frozen=True)
class Question:
    """Why the port's tensor is not the reference's.

    `given` is what the reference's layer was given, if it is known; `known` gives the outputs of a shape (None: of any
    size) that the reference recorded before, by name. `reference` and `port` are the two layers, where they are a pair;
    `own` the port's tensors by the reference's names, `added` those that have none.
    """

    expected: Array
    actual: Array
    given: tuple[Array, ...] = ()
    known: Known = field(default=lambda shape: iter(()))
    reference: ModuleInfo | None = None
    port: ModuleInfo | None = None
    own: dict[str, Array] = field(default_factory=dict)
    added: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One thing that a porter may have done: `make` gives what the reference's would be then."""

    name: str
    text: str
    fix: str
    make: Callable[[], Array]


def propose_others(asked: Question) -> Iterator[Trial]:
    """Of what was recorded before: handed on as it is, otherwise activated, or left out of a sum."""
    known = dict(asked.known(asked.actual.shape))
    for name, array in known.items():
        text = f"it is {_say(name)}"
        yield Trial("another layer's output", text, "hand on what the reference does", partial(np.asarray, array))
    if asked.expected.shape != asked.actual.shape:
        return
    if asked.given and asked.given[0].shape == asked.expected.shape:
        (given, *_) = asked.given
        known = {INPUT: given, **{name: array for name, array in known.items() if not np.array_equal(array, given)}}
    for name, array in known.items():
        yield from _not_added(asked.expected, name, array)
        yield from _ended(asked, array, _say(name))
    nearest = {name: known[name] for name in list(known)[:MOST_TERMS]}
    for (left, one), (right, other) in combinations(nearest.items(), 2):
        yield from _summed(asked, (left, one), (right, other))
    yield from _resized(asked)
    yield from _in_part(asked)


def _resized(asked: Question) -> Iterator[Trial]:
    """Where the reference's is a resize of what was recorded before: by another way."""
    shape = asked.expected.shape
    if len(shape) != 4:
        return
    for name, array in asked.known((*shape[:2], None, None)):
        made = {way: make(array, shape[2:]) for way, make in WAYS.items()} if array.shape != shape else {}
        was = next((way for way, one in made.items() if _equal(one, asked.expected)), None)
        for way, one in made.items() if was is not None else ():
            text = f"{_say(name)} is resized by {way}, the reference's by {was}"
            yield Trial("way of resizing", text, f"mode={was}", partial(np.asarray, one))


def _bilinear(images: Array, size: tuple[int, ...], *, corners: bool) -> Array:
    rows, columns = (
        interpolation_matrix(source, target, align_corners=corners)
        for source, target in zip(images.shape[2:], size, strict=True)
    )
    return np.asarray(rows @ images @ columns.T)


def _nearest(images: Array, size: tuple[int, ...]) -> Array:
    rows, columns = (
        np.arange(target) * source // target for source, target in zip(images.shape[2:], size, strict=True)
    )
    return np.asarray(images[:, :, rows[:, None], columns])


WAYS: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "bilinear, align_corners=False": partial(_bilinear, corners=False),
    "bilinear, align_corners=True": partial(_bilinear, corners=True),
    "nearest": _nearest,
}


def _not_added(expected: Array, name: str, term: Array) -> Iterator[Trial]:
    yield Trial("term missing", f"{_say(name)} is not added", "add it", partial(np.subtract, expected, term))
    text = f"{_say(name)} is subtracted, the reference adds it"
    yield Trial("term of another sign", text, "add it", partial(np.subtract, expected, 2 * term))


def _ended(asked: Question, plain: Array, what: str) -> Iterator[Trial]:
    """Where the reference's is an activation of `plain`: another, or none."""
    found = _find_end(plain, asked.expected)
    for name, make in ends_of(plain, asked.actual) if found is not None and found[0] else ():
        assert found is not None
        text = f"{what} goes through {name or 'no activation'}, the reference's through {found[0]}"
        said = "another activation" if name else "activation missing"
        yield Trial(said, text, f"use {found[0]}", partial(make, plain))


def _summed(asked: Question, one: tuple[str, Array], other: tuple[str, Array]) -> Iterator[Trial]:
    """Where the reference's is an activation of a sum: of what is left out of it, or done in another order."""
    found = _find_end(one[1] + other[1], asked.expected)
    if found is None or not found[0]:
        return  # a plain sum lacks a term
    activation, make = found
    for (name, term), (_, rest) in ((one, other), (other, one)):
        yield Trial("term missing", f"{_say(name)} is not added", "add it", partial(make, rest))
        text = f"{_say(name)} is subtracted, the reference adds it"
        yield Trial("term of another sign", text, "add it", partial(make, rest - term))
        text = f"{_say(name)} is added after {activation}, the reference's before"
        yield Trial("activation before the sum", text, f"add, then {activation}", partial(np.add, make(rest), term))
    yield from _ended(asked, one[1] + other[1], "the sum")


def _in_part(asked: Question) -> Iterator[Trial]:
    """Where some channels alone differ, as of a concatenation, the same of those."""
    if asked.expected.ndim < 2:
        return
    limit = FLOAT64_RELATIVE * float(np.sqrt(np.square(asked.expected).mean()))
    difference = np.abs(asked.expected - asked.actual).swapaxes(0, 1).reshape(asked.expected.shape[1], -1)
    wrong = np.flatnonzero((difference > limit).any(1))
    part = slice(wrong[0], wrong[-1] + 1) if len(wrong) else slice(0, 0)
    if not 0 < part.stop - part.start < asked.expected.shape[1]:
        return
    own = replace(asked, expected=asked.expected[:, part], actual=asked.actual[:, part])
    for trial in propose_others(own):
        text = f"channels {part.start}–{part.stop - 1}: {trial.text}"
        yield Trial(trial.name, text, trial.fix, partial(_put, asked.expected, part, trial.make))


def _put(expected: Array, part: slice, make: Callable[[], Array]) -> Array:
    whole = expected.copy()
    whole[:, part] = make()
    return whole


def ends_of(x: Array, like: Array) -> Iterator[tuple[str, Make]]:
    """None, by an empty name, and the activations; with the LeakyReLU that comes nearest to making `like` of `x`."""
    yield "", np.asarray
    yield from ACTIVATIONS.items()
    negative = x < 0
    if x.shape != like.shape or not negative.any():
        return
    slope = float((x[negative] * like[negative]).sum() / (x[negative] ** 2).sum())
    if 1e-9 < slope < 1:
        yield f"LeakyReLU {slope:.6g}", partial(leaky_relu, slope=slope)


def _find_end(plain: Array, expected: Array) -> tuple[str, Make] | None:
    """The activation that makes `expected` of `plain`, or none, by an empty name."""
    few = slice(None, None, max(1, plain.size // SAMPLED))
    some, like = plain.ravel()[few], expected.ravel()[few]
    likely = [one for one in ends_of(plain, expected) if _equal(one[1](some), like)]
    return next((one for one in likely if _equal(one[1](plain), expected)), None)


def _say(name: str) -> str:
    return name if name == INPUT else f"the output of `{name}`"


def propose_done(asked: Question) -> Iterator[Trial]:
    """Turned, activated, made probabilities, its channels in another order."""
    expected, actual = asked.expected, asked.actual
    for name, make in turns(expected.ndim).items():
        text = f"it is {name}, the reference's is not"
        yield Trial(name, text, "leave it as it is", partial(make, expected))
    for axis in dict.fromkeys((1, expected.ndim - 1)) if expected.ndim >= 2 else ():
        for what, function in (("softmax", softmax), ("logarithm of the softmax", log_softmax)):
            text = f"it is the {what} over axis {axis} of the reference's"
            make_it = partial(function, expected, axis=axis)
            yield Trial("probabilities for logits", text, "return the logits", make_it)
    if expected.ndim >= 2:
        text = "it is the class of each pixel of the reference's"
        yield Trial("probabilities for logits", text, "return the logits", partial(_classes, expected, actual))
    if expected.shape != actual.shape:
        return
    for name, function in ACTIVATIONS.items():
        text = f"it goes through {name}, the reference's does not"
        yield Trial("activation added", text, f"leave {name} out", partial(function, expected))
    yield from _channels(expected, actual)


def turns(ndim: int) -> dict[str, Make]:
    """What may be done to the axes of a tensor."""
    if ndim == 4:
        return {
            "transposed in height and width": lambda x: x.swapaxes(2, 3),
            "mirrored left to right": lambda x: x[:, :, :, ::-1],
            "turned upside down": lambda x: x[:, :, ::-1],
            "turned by 180 degrees": lambda x: x[:, :, ::-1, ::-1],
            "in the layout (N, H, W, C)": lambda x: x.transpose(0, 2, 3, 1),
            "reshaped from (N, H, W, C), not transposed": lambda x: x.transpose(0, 2, 3, 1).reshape(x.shape),
        }
    return {"with its last two axes exchanged": lambda x: x.swapaxes(-1, -2)} if ndim >= 2 else {}


def _channels(expected: Array, actual: Array) -> Iterator[Trial]:
    if expected.ndim < 2 or not 2 <= expected.shape[1] <= MOST_CHANNELS:
        return
    rows = [one.swapaxes(0, 1).reshape(one.shape[1], -1) for one in (expected, actual)]
    order = find_order(*rows)
    if order is not None and order != sorted(order):
        moved = [number for number, own in enumerate(order) if number != own]
        said = ", ".join(f"{number} is the reference's {order[number]}" for number in moved[:3])
        text = f"{len(moved)} of {len(order)} channels are in another order: {said}"
        yield Trial(
            "channels in another order", text, "use the reference's order", partial(np.take, expected, order, 1)
        )


def _classes(logits: Array, like: Array) -> Array:
    return logits.argmax(1).reshape(like.shape).astype(like.dtype)


def _equal(one: Array, other: Array) -> bool:
    return bool(np.allclose(one, other, rtol=1e-12, atol=1e-12 * float(np.abs(other).max(initial=1e-300))))
