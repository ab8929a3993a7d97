"""Either framework's network under training, seen alike: NumPy in, NumPy out, tensors by torch's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from families import Preprocessing
from parity.certify.parts.kit import Kit, Part, carried_by_the_optimiser, require
from parity.certify.parts.trainer import GivenTrainer
from parity.networks.modules import ModuleInfo
from recipe.augmentation import Augmentation
from recipe.ohem import Mining
from recipe.preprocessing import preprocess
from recipe.recipe import Recipe

Array = np.ndarray[Any, Any]
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class DropoutKind:
    """What a dropout drops, how often, and whether what it keeps is scaled up."""

    channels: bool
    rate: float
    scaled: bool

    def __str__(self) -> str:
        kept = f"kept x {1 / (1 - self.rate) if self.scaled else 1:.6g}"
        return f"{'whole channels' if self.channels else 'elements'} dropped at rate {self.rate:g}, {kept}"

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The factor (0 or 1 / (1 - rate)) by which features (N, C, H, W) are multiplied."""
        draws = rng.random(shape)
        kept = (draws[..., :1, :1] if self.channels else draws) >= self.rate
        return np.broadcast_to(kept / (1 - self.rate) if self.scaled else kept * 1.0, shape).copy()


class Side(ABC):
    """A network in `dtype`, with everything that trains it. A training mutant edits the Paddle side's parts.

    `modules` are the network's, by torch's paths where they are paired. `tensors` maps torch's name to parameter or
    statistic: those of the modules, and the `strays`. `kit` are the side's own parts; where one is the toolkit's, it
    is what trains this framework's twin, by `recipe`. A part that was not given raises NotRunError. `folded` maps the
    names of scales that the network takes as |weight| + epsilon, as InPlaceABN does, to their epsilon.
    """

    framework: str
    name: str
    """"reference" or "port"."""

    def __init__(
        self,
        model: Any,
        modules: Mapping[str, ModuleInfo],
        dtype: str,
        preprocessing: Preprocessing,
        strays: Mapping[str, Any],
        kit: Kit,
        recipe: Recipe,
        folded: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self.modules, self.dtype, self.preprocessing = model, modules, dtype, preprocessing
        self.kit, self.recipe, self.folded = kit, recipe, folded or {}
        self.align_corners = preprocessing.align_corners
        self._masked_layers: set[int] = set()
        self._seed = 0
        self.tensors = {
            f"{path}.{name}" if path else name: getattr(info.module, attribute)
            for path, info in modules.items()
            for name, attribute in info.names.items()
        } | dict(strays)
        self.losses, self.trainer, self.loader = self._packages()

    @abstractmethod
    def _packages(self) -> tuple[Any, Any, Callable[..., Any]]:
        """Losses, trainer and loader of the framework's twin."""

    @abstractmethod
    def tensor(self, array: Array) -> Any:
        """As a tensor on the network's device; floating values in its dtype."""

    def array(self, tensor: Any) -> Array:
        """As NumPy, a copy."""
        return np.array(tensor.detach().cpu().numpy())

    @abstractmethod
    def is_trainable(self, tensor: Any) -> bool:
        """Whether an optimiser changes it."""

    @abstractmethod
    def without_gradients(self) -> AbstractContextManager[Any]:
        """A pass inside it keeps nothing for the way back."""

    @abstractmethod
    def require_gradient(self, tensor: Any) -> None:
        """Make a leaf tensor keep its gradient."""

    @abstractmethod
    def observe(self, path: str, before: Callable[[Any, Any], None], after: Callable[[Any], None]) -> list[Any]:
        """Call `before` with the arguments of each call of the module at `path`, `after` with its outputs.

        Arguments are a tuple and a dictionary. Returns the hooks' handles.
        """

    def is_floating(self, tensor: Any) -> bool:
        """Whether it has a gradient at all."""
        return "float" in str(tensor.dtype).lower()

    @abstractmethod
    def has_history(self, tensor: Any) -> bool:
        """Whether a gradient flows to the tensor, which is no leaf."""

    @abstractmethod
    def retain(self, tensor: Any) -> None:
        """Keep the gradient of a tensor that is no leaf."""

    @abstractmethod
    def differentiate(self, outputs: list[Any], inputs: list[Any], upstream: list[Any]) -> list[Any]:
        """Gradients of `inputs` for the gradients `upstream` of `outputs`; None where there is none."""

    @abstractmethod
    def send_back(self, outputs: list[Any], upstream: list[Any]) -> None:
        """Add to the gradients of all parameters those for the gradients `upstream` of `outputs`."""

    @abstractmethod
    def confusion(self, logits: Array, labels: Array) -> Array:
        """(K, K) int64 [label, prediction] of logits (K, H, W), counted by the framework; 255 is ignored."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Name -> trainable tensor."""
        return {name: tensor for name, tensor in self.tensors.items() if self.is_trainable(tensor)}

    def values(self) -> dict[str, Array]:
        """Name -> parameter or statistic, as arrays."""
        return {name: self.array(tensor) for name, tensor in self.tensors.items()}

    def state(self) -> dict[str, Array]:
        """The same as the network takes them: a scale that it takes as |weight| + epsilon, so."""
        return {
            name: np.abs(array) + self.folded[name] if name in self.folded else array
            for name, array in self.values().items()
        }

    def gradients(self) -> dict[str, Array]:
        """Name -> gradient with regard to `state`, of the parameters that have one."""
        return {n: self.sign(n) * self.array(p.grad) for n, p in self.parameters.items() if p.grad is not None}

    def sign(self, name: str) -> Any:
        """What a gradient with regard to a tensor is multiplied by to be one with regard to its place in `state`."""
        return np.where(self.array(self.tensors[name]) < 0, -1.0, 1.0) if name in self.folded else 1.0

    def own(self, part: str) -> Any:
        """What the side's own part runs; None for the toolkit's. Raises NotRunError if it was not given."""
        return require(self.kit, part, self.name).run

    def preprocess(self, pixels: Array) -> Array:
        """RGB pixels (H, W, 3) uint8 -> (3, H, W)."""
        own = self.own("preprocessing")
        return preprocess(pixels, self.preprocessing) if own is None else np.asarray(own(pixels))

    def augmentation(self, crop: tuple[int, int] | None = None) -> Augmentation:
        """The toolkit's training augmentation, with the recipe's crop (H, W) or another."""
        recipe = self.recipe
        return Augmentation(
            preprocessing=self.preprocessing,
            crop=crop or recipe.crops[self.align_corners],
            scales=recipe.scales,
            padding=recipe.padding,
            most_of_a_class=recipe.most_of_a_class,
            distortion=recipe.distortion,
        )

    def criterion(self, mining: Mining | None = None) -> Any:
        """The side's own loss (outputs, labels) -> scalar; of the toolkit's, cross-entropy or with hard pixels only."""
        own = self.own("loss")
        if own is not None:
            return own
        settings = {
            "align_corners": self.align_corners,
            "epsilon": self.recipe.epsilon,
            "ignored_in_mean": self.recipe.ignored_in_mean,
        }
        if mining is None:
            return self.losses.CrossEntropy(**settings)
        return self.losses.OhemCrossEntropy(mining, **settings, mining_epsilon=self.recipe.mining_epsilon)

    def make_trainer(self, criterion: Any, *, hold: float | None = None, share: float = 1.0) -> Any:
        """A trainer of the network, by the side's own optimiser and schedule.

        With `hold`, its rate is that at each step; else its own, times `share`.
        """
        optimiser, schedule = (self.kit.get(part, Part()).run for part in ("optimiser", "schedule"))
        if optimiser is not None or schedule is not None:
            made = self._given(self._optimiser(optimiser), self._schedule(schedule))
            return GivenTrainer(self.model, criterion, *made, hold=hold, share=share)
        base, end = (share * rate if hold is None else hold for rate in (self.recipe.base_rate, self.recipe.end_rate))
        return self.trainer.Trainer(self.model, criterion, replace(self.recipe, base_rate=base, end_rate=end))

    @abstractmethod
    def _given(self, optimiser: Callable[..., Any] | None, schedule: Callable[..., Any] | None) -> tuple[Any, Any]:
        """The framework's optimiser and schedule by functions; None where there is none."""

    def _optimiser(self, given: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """The function that makes the optimiser: the given one, or the toolkit's."""
        if given is not None or "optimiser" not in self.kit:
            return given
        return lambda model, parameters, schedule: self.trainer.Trainer(model, None, self.recipe).optimiser

    def _schedule(self, given: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """The function that makes the schedule, or gives its rates; None where the optimiser carries its own."""
        if given is carried_by_the_optimiser or "schedule" not in self.kit:
            return None
        return self.recipe.rate if given is None else given

    @abstractmethod
    def initialise(self, family: str) -> None:
        """Fresh parameters, from the framework's generator."""

    def train(self) -> None:
        """Put the network in train mode, but for dropout without a shared mask: what it drops is chance."""
        self.model.train()
        layers = self.model.modules() if self.framework == "torch" else self.model.sublayers()
        for layer in layers:
            if "dropout" in type(layer).__name__.lower() and id(layer) not in self._masked_layers:
                layer.eval()

    @property
    def dropouts(self) -> list[str]:
        """Paths of the layers that drop."""
        return [path for path in sorted(self.modules) if "dropout" in type(self.modules[path].module).__name__.lower()]

    def dropout_kind(self, path: str) -> DropoutKind:
        """What the dropout at `path` does."""
        module = self.modules[path].module
        return DropoutKind(
            channels="2d" in type(module).__name__.lower() or getattr(module, "axis", None) in ([0, 1], (0, 1)),
            rate=float(module.p),
            scaled=getattr(module, "mode", "upscale_in_train") == "upscale_in_train",
        )

    def share_dropout(self, seed: int) -> list[str]:
        """Let every dropout multiply by a mask of `seed` and its path, the same in both frameworks; their paths."""
        self._seed = seed
        for path in self.dropouts:
            self.mask_dropout(path, self.dropout_kind(path))
            self._masked_layers.add(id(self.modules[path].module))
        return self.dropouts

    def mask_dropout(self, path: str, kind: DropoutKind) -> None:
        """Let the dropout at `path` be of this kind, by the mask that is shared."""
        # The paths, and so their numbers, are torch's on both sides.
        seed = [self._seed, sorted(self.modules).index(path)]

        def forward(features: Any) -> Any:
            return features * self.tensor(kind.draw(tuple(features.shape), np.random.default_rng(seed)))

        self.modules[path].module.forward = forward
