"""Mistakes in the criss-cross attention and its recurrence."""

from __future__ import annotations

import copy
from typing import Any

from models_paddle import paddle
from models_paddle.attention import CrissCrossAttention, self_mask
from parity.mutants import criss_cross
from parity.mutants.mutant import Mutant, Port, mutant

MUTANTS: list[Mutant] = []
ATTENTION = "head.attention"
softmax = paddle.nn.functional.softmax


@mutant(MUTANTS, ATTENTION, cause="mask missing")
def missing_diagonal_mask(port: Port) -> None:
    """The column's copy of a pixel is not masked, so that the pixel counts twice."""
    criss_cross.rewrite(port, mask=lambda columns, rows: (columns, rows))


@mutant(MUTANTS, ATTENTION, cause="mask on both branches")
def mask_on_both_branches(port: Port) -> None:
    """The row's copy is masked too, so that no pixel attends to itself."""
    criss_cross.rewrite(
        port,
        mask=lambda columns, rows: tuple(energy + self_mask(energy.shape[-1], energy) for energy in (columns, rows)),
    )


@mutant(MUTANTS, ATTENTION, cause="finite mask")
def mask_of_minus_ten(port: Port) -> None:
    """A finite mask that is too small: -10 where the original has minus infinity."""

    def mask(columns: Any, rows: Any) -> criss_cross.Pair:
        return columns - 10 * paddle.eye(columns.shape[-1], dtype=columns.dtype), rows

    criss_cross.rewrite(port, mask=mask)


@mutant(MUTANTS, ATTENTION, cause="layers exchanged")
def query_and_key_swapped(port: Port) -> None:
    """The code takes the key for the query."""
    criss_cross.rewrite(port, energies=lambda query, key: criss_cross.energies(key, query))


@mutant(MUTANTS, ATTENTION, cause="energies scaled")
def energy_scaled(port: Port) -> None:
    """Divided by the root of the query's width, as a transformer does."""

    def energies(query: Any, key: Any) -> criss_cross.Pair:
        return criss_cross.energies(query * query.shape[1] ** -0.5, key)

    criss_cross.rewrite(port, energies=energies)


@mutant(MUTANTS, ATTENTION, cause="half precision inside")
def energy_in_half_precision(port: Port) -> None:
    """Energies pass through float16, as under automatic mixed precision."""

    def energies(query: Any, key: Any) -> criss_cross.Pair:
        columns, rows = criss_cross.energies(query, key)
        return tuple(energy.astype("float16").astype(query.dtype) for energy in (columns, rows))

    criss_cross.rewrite(port, energies=energies)


@mutant(MUTANTS, ATTENTION, cause="reshaped for transposed")
def columns_reshaped(port: Port) -> None:
    """H and W confused: the columns' energies (N, W, H, H) are reshaped to (N, H, W, H), not transposed."""

    def weigh(columns: Any, rows: Any) -> criss_cross.Pair:
        return criss_cross.normalise(columns.reshape([*rows.shape[:3], columns.shape[3]]), rows, axis=3)

    criss_cross.rewrite(port, weigh=weigh)


@mutant(MUTANTS, ATTENTION, cause="reshaped for transposed")
def rows_average_reshaped(port: Port) -> None:
    """H and W confused: the average over columns (N, W, C, H) is reshaped to (N, C, H, W), not transposed."""

    def gather(value: Any, columns: Any, rows: Any) -> Any:
        from_columns = value.transpose([0, 3, 1, 2]) @ columns.transpose([0, 2, 3, 1])
        return from_columns.reshape(value.shape) + criss_cross.gather_branches(value, columns, rows)[1]

    criss_cross.rewrite(port, gather=gather)


@mutant(MUTANTS, ATTENTION, cause="not transposed")
def weights_not_transposed(port: Port) -> None:
    """The columns' weights are multiplied from the wrong side: attending and attended pixel are confused."""

    def gather(value: Any, columns: Any, rows: Any) -> Any:
        return criss_cross.gather(value, columns.transpose([0, 3, 2, 1]), rows)

    criss_cross.rewrite(port, gather=gather)


