"""torch, imported when it is first used: a port is also compared where only Paddle is installed.

from twins.lazy import Tensor, functional, nn, torch   # in place of torch's own import statements
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:

    class _Lazy(ModuleType):
        """A module by name. What is set on it is set on the module itself."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self.__name__), name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(import_module(self.__name__), name, value)

    torch, nn, functional = _Lazy("torch"), _Lazy("torch.nn"), _Lazy("torch.nn.functional")
    Tensor = Any

__all__ = ["Tensor", "functional", "nn", "torch"]
