"""Hypotheses about how tensors are laid out: transposed, reshaped, flattened, multiplied from another side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import torch
from torch import Tensor

from parity.causes.hypotheses import Asked, Hypothesis, follow_by, leave_out, replace_by
from parity.causes.steps import Step


def rearrangements(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """A transposition left out, or made by reshaping."""
    tensor, output = step.tensors[0], step.outputs[0]
    what = step.label(0)
    if tensor.shape == output.shape:
        yield Hypothesis(
            "not transposed",
            f"{what} is not transposed ({step.name} is left out)",
            "transpose it",
            {step.number: leave_out()},
        )
    size = list(output.shape)
    text = f"{what} is reshaped to {_axes(step)}, not transposed"
    edits = {step.number: replace_by(lambda x: x.reshape(size))}
    yield Hypothesis("reshaped for transposed", text, "transpose, then reshape", edits)


def axes_exchanged(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Of one length, after a transposition."""
    output, what = step.outputs[0], step.label(0)
    for left, right in combinations(range(output.ndim), 2):
        other = follow_by(lambda x, axes=(left, right): x.transpose(*axes))
        if output.shape[left] == output.shape[right]:
            text = f"axes {left} and {right} of {what} are exchanged"
            yield Hypothesis("axes exchanged", text, f"{step.name} as the reference does", {step.number: other})


def _axes(step: Step) -> str:
    return f"{step.outputs[0].ndim} axes"


def embeddings(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """A row of zeros, as Paddle gives for `padding_idx`."""
    own = asked.settings.get("padding_idx")
    for index in dict.fromkeys((own, 0)):
        if type(index) is not int or index < 0:
            continue

        def zeroed(one: Step, args: Any, kwargs: Any, index: int = index) -> Any:
            given = one.bind(args, kwargs)["input"]
            return one.function(*args, **kwargs).masked_fill((given == index).unsqueeze(-1), 0.0)

        text = f"row {index} gives zeros (padding_idx={index}), the reference looks it up"
        yield Hypothesis("padding row", text, "leave padding_idx out", {step.number: zeroed}, is_read=index == own)


def left_out(step: Step) -> Iterator[Hypothesis]:
    """A function of one tensor left out."""
    what = step.label(0)
    yield Hypothesis(
        f"{step.name} left out", f"{step.name} of {what} is left out", f"apply {step.name}", {step.number: leave_out()}
    )


def flips(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Left out."""
    yield Hypothesis(
        "not reversed", f"{step.label(0)} is not reversed (flip is left out)", "flip it", {step.number: leave_out()}
    )


def views(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """One axis divided into the same factors in another order."""
    tensor, output = step.tensors[0], step.outputs[0]
    before, after = list(tensor.shape), list(output.shape)
    lead = 0
    while lead < min(len(before), len(after)) and before[lead] == after[lead]:
        lead += 1
    if len(after) - lead not in (2, 3, 4) or len(after) <= len(before):
        return
    for left, right in combinations(range(lead, len(after)), 2):
        size = list(after)
        size[left], size[right] = size[right], size[left]

        def divided(one: Step, args: Any, kwargs: Any, size: list[int] = size, axes: Any = (left, right)) -> Any:
            return args[0].reshape(size).transpose(*axes)

        text = f"{step.label(0)} is divided with its parts {left - lead + 1} and {right - lead + 1} the other way round"
        yield Hypothesis("layout of parts", text, "reshape in the reference's order", {step.number: divided})


FLATTENED = {"(N, H, W, C)": (0, 2, 3, 1), "(N, C, W, H)": (0, 1, 3, 2), "(N, W, H, C)": (0, 3, 2, 1)}
"""Layouts in which a port may flatten images (N, C, H, W), and how they become that."""


def flattenings(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Images flattened in another layout."""
    tensor, output = step.tensors[0], step.outputs[0]
    if tensor.ndim != 4 or output.ndim not in (2, 3) or tensor.shape[0] != output.shape[0]:
        return
    for layout, order in FLATTENED.items():
        text = f"{step.label(0)} is flattened from {layout}, the reference's from (N, C, H, W)"
        edits = {step.number: replace_by(lambda x, order=order: x.permute(order).reshape(output.shape))}
        yield Hypothesis("layout when flattened", text, "flatten (N, C, H, W)", edits)


def other_axes(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Along another axis than the reference's."""
    axis, count = step.bind().get("dim"), step.tensors[0].ndim
    if type(axis) is not int or not -count <= axis < count:
        return
    for other in (one for one in range(count) if one != axis % count):
        text = f"{step.name} of {step.label(0)} is along axis {other}, the reference's along axis {axis % count}"
        yield Hypothesis("another axis", text, f"axis={axis % count}", {step.number: step.altered(dim=other)})


def matrix_products(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """An operand transposed, or the product scaled by the root of the width that is summed over."""
    if len(step.tensors) != 2:
        return
    for number, tensor in enumerate(step.tensors):
        if tensor.ndim >= 2 and tensor.shape[-1] == tensor.shape[-2]:

            def turned(one: Step, args: Any, kwargs: Any, number: int = number) -> Any:
                changed = list(args)
                changed[number] = args[number].transpose(-1, -2)
                return one.function(*changed, **kwargs)

            text = f"the product is with {step.label(number)} transposed"
            yield Hypothesis(
                "not transposed", text, "multiply from the side that the reference does", {step.number: turned}
            )


def sequences(step: Step, asked: Asked) -> Iterator[Hypothesis]:
    """Of both directions, the halves exchanged; gates in another order."""
    output = step.outputs[0]

    def halves(value: Any) -> Any:
        first, *rest = value
        return (torch.cat(first.chunk(2, -1)[::-1], -1), *rest)

    if output.shape[-1] % 2 == 0:
        text = "the backward direction stands before the forward one"
        yield Hypothesis("directions exchanged", text, "forward first", {step.number: follow_by(halves)})
    gates = {"lstm": 4, "gru": 3}[step.name]
    for order in list(permutations(range(gates)))[1:]:

        def reordered(one: Step, args: Any, kwargs: Any, order: tuple[int, ...] = order) -> Any:
            def weights(value: Any) -> Any:
                parts = value if isinstance(value, list | tuple) and len(value) > 2 else ()
                if not parts or not all(isinstance(one, Tensor) and one.shape[0] % gates == 0 for one in parts):
                    return value
                return [torch.cat([part.chunk(gates)[gate] for gate in order]) for part in parts]

            return one.function(*[weights(value) for value in args], **kwargs)

        said = ", ".join(str(one + 1) for one in order)
        yield Hypothesis(
            "order of gates", f"the gates are taken in the order {said}", "use torch's order", {step.number: reordered}
        )
