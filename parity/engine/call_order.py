"""The modules of two networks in the order in which they are called, which a port may register otherwise.

ours, theirs = order_by_calls(reference, port, ours, theirs, arguments)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from parity.engine.passes import paddle_arguments, torch_arguments
from parity.engine.surroundings import as_written, cast, evaluating
from parity.networks.arguments import Arguments
from parity.pairing.tensors import Modules
from twins.lazy import nn, torch


def order_by_calls(
    reference: nn.Module, port: Any, ours: Modules, theirs: Modules, arguments: Arguments
) -> tuple[Modules, Modules]:
    """Both networks' modules, by path, as they are first called on one input; those that are not called come last."""
    from models_paddle import paddle

    with evaluating(reference), evaluating(port), as_written(), torch.no_grad(), paddle.no_grad():
        return (
            _ordered(ours, lambda: torch_arguments(arguments, reference, torch.float32).call(reference)),
            _ordered(theirs, lambda: paddle_arguments(arguments, "float32").call(port)),
        )


def run_alone(reference: nn.Module, port: Any, inputs: Iterable[Arguments], dtypes: Iterable[str]) -> bool:
    """Whether both networks run on all inputs as they are, the port in each of the `dtypes`."""
    from models_paddle import paddle

    try:
        with evaluating(reference), evaluating(port), as_written(), torch.no_grad(), paddle.no_grad():
            for arguments in inputs:
                torch_arguments(arguments, reference, torch.float32).call(reference)
                for dtype in dtypes:
                    with cast(None, port, dtype):
                        paddle_arguments(arguments, dtype).call(port)
    except Exception:  # noqa: BLE001 - whatever the user's code says
        return False
    return True


def _ordered(modules: Modules, run: Callable[[], object]) -> Modules:
    called: dict[str, None] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            called.setdefault(path)

        return hook

    handles = [info.module.register_forward_pre_hook(note(path)) for path, info in modules.items()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return {path: modules[path] for path in (*called, *(path for path in modules if path not in called))}
