"""Real reports of depth-18 twins for the tests of the page: one healthy, one with two wrong layers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from parity.engine.harness import compare_models
from parity.networks.inputs import make_images
from parity.reports.html.attention_maps import AttentionMaps, compute_attention_maps
from parity.verdicts.report import Report
from twins.build import build_paddle, build_torch
from twins.weights import standin_pair

INPUTS = {"odd": make_images((33, 49), seed=0), "even": make_images((40, 24), seed=0)}
MISTAKES = {"backbone.stage3.0.spatial.norm.weight": 1.0001, "head.attention.gamma": 1.5}
RECURRENCE = 2


def build_twins(mistakes: dict[str, float]) -> tuple[Any, Any, dict[str, Any]]:
    """Both twins, the named tensors of the Paddle one multiplied, and a summary of the weights."""
    weights = standin_pair(seed=0, depth=18)
    wrong = {name: weights.paddle[name] * np.float32(factor) for name, factor in mistakes.items()}
    paddle_weights = replace(weights, paddle={**weights.paddle, **wrong})
    torch_model = build_torch(weights, recurrence=RECURRENCE, device="cpu")
    return torch_model, build_paddle(paddle_weights, recurrence=RECURRENCE), weights.summary()


@cache
def make_report(*, healthy: bool) -> tuple[Report, AttentionMaps]:
    """The report of `compare_models`, and the attention maps."""
    torch_model, paddle_model, summary = build_twins({} if healthy else MISTAKES)
    settings = {"recurrence": RECURRENCE, "seed": 0, "port": None}
    report = compare_models(torch_model, paddle_model, INPUTS, weights=summary, settings=settings)
    return report, compute_attention_maps(torch_model, paddle_model, INPUTS["odd"])
