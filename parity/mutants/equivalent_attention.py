"""Other ways to compute the criss-cross attention."""

from __future__ import annotations

from typing import Any

from models_paddle import paddle
from models_paddle.attention import self_mask
from parity.mutants import criss_cross
from parity.mutants.mutant import Mutant, Port, mutant

EQUIVALENTS: list[Mutant] = []
nn = paddle.nn


@mutant(EQUIVALENTS)
def mask_on_rows(port: Port) -> None:
    """The row's copy of each pixel is masked instead of the column's."""
    criss_cross.rewrite(port, mask=lambda columns, rows: (columns, rows + self_mask(rows.shape[-1], rows)))


@mutant(EQUIVALENTS)
def large_finite_mask(port: Port) -> None:
    """-1e30 for minus infinity: its exponential is zero too."""

    def mask(columns: Any, rows: Any) -> criss_cross.Pair:
        return columns - 1e30 * paddle.eye(columns.shape[-1], dtype=columns.dtype), rows

    criss_cross.rewrite(port, mask=mask)


@mutant(EQUIVALENTS)
def einsum(port: Port) -> None:
    """Energies and averages by `einsum` instead of transposed matrix products."""

    def energies(query: Any, key: Any) -> criss_cross.Pair:
        columns = paddle.einsum("nkhw,nkiw->nwhi", query, key)
        return columns, paddle.einsum("nkhw,nkhj->nhwj", query, key)

    def gather(value: Any, columns: Any, rows: Any) -> Any:
        return paddle.einsum("nciw,nhwi->nchw", value, columns) + paddle.einsum("nchj,nhwj->nchw", value, rows)

    criss_cross.rewrite(port, energies=energies, gather=gather)


@mutant(EQUIVALENTS)
def official_layout(port: Port) -> None:
    """Columns and rows flattened into the batch, and `bmm`, as in the official code."""

    def energies(query: Any, key: Any) -> criss_cross.Pair:
        batch, width, height, columns = query.shape[0], query.shape[1], query.shape[2], query.shape[3]
        by_column = [x.transpose([0, 3, 1, 2]).reshape([batch * columns, width, height]) for x in (query, key)]
        by_row = [x.transpose([0, 2, 1, 3]).reshape([batch * height, width, columns]) for x in (query, key)]
        vertical = paddle.bmm(by_column[0].transpose([0, 2, 1]), by_column[1])
        horizontal = paddle.bmm(by_row[0].transpose([0, 2, 1]), by_row[1])
        return vertical.reshape([batch, columns, height, height]), horizontal.reshape([batch, height, columns, columns])

    criss_cross.rewrite(port, energies=energies)


@mutant(EQUIVALENTS)
def softmax_written_out(port: Port) -> None:
    """Exponentials less the greatest energy, over their sum, without a concatenation."""

    def weigh(columns: Any, rows: Any) -> criss_cross.Pair:
        columns = columns.transpose([0, 2, 1, 3])
        greatest = paddle.maximum(columns.max(3, keepdim=True), rows.max(3, keepdim=True))
        columns, rows = (columns - greatest).exp(), (rows - greatest).exp()
        total = columns.sum(3, keepdim=True) + rows.sum(3, keepdim=True)
        return columns / total, rows / total

    criss_cross.rewrite(port, weigh=weigh)


@mutant(EQUIVALENTS)
def fused_query_key_value(port: Port) -> None:
    """One convolution computes query, key and value."""
    attention = port["head.attention"]
    parts = [attention.query, attention.key, attention.value]
    widths = [part.weight.shape[0] for part in parts]
    fused = nn.Conv2D(parts[0].weight.shape[1], sum(widths), 1)
    fused.weight.set_value(paddle.concat([part.weight for part in parts]))
    fused.bias.set_value(paddle.concat([part.bias for part in parts]))
    del attention.query, attention.key, attention.value
    attention.projection = fused

    def forward(features: Any) -> Any:
        query, key, value = attention.projection(features).split(widths, 1)
        weights = criss_cross.softmax_jointly(*criss_cross.mask_columns(*criss_cross.energies(query, key)))
        return features + attention.gamma * criss_cross.gather(value, *weights)

    attention.forward = forward


@mutant(EQUIVALENTS)
def linear_for_convolution(port: Port) -> None:
    """Query, key and value are Linear layers on channels-last features."""
    attention = port["head.attention"]
    for name in ("query", "key", "value"):
        conv = getattr(attention, name)
        linear = nn.Linear(conv.weight.shape[1], conv.weight.shape[0])
        linear.weight.set_value(conv.weight.flatten(1).t())
        linear.bias.set_value(conv.bias)
        setattr(attention, name, linear)

    def forward(features: Any) -> Any:
        last = features.transpose([0, 2, 3, 1])
        query, key, value = (layer(last).transpose([0, 3, 1, 2]) for layer in attention.children())
        weights = criss_cross.softmax_jointly(*criss_cross.mask_columns(*criss_cross.energies(query, key)))
        return features + attention.gamma * criss_cross.gather(value, *weights)

    attention.forward = forward
