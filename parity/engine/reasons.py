"""From what failed to why: the reference's units are run again on what the port's were given (`parity.causes`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from parity.causes.explain import Likely, explain
from parity.causes.hypotheses import Asked
from parity.causes.replay import Replay, Watched
from parity.causes.rules import SETTINGS
from parity.causes.settings import find_difference
from parity.causes.source import find_line
from parity.causes.steps import CALL, count_work, tensors_of
from parity.engine.conventions import Convention
from parity.engine.differing import DifferingWeights, is_inside
from parity.engine.passes import Passes
from parity.engine.scalars import resize_by_paddle
from parity.engine.surroundings import cast
from parity.engine.witness import Fault, Witness
from parity.networks.arguments import Arguments
from parity.networks.modules import ModuleInfo
from parity.pairing.match import WeightMatch
from parity.pairing.propose import Pairing
from parity.verdicts.found import Found
from parity.verdicts.report import ATTRIBUTES_SITE, OUTPUT_SITE, Cause, Guilty
from twins.tensors import flatten, paddle_to_torch, refill, torch_to_paddle

SHARE = 0.15
"""Of the comparison's time: what the search for causes may take besides."""
FORWARDS = 3
"""What may be made of hypotheses altogether, in forward passes of the reference, whatever time they take."""
BUILT = SETTINGS | {"momentum", "dropout rate", "kind of dropout", "ceil_mode", "exclusive", "groups", "bias missing"}
"""Names of causes that are mended where the layer is built."""
LEFT_OUT = ("number of passes", "layer left out", "another layer's output", "term missing", "factor missing")
"""Names of causes that a layer of the port's, if it does nothing, looks like."""
Given = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class _Unit:
    """The stretch of the reference that a fault is looked for in: a module, and a tensor that it gives or hands on."""

    path: str
    watched: Watched
    key_path: str


