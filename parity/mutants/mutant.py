"""What an entry of the catalogue is, and the port it edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
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
Options = Callable[[Path], Mapping[str, Any]]


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
    gate must be that one. Entries with `options` are certified with these parts of their own instead (options of the
    `Subject`, by a folder for files), and only at their `gates`.
    """

    name: str
    description: str
    apply: Callable[[Any], None]
    guilty: tuple[str, ...] = ()
    calls: tuple[int, ...] = ()
    causes: tuple[str, ...] = ()
    pipeline: bool = False
    gate: str = ""
    options: Options | None = None
    gates: tuple[str, ...] = ()
    needs_paddleseg: bool = False

    @property
    def is_equivalent(self) -> bool:
        return not self.guilty

    @property
    def is_of_training(self) -> bool:
        """Whether gates judge it, which the networks' outputs do not show."""
        return bool(self.gate or self.gates)


def mutant(
    group: list[Mutant],
    *guilty: str,
    calls: tuple[int, ...] = (),
    cause: str | tuple[str, ...] = (),
    pipeline: bool = False,
) -> Callable[[Edit], Edit]:
    """Decorator: add an edit to `group`; its function's name and docstring are the entry's."""

    def add(edit: Edit) -> Edit:
        group.append(
            Mutant(
                **_words(edit),
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
        causes = (cause,) if cause else ()
        group.append(Mutant(**_words(edit), apply=edit, guilty=(gate,), causes=causes, gate=gate))
        return edit

    return add


INNOCENT = {"learning rate": ("optimiser",), "regularisation": ("optimiser", "learning rate")}
"""Gate -> the gates before it that exercise the same part, which a mistake must pass."""


def parts_entry(
    edit: Callable[..., Any],
    options: Options,
    *,
    gate: str = "",
    gates: tuple[str, ...] = (),
    cause: str = "",
    needs_paddleseg: bool = False,
) -> Mutant:
    """A mistake in a part, to be caught at `gate`; or an equivalent, of which none of `gates` may complain."""
    return Mutant(
        **_words(edit),
        apply=edit,
        guilty=(gate,) if gate else (),
        causes=(cause,) if cause else (),
        gate=gate,
        options=options,
        gates=(*INNOCENT.get(gate, ()), gate) if gate else gates,
        needs_paddleseg=needs_paddleseg,
    )


def _words(edit: Callable[..., Any]) -> dict[str, Any]:
    """Name and description of an entry, by its function."""
    return {
        "name": edit.__name__.strip("_").replace("_", "-"),
        "description": " ".join((edit.__doc__ or "").split()),
    }
