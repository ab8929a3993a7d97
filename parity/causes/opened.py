"""Attention that torch does in one function, done step by step, so that hypotheses are tried inside it.

    opened = open_function("multi_head_attention_forward", args, kwargs)    # None where it is not known

What a function here gives is what torch's gives, but for rounding. Its arguments are torch's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def open_function(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any] | None:
    """The call of a function of torch, done step by step; None if it stays one step."""
    if name == "scaled_dot_product_attention":
        given = dict(zip(SCALED, args, strict=False)) | dict(kwargs)
        is_other = given.get("dropout_p") or given.get("enable_gqa") or _hides_all(given.get("attn_mask"), shown=True)
        return None if is_other else partial(_attend_by_product, given)
    if name == "multi_head_attention_forward":
        bound = inspect.signature(functional.multi_head_attention_forward).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        is_other = any(_is_given(given[key]) for key in CLOSED) or _hides_all(given["attn_mask"], shown=False)
        return None if is_other else partial(_attend, given)
    return None


SCALED = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
CLOSED = ("bias_k", "bias_v", "add_zero_attn", "static_k", "static_v")
"""Arguments of torch's attention that almost nobody gives: with one of them it stays one step."""


def _is_given(value: Any) -> bool:
    return isinstance(value, Tensor) or bool(value)


def _hides_all(mask: Tensor | None, *, shown: bool) -> bool:
    """Whether a mask hides all from something, of which torch's functions make either zeros or NaN."""
    if mask is None:
        return False
    hidden = mask == (not shown) if mask.dtype == torch.bool else mask.isneginf()
    return bool(hidden.all(-1).any())


def _attend_by_product(given: Mapping[str, Any]) -> Tensor:
    """`scaled_dot_product_attention`, (…, L, E)."""
    query, key, value = (given[name] for name in SCALED[:3])
    mask = given.get("attn_mask")
    if given.get("is_causal"):
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    mask = mask if mask is None or mask.dtype != torch.bool else ~mask
    return _weigh(query, key, given.get("scale"), [mask]) @ value


def _weigh(query: Tensor, key: Tensor, scale: float | None, masks: list[Tensor | None]) -> Tensor:
    """The weights of attention, (…, L, S). Masks are true where nothing is attended, or added."""
    energies = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    for mask in masks:
        if mask is not None:
            is_flag = mask.dtype == torch.bool
            energies = energies.masked_fill(mask, float("-inf")) if is_flag else energies + mask
    return energies.softmax(-1)


def _attend(given: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward`, of (L, N, E) or (L, E)."""
    inputs = [given[name] for name in ("query", "key", "value")]
    is_batched = inputs[0].dim() == 3
    query, key, value = (
        _project(given, number, tensor if is_batched else tensor.unsqueeze(1)) for number, tensor in enumerate(inputs)
    )
    heads = given["num_heads"]
    query, key, value = (_in_heads(tensor, heads) for tensor in (query, key, value))
    mask, padding = given["attn_mask"], given["key_padding_mask"]
    if mask is not None and mask.dim() == 3:
        mask = mask.unflatten(0, (-1, heads))
    weights = _weigh(query, key, None, [mask, None if padding is None else padding.view(-1, 1, 1, key.shape[2])])
    if given["dropout_p"]:
        weights = functional.dropout(weights, given["dropout_p"], training=False)
    attended = (weights @ value).transpose(1, 2).flatten(2).transpose(0, 1)
    output = functional.linear(attended, given["out_proj_weight"], given["out_proj_bias"])
    weights = weights.mean(1) if given["average_attn_weights"] else weights
    if not is_batched:
        output, weights = output.squeeze(1), weights.squeeze(0)
    return output, weights if given["need_weights"] else None


def _project(given: Mapping[str, Any], number: int, tensor: Tensor) -> Tensor:
    weight = given[f"{'qkv'[number]}_proj_weight"]
    if not given["use_separate_proj_weight"]:
        weight = given["in_proj_weight"].chunk(3)[number]
    bias = given["in_proj_bias"]
    return functional.linear(tensor, weight, None if bias is None else bias.chunk(3)[number])


def _in_heads(tensor: Tensor, heads: int) -> Tensor:
    """(L, N, E) -> (N, heads, L, E / heads)."""
    tensor = tensor.transpose(0, 1)
    return tensor.reshape(*tensor.shape[:2], heads, -1).transpose(1, 2)