@dataclass
class Reasons:
    """Finds the causes of guilty layers. `ours` are the reference's modules, `theirs` the port's."""

    passes: Passes
    witness: Witness
    pairing: Pairing
    matched: WeightMatch
    ours: Mapping[str, ModuleInfo]
    theirs: Mapping[str, ModuleInfo]
    seconds: float = 0.0
    """That the comparison has taken."""
    likely: Likely = field(default_factory=Likely)
    _work: int = 0
    """Of the reference's layers on all inputs."""

    @cached_property
    def _exact(self) -> dict[str, nn.Module]:
        """The modules of the float64 reference."""
        return dict(self.passes.exact.named_modules())

    @cached_property
    def _differing(self) -> DifferingWeights:
        return DifferingWeights(self.passes.exact, self.matched, self.ours, self.theirs)

    def find(self, guilty: Sequence[Guilty]) -> list[Guilty]:
        """The same, with causes."""
        with _default_dtype(torch.float64):
            return self._find(guilty)

    def _find(self, guilty: Sequence[Guilty]) -> list[Guilty]:
        faults = {(one.path, one.call, one.site): self._faults_of(one) for one in guilty}
        units = {fault.layer.input: [] for found in faults.values() for fault in found}  # type: dict[str, list[Fault]]
        for found in faults.values():
            for fault in found:
                units[fault.layer.input].append(fault)
        given = {name: self._capture(name, found) for name, found in units.items()}
        self.likely.left += FORWARDS * self._work
        self.likely.until = time.perf_counter() + SHARE * self.seconds
        explained = []
        for number, one in enumerate(guilty):
            self.likely.share(len(guilty) - number)
            explained.append(self._explained(one, faults[one.path, one.call, one.site], given))
        return explained

    def _faults_of(self, guilty: Guilty) -> list[Fault]:
        """On each input, smallest first; then those of the next call of the same layer."""
        found = [
            fault
            for (failure, _), fault in self.witness.faults.items()
            if (failure.path, failure.call, failure.site) == (guilty.path, guilty.call, guilty.site)
        ]
        found.sort(key=lambda fault: (fault.key.call, fault.tensors[0].numel() if fault.tensors else 0))
        return found

    def _explained(self, guilty: Guilty, faults: Sequence[Fault], given: Mapping[str, Any]) -> Guilty:
        if guilty.site == ATTRIBUTES_SITE:
            return replace(guilty, cause=self._placed(guilty, self._read(guilty)))
        explained = self._explain(guilty, faults, given)
        if explained is None:
            return guilty
        first, found = explained
        constants = self.passes.constants
        others = {step.name for step in first.replay.steps} & constants.used & constants.exact
        if found.cause is None and others:  # beside the mistake, the port's code has Paddle's constants
            with constants.of_paddle(others):
                first, again = self._explain(guilty, faults, given) or explained
            found = found if again.cause is None else again
        cause = None if found.cause is None else self._alone(guilty, found.cause)
        cause = None if cause is None else self._in_order(cause, faults[0], first)
        return replace(
            guilty, cause=self._placed(guilty, cause), tried=found.tried, untried=found.untried, facts=found.facts
        )

    def _explain(self, guilty: Guilty, faults: Sequence[Fault], given: Mapping[str, Any]) -> tuple[Asked, Found] | None:
        """The first question, and what is found; None where the reference cannot be run again."""
        asked_of = [(fault, self._ask(fault, given[fault.layer.input])) for fault in faults]
        questions = [asked for fault, asked in asked_of if asked is not None and fault.key.call == faults[0].key.call]
        later = [asked for fault, asked in asked_of if asked is not None and fault.key.call != faults[0].key.call]
        if not questions or not _can_be_repeated(questions[0]):
            return None
        self.passes.progress(f"cause of {guilty.path or 'the network'}")
        return questions[0], explain(
            questions,
            self._differing.find(faults[0].layer, self.witness.held.get(faults[0].layer.input, frozenset())),
            self.likely,
            lambda: self._ask_again(questions[0], faults[0]),
            later,
        )

    def _placed(self, guilty: Guilty, cause: Cause | None) -> Cause | None:
        """The cause, with the line of the user's file that is to be changed."""
        line = "" if cause is None else find_line(self.theirs, guilty.port, built=cause.name in BUILT)
        return cause if cause is None or not line else replace(cause, fix=f"{cause.fix} ({line})")

    def _alone(self, guilty: Guilty, cause: Cause) -> Cause:
        """The cause, or that a layer of the port's has no counterpart, where it seems that one is left out."""
        if cause.name in ("constant twice", "constant") and self._is_folded(guilty.path):
            text = (
                f"{cause.text}, with what the port's weight holds of it: it is |weight| + epsilon, "
                "whose magnitude the port's code does not take"
            )
            return replace(cause, name="scale epsilon added", text=text, fix="take abs(weight), or add no epsilon")
        if cause.name not in LEFT_OUT:
            return cause
        known = {match.port[0] for match in self.matched.matches}
        alone = [
            path
            for path, info in self.theirs.items()
            if info.tensors and path not in known and is_inside(path, guilty.port)
        ]
        if not alone:
            return cause
        said = ", ".join(f"`{path}`" for path in alone[:3]) + (", …" if len(alone) > 3 else "")
        have = "have" if len(alone) > 1 else "has"
        text = f"the port's {said} {have} no counterpart, and nothing shows of it: {cause.text}"
        return replace(
            cause, name="layer without counterpart", text=text, fix="load it, or share the one that is loaded"
        )

    def _in_order(self, cause: Cause, fault: Fault, asked: Asked) -> Cause:
        """The cause, or that the port calls a layer too early, where it seems that what it calls later is left out."""
        if cause.name not in ("layer left out", "term missing", "factor missing") or fault.key.kind != "input":
            return cause
        replay = asked.replay
        around = fault.key.path.removesuffix(replay.watched.path)
        before = (f"{around}{step.path}" for step in replay.relevant if step.name == CALL and replay.is_held(step))
        later = [path for path in before if self.pairing.pairs.get(path, path) not in fault.called]
        if not later or not fault.called:
            return cause
        text = f"`{fault.key.path}` is called before `{later[-1]}`, the reference calls it after"
        return replace(cause, name="order of layers", text=text, fix=f"call `{later[-1]}` first")

    def _is_folded(self, path: str) -> bool:
        return any(match.operation == "fold" and match.reference[0] == path for match in self.matched.matches)

    def _read(self, guilty: Guilty) -> Cause | None:
        difference = find_difference(self.ours[guilty.path], self.theirs[guilty.port])
        if difference is None:
            return None
        return Cause(name=difference.name, text=difference.text, fix=difference.fix)

    def _unit(self, fault: Fault, exact: Mapping[str, nn.Module]) -> _Unit | None:
        """The accused module itself, or the smallest around it that what was compared is inside of."""
        own, key = fault.layer.path, fault.key
        around = own if own in exact else self._known(own, exact)
        while not is_inside(key.path, around):
            around = around.rpartition(".")[0]
        if around == key.path and key.kind == "input" and around:
            around = around.rpartition(".")[0]
        if around not in exact:
            return None
        return _Unit(around, Watched(key.path[len(around) :].lstrip("."), key.kind, key.call), key.path)

    @staticmethod
    def _known(path: str, modules: Mapping[str, nn.Module]) -> str:
        while path and path not in modules:
            path = path.rpartition(".")[0]
        return path

    def _capture(self, name: str, faults: Sequence[Fault]) -> dict[str, list[tuple[Given, dict[str, int]]]]:
        """What the units of these faults are given on an input, call by call, and how often others ran before."""
        exact = self._exact
        units = [unit for fault in faults if (unit := self._unit(fault, exact)) is not None]
        found: dict[str, list[tuple[Given, dict[str, int]]]] = {unit.path: [] for unit in units}
        calls: dict[str, int] = {unit.key_path: 0 for unit in units}
        counted, taken = set(calls), set(found)
        handles: list[Any] = []

        def before(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
                if path in taken:
                    copies = refill((args, kwargs), iter([tensor.clone() for tensor in flatten((args, kwargs))]))
                    found[path].append((copies, dict(calls)))
                if path in counted:
                    calls[path] += 1

            return hook

        def after(module: nn.Module, args: Any, output: Any) -> None:
            self._work += count_work(getattr(module, "weight", None), tensors_of(output))

        leaves = [module for module in exact.values() if not any(True for _ in module.children())]
        handles += [module.register_forward_hook(after) for module in leaves]
        for path in counted | taken:
            handles.append(exact[path].register_forward_pre_hook(before(path), with_kwargs=True))
        arguments = self.passes.exact_arguments(name)
        try:
            with torch.no_grad():
                arguments.call(self.passes.exact)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _ask(self, fault: Fault, given: Mapping[str, Any]) -> Asked | None:
        exact = self._exact
        unit = self._unit(fault, exact)
        if unit is None:
            return None
        calls = [(one, before.get(unit.key_path, 0)) for one, before in given[unit.path]]
        chosen = [(one, before) for one, before in calls if before <= unit.watched.call]
        if not chosen:
            return None
        (args, kwargs), before = chosen[-1]
        watched = Watched(unit.watched.path, unit.watched.kind, unit.watched.call - before if unit.watched.path else 0)
        held = self._held(fault, unit, exact)
        replay = Replay(
            exact[unit.path], args, kwargs, held, watched, shapes=frozenset(tuple(t.shape) for t in fault.tensors)
        )
        number = fault.layer.output
        if number >= len(fault.tensors):
            return None
        reference, port = self.ours.get(fault.layer.path), self.theirs.get(fault.layer.port)
        return Asked(
            replay,
            fault.tensors,
            number,
            reference,
            port,
            self._added(port),
            earlier=_earlier(replay, [given for given, _ in chosen[:-1]]),
            is_network=unit.path == "" and fault.key.kind == "output",
            finish=_finish(self.passes.convention, fault),
        )

    def _held(self, fault: Fault, unit: _Unit, exact: Mapping[str, nn.Module]) -> dict[int, str]:
        """Modules inside the unit whose outputs the port was given, by id."""
        own = {fault.layer.path, *([fault.key.path] if fault.key.kind == "output" else [])}
        prefix = f"{unit.path}." if unit.path else ""
        return {
            id(exact[path]): path.removeprefix(prefix)
            for path in self.witness.held.get(fault.layer.input, ())
            if path.startswith(prefix) and path != unit.path and path not in own
        }

    def _added(self, port: ModuleInfo | None) -> dict[str, Tensor]:
        """The port's tensors in a layer that have no counterpart."""
        if port is None:
            return {}
        known = {match.port for match in self.matched.matches}
        return {
            name: torch.from_numpy(value.copy())
            for name, value in port.tensors.items()
            if (port.path, name) not in known
        }

    def _ask_again(self, asked: Asked, fault: Fault) -> Asked | None:
        """The same of a random input, where the port's layer can be given one by itself."""
        if fault.layer.site != OUTPUT_SITE or not fault.layer.path or asked.port is None or not asked.port.is_leaf:
            return None
        generator = torch.Generator().manual_seed(0)
        tensors = [
            torch.randn(t.shape, generator=generator, dtype=t.dtype) * t.std() + t.mean()
            if t.is_floating_point()
            else t
            for t in asked.replay.tensors
        ]
        args, kwargs = refill((asked.replay.args, asked.replay.kwargs), iter(tensors))
        try:
            actual = self._run_port(asked.port.module, args, kwargs)
        except Exception:  # noqa: BLE001 - whatever the user's layer says of being called alone
            return None
        if [one.shape for one in actual] != [one.shape for one in asked.actual]:
            return None
        old = asked.replay
        replay = Replay(old.unit, args, kwargs, old.held, old.watched, shapes=old.shapes)
        return replace(asked, replay=replay, actual=tuple(actual))

    def _run_port(self, layer: Any, args: Any, kwargs: Any) -> list[Tensor]:
        from models_paddle import paddle

        own = refill((args, kwargs), iter([torch_to_paddle(tensor) for tensor in flatten((args, kwargs))]))
        with cast(None, self.passes.port, "float64"), paddle.no_grad():
            return [paddle_to_torch(tensor).clone() for tensor in flatten(Arguments(*own).call(layer))]


def _earlier(own: Replay, given: Sequence[Given]) -> Replay | None:
    """The unit's call before its `own`; None if it is its first, or of a layer inside."""
    if not given or own.watched.path:
        return None
    args, kwargs = given[-1]
    return Replay(own.unit, args, kwargs, own.held, own.watched)


def _can_be_repeated(asked: Asked) -> bool:
    """Whether the unit, run again as it is, gives the tensor that is asked about."""
    try:
        asked.replay.steps  # noqa: B018 - runs it
    except Exception:  # noqa: BLE001 - whatever the user's code says of being run apart, or of its size
        return False
    return asked.number < len(asked.replay.baseline)


def _finish(convention: Convention, fault: Fault) -> Callable[[Tensor], Tensor] | None:
    """What the reference's outputs went through to be compared by the port's convention."""
    corners = convention.align_corners
    if fault.key.path or fault.key.kind != "output" or convention.resized != "port" or corners is None:
        return None
    return lambda tensor: (
        resize_by_paddle(tensor, [int(side) for side in fault.tensors[fault.layer.output].shape[2:]], corners=corners)
        if tensor.ndim == 4 and tensor.is_floating_point()
        else tensor
    )


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
