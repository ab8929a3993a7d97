"""Criss-cross attention of the Paddle twin in four steps, so that an entry can replace one.

Columns are batched as (N, W, H, H), rows as (N, H, W, W); the weights are (N, H, W, H) and (N, H, W, W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models_paddle import paddle
from models_paddle.attention import self_mask
from parity.mutants.mutant import Port

Pair = tuple[Any, Any]
Step = Callable[..., Any]


def energies(query: Any, key: Any) -> Pair:
    """(N, K, H, W) twice -> energies of columns and of rows."""
    columns = query.transpose([0, 3, 2, 1]) @ key.transpose([0, 3, 1, 2])
    return columns, query.transpose([0, 2, 3, 1]) @ key.transpose([0, 2, 1, 3])


def mask_columns(columns: Any, rows: Any) -> Pair:
    """Without the column's copy of each pixel."""
    return columns + self_mask(columns.shape[-1], columns), rows


def softmax_jointly(columns: Any, rows: Any) -> Pair:
    """Energies -> weights that sum to one over column and row together."""
    return normalise(columns.transpose([0, 2, 1, 3]), rows, axis=3)


def normalise(columns: Any, rows: Any, *, axis: int) -> Pair:
    """Softmax of (N, H, W, H + W) over `axis`, split into its two branches."""
    energy = paddle.concat([columns, rows], 3)
    return tuple(paddle.nn.functional.softmax(energy, axis).split([columns.shape[3], rows.shape[3]], 3))


def gather(value: Any, columns: Any, rows: Any) -> Any:
    """Values (N, C, H, W) averaged with the weights."""
    from_columns, from_rows = gather_branches(value, columns, rows)
    return from_columns + from_rows


def gather_branches(value: Any, columns: Any, rows: Any) -> Pair:
    """The averages over columns and over rows, each (N, C, H, W)."""
    from_columns = value.transpose([0, 3, 1, 2]) @ columns.transpose([0, 2, 3, 1])
    from_rows = value.transpose([0, 2, 1, 3]) @ rows.transpose([0, 1, 3, 2])
    return from_columns.transpose([0, 2, 3, 1]), from_rows.transpose([0, 2, 1, 3])


def rewrite(
    port: Port,
    *,
    energies: Step = energies,
    mask: Step = mask_columns,
    weigh: Step = softmax_jointly,
    gather: Step = gather,
) -> None:
    """Make the port's attention run these steps."""
    attention = port["head.attention"]

    def forward(features: Any) -> Any:
        query, key, value = attention.query(features), attention.key(features), attention.value(features)
        weights = weigh(*mask(*energies(query, key)))
        return features + attention.gamma * gather(value, *weights)

    attention.forward = forward
