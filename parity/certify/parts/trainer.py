"""Training steps by an optimiser and a schedule that a user gave, in either framework.

optimiser, schedule = make_paddle(model, parameters, optimiser=given, schedule=None)
GivenTrainer(model, criterion, optimiser, schedule, hold=None, share=1.0).step(images, labels)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from parity.certify.parts.functions import takes
from parity.certify.parts.kit import Kit, Part, carried_by_the_optimiser

RATE = 1e-2
"""What an optimiser is given that takes a schedule, where none was given: at which rate is not its matter."""


class GivenTrainer:
    """A network, its criterion, its optimiser and its schedule; each `step` is one update.

    With `hold`, the rate is that at each step; else it is the optimiser's own, times `share`. `schedule` is None where
    the rate never changes.
    """

    def __init__(
        self, model: Any, criterion: Any, optimiser: Any, schedule: Any, *, hold: float | None, share: float
    ) -> None:
        self.model, self.criterion, self.optimiser, self.schedule = model, criterion, optimiser, schedule
        self._hold, self._share = hold, share

    @property
    def rate(self) -> float:
        """The learning rate of the next update, by the optimiser's own schedule."""
        return read_rate(self.optimiser)

    def step(self, images: Any, labels: Any) -> float:
        """One update on images (N, 3, H, W) and labels (N, H, W); returns the loss before it."""
        clear = getattr(self.optimiser, "clear_grad", None) or self.optimiser.zero_grad
        clear()
        loss = self.criterion(self.model(images), labels)
        loss.backward()
        with self._paced():
            self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        return float(loss.detach().item())

    @contextmanager
    def _paced(self) -> Iterator[None]:
        """Within, the rate is what it is to be; afterwards again what the schedule made it."""
        own = self.rate
        factor = self._share if self._hold is None else self._hold / own if own else 1.0
        _scale_rate(self.optimiser, factor, exactly=None if own else self._hold)
        try:
            yield
        finally:
            _scale_rate(self.optimiser, 1 / factor, exactly=own)


def make_paddle(
    model: Any,
    parameters: list[Any],
    *,
    optimiser: Callable[..., Any] | None,
    schedule: Callable[..., Any] | None,
) -> tuple[Any, Any]:
    """Paddle's optimiser and its schedule, None if it keeps one rate. Where one was not given, it is a plain stand-in.

    `schedule` is a function of nothing that returns a `paddle.optimizer.lr.LRScheduler`, or one of the step's number
    that returns its rate.
    """
    from models_paddle import paddle

    made = None
    if schedule is not None:
        made = schedule() if takes(schedule) == 0 else paddle.optimizer.lr.LambdaDecay(1.0, schedule)
        if not isinstance(made, paddle.optimizer.lr.LRScheduler):
            raise TypeError(f"the schedule is a {type(made).__name__}, not a paddle.optimizer.lr.LRScheduler")
    if optimiser is None:
        own = paddle.optimizer.SGD(made, parameters=parameters)
    else:
        own = optimiser(model, parameters, RATE if made is None else made)
        if not isinstance(own, paddle.optimizer.Optimizer):
            raise TypeError(f"the optimiser is a {type(own).__name__}, not a paddle.optimizer.Optimizer")
    if made is not None and find_schedule(own) is not made:
        own._learning_rate = made
    return own, find_schedule(own)


def make_torch(
    model: Any,
    parameters: list[Any],
    *,
    optimiser: Callable[..., Any] | None,
    schedule: Callable[..., Any] | None,
) -> tuple[Any, Any]:
    """torch's optimiser and its schedule: a function of the optimiser that returns one, or of the step's number."""
    import torch

    assert optimiser is not None, "the reference has the family's"
    assert schedule is not None, "the reference has the family's"
    own = optimiser(model, parameters, None)
    if not isinstance(own, torch.optim.Optimizer):
        raise TypeError(f"the optimiser is a {type(own).__name__}, not a torch.optim.Optimizer")
    if next(iter(inspect.signature(schedule).parameters)).startswith("opt"):
        return own, schedule(own)
    base = read_rate(own)
    return own, torch.optim.lr_scheduler.LambdaLR(own, lambda step: float(schedule(step)) / base)


def carry_schedule(kit: Kit, build: Callable[[], Any]) -> Kit:
    """`kit` of a port with the schedule that its optimiser carries, if it does: tried on the network of `build`.

    What the optimiser raises is for the gate to say that needs it.
    """
    part = kit.get("optimiser")
    if part is None or part.run is None or "schedule" in kit:
        return kit
    model = build()
    try:
        _, schedule = make_paddle(model, model.parameters(), optimiser=part.run, schedule=None)
    except Exception:  # noqa: BLE001 - whatever the user's code raises
        return kit
    return kit if schedule is None else {**kit, "schedule": Part(part.code, carried_by_the_optimiser)}


def read_rate(optimiser: Any) -> float:
    """The learning rate of the next update."""
    if hasattr(optimiser, "param_groups"):
        return float(optimiser.param_groups[0]["lr"])
    return float(optimiser.get_lr())


def find_schedule(optimiser: Any) -> Any:
    """The schedule that a Paddle optimiser was given as its rate; None for a number, and for torch's optimisers."""
    rate = getattr(optimiser, "_learning_rate", None)
    return rate if hasattr(rate, "last_lr") else None


def _scale_rate(optimiser: Any, factor: float, *, exactly: float | None = None) -> None:
    """Multiply the rate, of every group of parameters, by `factor`; the first becomes `exactly` that."""
    if hasattr(optimiser, "param_groups"):
        for number, group in enumerate(optimiser.param_groups):
            group["lr"] = exactly if exactly is not None and number == 0 else group["lr"] * factor
        return
    rate = exactly if exactly is not None else read_rate(optimiser) * factor
    schedule = find_schedule(optimiser)
    if schedule is None:
        optimiser.set_lr(rate)
    else:
        schedule.last_lr = rate
