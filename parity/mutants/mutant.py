"""What an entry of the catalogue is, and the port it edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Port:
    """The Paddle twin, freshly loaded, that an entry edits in place.

    `source` maps canonical names to the checkpoint's own tensors, before the converter touched them.
    """

    network: Any
    source: Mapping[str, Array]

    def __getitem__(self, path: str) -> Any:
        """The layer at `path`; "" is the network."""
        return dict(self.network.named_sublayers(include_self=True))[path]

    def matching(self, glob: str) -> dict[str, Any]:
        """Path -> layer of all paths that match `glob`."""
        return {path: layer for path, layer in self.network.named_sublayers() if fnmatch(path, glob)}

    def of_type(self, kind: type, glob: str = "*") -> list[Any]:
        """The layers of class `kind` whose path matches `glob`."""
        return [layer for layer in self.matching(glob).values() if isinstance(layer, kind)]

    def replace(self, path: str, layer: Any) -> None:
        """Put `layer` where the one at `path` was."""
        parent, _, name = path.rpartition(".")
        setattr(self[parent], name, layer)


Edit = Callable[[Port], None]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What a porter might have done to the port.

    `guilty` are globs of torch paths; the harness must accuse exactly the modules they match, and of
    them only the passes in `calls`, if given. An equivalent has none: it must not be accused of anything.
    `pipeline` entries edit the network with its preprocessing and the resize of its logits around it.
    `causes` name why, by `parity.causes` or `parity.certify.causes`: each of the accused must have one of them, and
    none another; an entry that
    nothing known repeats has none.
    Entries with a `gate` edit the Paddle side of a certificate (`parity.certify.sides`), whose first failing
    gate must be that one.
    """

    name: str
    description: str
    apply: Callable[[Any], None]
    guilty: tuple[str, ...] = ()
    calls: tuple[int, ...] = ()
    causes: tuple[str, ...] = ()
    pipeline: bool = False
    gate: str = ""

    @property
    def is_equivalent(self) -> bool:
        return not self.guilty


def mutant(
    group: list[Mutant],
    *guilty: str,
    calls: tuple[int, ...] = (),
    cause: str | tuple[str, ...] = (),
    pipeline: bool = False,
) -> Callable[[Edit], Edit]:
    """Decorator: add an edit to `group`; its function's name and docstring are the entry's."""

    def add(edit: Edit) -> Edit:
        name = edit.__name__.strip("_").replace("_", "-")
        description = " ".join((edit.__doc__ or "").split())
        group.append(
            Mutant(
                name=name,
                description=description,
                apply=edit,
                guilty=guilty,
                calls=calls,
                causes=(cause,) if isinstance(cause, str) else cause,
                pipeline=pipeline,
            )
        )
        return edit

    return add


def training_mutant(
    group: list[Mutant], gate: str, cause: str = ""
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Decorator: add an edit of a certificate's Paddle side to `group`, to be caught at `gate`, for this `cause`."""

    def add(edit: Callable[[Any], None]) -> Callable[[Any], None]:
        description = " ".join((edit.__doc__ or "").split())
        name = edit.__name__.strip("_").replace("_", "-")
        causes = (cause,) if cause else ()
        group.append(Mutant(name=name, description=description, apply=edit, guilty=(gate,), causes=causes, gate=gate))
        return edit

    return add
