"""All hypotheses about a unit: which rule is about which function of torch, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from parity.causes.activations import FUNCTIONS, called_activations, moved_activations, other_activations
from parity.causes.attention import SOFTMAXES, chosen_by_masks, fills, masks, scales, softmaxes
from parity.causes.hypotheses import Asked, Hypothesis, Rule
from parity.causes.layers import convolutions, linears, pads
from parity.causes.layout import (
    axes_exchanged,
    embeddings,
    flattenings,
    flips,
    left_out,
    matrix_products,
    other_axes,
    rearrangements,
    sequences,
    views,
)
from parity.causes.norms import norms
from parity.causes.parts import exchanged_results, heads, picked, splits
from parity.causes.passes import passes, reused
from parity.causes.pooling import dropouts, global_pools, pools, resizes
from parity.causes.results import on_inputs, on_results
from parity.causes.steps import CALL, VIEWS, Step
from parity.causes.structure import (
    OPERATIONS,
    PRODUCTS,
    SUMS,
    attributes,
    calls,
    concatenations,
    exchanged_calls,
    order_of_operations,
    other_terms,
    products,
    sums,
)

SETTINGS = frozenset({"epsilon", "slope", "stride", "padding", "dilation", "padding mode", "kernel size"})
"""Names of hypotheses that are one mistake whatever the number: the first that repeats the port's is the port's own."""
WITH_AXIS = ("normalize", "cumsum", "cumprod", "mean", "sum", "amax", "amin", "logsumexp", "log_softmax", "norm", "glu")
RULES: tuple[tuple[tuple[str, ...], Rule], ...] = (
    ((CALL,), passes),
    (tuple(FUNCTIONS), other_activations),
    (tuple(FUNCTIONS), moved_activations),
    (("batch_norm", "layer_norm", "group_norm", "instance_norm"), norms),
    (("conv1d", "conv2d", "conv3d"), convolutions),
    (("linear",), linears),
    (("pad",), pads),
    (("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"), pools),
    (("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax"), global_pools),
    (("interpolate", "upsample"), resizes),
    (("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), dropouts),
    (("mul", "div"), scales),
    (PRODUCTS, products),
    (SOFTMAXES, softmaxes),
    (("add",), masks),
    (("masked_fill",), fills),
    (("where",), chosen_by_masks),
    (SUMS, sums),
    (("cat",), concatenations),
    (("permute", "transpose", "mT", "T", "t", "swapaxes", "movedim"), rearrangements),
    (("flip",), flips),
    (("__getitem__", "select"), picked),
    (("embedding",), embeddings),
    (("permute", "transpose", "mT", "T", "t"), axes_exchanged),
    (("split", "chunk", "unbind"), splits),
    (("view", "reshape", "flatten"), flattenings),
    (("view", "reshape", "unflatten"), views),
    (("bmm", "matmul"), matrix_products),
    (("lstm", "gru"), sequences),
    (WITH_AXIS, other_axes),
    (OPERATIONS, order_of_operations),
    ((*SUMS, "mul", "matmul", "bmm"), other_terms),
    ((CALL,), called_activations),
    ((CALL,), calls),
)
"""Which functions of torch which hypotheses are about; those at the head are tried first."""
TOGETHER = (linears, rearrangements, axes_exchanged, splits, views)
"""Rules about what a porter does to several tensors alike."""
ALIKE = (pools, global_pools, resizes, other_activations, pads)
"""Rules about what one line of a loop does to all that goes through it."""
MOST_TOGETHER = 4
KNOWN = frozenset(name for names, _ in RULES for name in names) | VIEWS


def propose_steps(asked: Asked) -> Iterator[Hypothesis]:
    """Those that do one of the unit's steps otherwise, or several that are alike."""
    yield from reused(asked, layers=True)
    for names, rule in RULES:
        steps = [step for step in asked.replay.relevant if step.name in names and step.outputs]
        for step in steps:
            yield from _proposed(rule, step, asked)
        if rule in TOGETHER:
            yield from _proposed_together(rule, steps, asked)
        if rule in ALIKE:
            yield from _proposed_alike(rule, steps, asked)
    yield from exchanged_calls(asked)
    yield from exchanged_results(asked)
    yield from heads(asked)
    yield from reused(asked, layers=False)
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


def _proposed_together(rule: Rule, steps: Sequence[Step], asked: Asked) -> Iterator[Hypothesis]:
    """What a rule proposes, of all steps of one function and one shape in the same code: of query, key and value."""
    groups: dict[Any, list[Step]] = {}
    for step in steps:
        groups.setdefault((step.name, step.path, step.tensors[0].shape, step.outputs[0].shape), []).append(step)
    for group in groups.values():
        if not 2 <= len(group) <= MOST_TOGETHER:
            continue
        for each in zip(*(_proposed(rule, step, asked) for step in group), strict=False):
            first = each[0]
            edits = {number: edit for one in each for number, edit in one.edits.items()}
            if all(one.name == first.name for one in each) and len(edits) == sum(len(one.edits) for one in each):
                text = (
                    f"{first.text}; so are {len(each) - 1} more" if len(each) > 2 else f"{first.text}; so is one more"
                )
                yield replace(first, text=text, edits=edits)


def _proposed_alike(rule: Rule, steps: Sequence[Step], asked: Asked) -> Iterator[Hypothesis]:
    """What a rule proposes in the same words of several steps, whatever their shapes: of all of them."""
    groups: dict[tuple[str, str], list[Hypothesis]] = {}
    for step in steps:
        said: set[tuple[str, str]] = set()
        for one in _proposed(rule, step, asked):
            if (one.name, one.text) not in said:  # else the same in other numbers
                said.add((one.name, one.text))
                groups.setdefault((one.name, one.text), []).append(one)
    for (_, text), each in groups.items():
        if len(each) > 1:
            more = f"so are {len(each) - 1} more" if len(each) > 2 else "so is one more"
            edits = {number: edit for one in each for number, edit in one.edits.items()}
            yield replace(each[0], text=f"{text}; {more}", edits=edits)


def propose(asked: Asked) -> Iterator[Hypothesis]:
    """All of them."""
    yield from propose_steps(asked)
    yield from on_results(asked)
    yield from on_inputs(asked)
