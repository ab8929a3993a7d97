"""All hypotheses about a unit: which rule is about which function of torch, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Iterator

from parity.causes.activations import FUNCTIONS, called_activations, moved_activations, other_activations
from parity.causes.attention import SOFTMAXES, fills, masks, scaled_products, softmaxes
from parity.causes.hypotheses import Asked, Hypothesis, Rule
from parity.causes.layers import convolutions, linears
from parity.causes.layout import (
    axes_exchanged,
    embeddings,
    flips,
    left_out,
    matrix_products,
    picked,
    rearrangements,
    sequences,
    splits,
    views,
)
from parity.causes.norms import norms
from parity.causes.pooling import dropouts, global_pools, pools, resizes
from parity.causes.results import on_inputs, on_results
from parity.causes.steps import CALL, VIEWS, Step
from parity.causes.structure import (
    PRODUCTS,
    SUMS,
    attributes,
    calls,
    concatenations,
    exchanged_calls,
    other_terms,
    passes,
    products,
    sums,
)

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
    (SUMS, other_terms),
    ((CALL,), called_activations),
    ((CALL,), calls),
)
"""Which functions of torch which hypotheses are about; those at the head are tried first."""
KNOWN = frozenset(name for names, _ in RULES for name in names) | VIEWS


def propose_steps(asked: Asked) -> Iterator[Hypothesis]:
    """Those that do one of the unit's steps otherwise."""
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


def propose(asked: Asked) -> Iterator[Hypothesis]:
    """All of them."""
    yield from propose_steps(asked)
    yield from on_results(asked)
    yield from on_inputs(asked)
