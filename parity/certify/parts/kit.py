"""The parts that gates exercise, whose code each is, and what is said where one was not given.

kit = {"loss": Part("my_losses.ohem (my_losses.py:12)", ohem)}
require(kit, "loss", "port").run(outputs, labels)
require(kit, "schedule", "port")  # NotRunError: the port's own schedule was not given (--schedule or --config)
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.certify.gate import NotRunError

TOOLKIT = "toolkit"
OPTIONS = {
    "preprocessing": "--preprocess",
    "loss": "--loss",
    "optimiser": "--optimiser",
    "regularisation": "--optimiser",
    "schedule": "--schedule",
    "loader": "--loader",
    "metric": "--metric",
}
"""Part -> the option that gives it."""
BUILT = ("network", "weights", "initialiser", "export")
"""Parts that come with the network itself."""


@dataclass(frozen=True)
class Part:
    """One part of a side: where it is written, and what runs. `run` is None for the toolkit's own.

    `facts` are numbers that a config says beside it.
    """

    code: str = TOOLKIT
    run: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)


Kit = Mapping[str, Part]
OWN_KIT: Kit = {name: Part() for name in (*BUILT, *OPTIONS)}
"""Of a twin: the toolkit's parts are its own."""


def carried_by_the_optimiser() -> None:
    """Stands for a schedule that comes with the optimiser, which Paddle's are given as their rate."""


def require(kit: Kit, name: str, side: str) -> Part:
    """The part called `name` of `side`, "port" or "reference". Raises NotRunError if it was not given."""
    if name in kit:
        return kit[name]
    option = OPTIONS.get(name)
    if option is None:
        raise NotRunError(f"the {side}'s own {name} was not given")
    how = f"{option} or --config" if side == "port" else option.replace("--", "--reference-")
    raise NotRunError(f"the {side}'s own {name} was not given ({how})")


def code_of(thing: Any) -> str:
    """`package.module.name (file.py:12)` of a function, class or object: where its code stands."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    name = f"{named.__module__}.{named.__qualname__}"
    try:
        path, (_, line) = inspect.getsourcefile(named), inspect.getsourcelines(named)
    except (OSError, TypeError):
        return name
    return f"{name} ({Path(path or '').name}:{line})"
