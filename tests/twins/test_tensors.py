"""The tensors in what modules take and return."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from twins.tensors import flatten, list_keys, refill


@dataclass(frozen=True)
class Output:
    logits: torch.Tensor
    features: tuple[torch.Tensor, ...]


def test_a_dataclass_is_opened_and_filled_again():
    one, two, three = (torch.full((1,), value) for value in (1.0, 2.0, 3.0))
    output = Output(one, (two, three))
    assert flatten([output]) == [one, two, three]
    assert list_keys(output) == ["logits", "features", "features"]
    filled = refill(output, iter([three, two, one]))
    assert isinstance(filled, Output)
    assert (filled.logits, filled.features) == (three, (two, one))
    assert output.logits is one