@mutant(MUTANTS, ATTENTION, cause="axis of softmax")
def softmax_over_wrong_axis(port: Port) -> None:
    """Weights sum to one over the image's rows, not over the candidates."""

    def weigh(columns: Any, rows: Any) -> criss_cross.Pair:
        return criss_cross.normalise(columns.transpose([0, 2, 1, 3]), rows, axis=1)

    criss_cross.rewrite(port, weigh=weigh)


@mutant(MUTANTS, ATTENTION, cause="softmax by branch")
def softmax_per_branch(port: Port) -> None:
    """Column and row are each normalised on their own."""
    criss_cross.rewrite(
        port, weigh=lambda columns, rows: (softmax(columns.transpose([0, 2, 1, 3]), 3), softmax(rows, 3))
    )


@mutant(MUTANTS, ATTENTION, cause="branch missing")
def row_branch_forgotten(port: Port) -> None:
    """Only the average over columns is returned."""
    criss_cross.rewrite(port, gather=lambda *tensors: criss_cross.gather_branches(*tensors)[0])


@mutant(MUTANTS, ATTENTION, cause="term missing")
def attention_without_residual(port: Port) -> None:
    """The attention's input is not added to its result."""
    attention = port[ATTENTION]
    forward = attention.forward
    attention.forward = lambda features: forward(features) - features


@mutant(MUTANTS, ATTENTION, cause="not loaded")
def gamma_forgotten(port: Port) -> None:
    """Attended values are added at full strength."""
    port[ATTENTION].gamma.set_value(paddle.ones([1]))


@mutant(MUTANTS, ATTENTION, cause="not loaded")
def gamma_frozen_at_zero(port: Port) -> None:
    """gamma keeps its initial value, and the attention does nothing."""
    port[ATTENTION].gamma.set_value(paddle.zeros([1]))


@mutant(MUTANTS, "head", cause="number of passes")
def one_pass_too_few(port: Port) -> None:
    """R = 1 where the checkpoint was trained with 2."""
    port["head"].recurrence -= 1


@mutant(MUTANTS, "head", cause="number of passes")
def one_pass_too_many(port: Port) -> None:
    """R = 3 where the checkpoint was trained with 2."""
    port["head"].recurrence += 1


@mutant(MUTANTS, "head", cause="passes do not recur")
def passes_do_not_recur(port: Port) -> None:
    """Every pass starts from the reduced features instead of from the pass before it."""
    head = port["head"]

    def forward(features: Any) -> Any:
        reduced = head.reduce(features)
        for _ in range(head.recurrence):
            attended = head.attention(reduced)
        return head.classifier(head.dropout(head.fuse(head.concatenate(features, head.refine(attended)))))

    head.forward = forward


@mutant(MUTANTS, ATTENTION, calls=(1,), cause="reused from the pass before")
def weights_of_first_pass_reused(port: Port) -> None:
    """The second pass averages with the attention weights of the first."""
    head, attention = port["head"], port[ATTENTION]
    forward = head.forward
    known: list[criss_cross.Pair] = []

    def attend(features: Any) -> Any:
        if not known:
            energies = criss_cross.energies(attention.query(features), attention.key(features))
            known.append(criss_cross.softmax_jointly(*criss_cross.mask_columns(*energies)))
        return features + attention.gamma * criss_cross.gather(attention.value(features), *known[0])

    def forget(features: Any) -> Any:
        known.clear()
        return forward(features)

    attention.forward, head.forward = attend, forget


@mutant(MUTANTS, "head", cause="layer without counterpart")
def second_pass_not_loaded(port: Port) -> None:
    """The second pass has an attention of its own, for which the checkpoint has no weights."""
    reduced, query = port["head.attention.value"].weight.shape[0], port["head.attention.query"].weight.shape[0]
    _two_attentions(port, CrissCrossAttention(reduced, query))


@mutant(MUTANTS, ATTENTION, calls=(1,))
def second_pass_not_shared(port: Port) -> None:
    """The second pass has a copy of the attention: equal now, another after one step of training."""
    _two_attentions(port, copy.deepcopy(port[ATTENTION]))


def _two_attentions(port: Port, second: Any) -> None:
    head = port["head"]
    head.second_attention = second

    def forward(features: Any) -> Any:
        attended = head.second_attention(head.attention(head.reduce(features)))
        return head.classifier(head.dropout(head.fuse(head.concatenate(features, head.refine(attended)))))

    head.forward = forward
