"""Seeing, and replacing, what a layer is called with."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def hook_inputs(module: Any, hook: Callable[[Any], Any]) -> Any:
    """Let `hook` see, and replace, the positional and keyword arguments, a pair, of each call of `module`."""
    try:
        return module.register_forward_pre_hook(lambda layer, args, kwargs: hook((args, kwargs)), with_kwargs=True)
    except TypeError:
        return _WrappedForward(module, hook)


class _WrappedForward:
    """The same for Paddle 2.6, which shows its hooks no keywords: the module's `forward` asks `hook` first."""

    def __init__(self, module: Any, hook: Callable[[Any], Any]) -> None:
        self._attributes = vars(module)
        self._before = {"forward": module.forward} if "forward" in self._attributes else {}
        forward = module.forward

        @wraps(forward)  # whose names of arguments are asked for
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            replaced = hook((args, kwargs))
            args, kwargs = (args, kwargs) if replaced is None else replaced
            return forward(*args, **kwargs)

        self._attributes["forward"] = wrapped

    def remove(self) -> None:
        del self._attributes["forward"]
        self._attributes.update(self._before)
