"""What is certified: the weights on both sides, and how to build either side afresh for each gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cityscapes.generate import make_dataset
from cityscapes.layout import Sample, decode, list_samples
from families import Preprocessing
from models_torch.norm import bias
from parity.certify.criteria import find_recipe
from parity.certify.outputs import Form, find_forms
from parity.certify.paddle_side import PaddleSide
from parity.certify.parts.functions import read_parts
from parity.certify.parts.kit import BUILT, OWN_KIT, Kit, Part, code_of, require
from parity.certify.parts.paddleseg import read_config
from parity.certify.parts.trainer import carry_schedule
from parity.certify.torch_side import TorchSide
from parity.engine.harness import compare_models
from parity.engine.scalars import apply_scalars
from parity.networks.inputs import DEFAULT_SIZES, make_images
from parity.networks.modules import ModuleInfo, paddle_modules, torch_modules
from parity.networks.port import build_config, build_named, load_port_weights
from parity.networks.reference import load_reference, load_reference_weights
from parity.networks.user import find_function
from parity.pairing.match import WeightMatch, compare_weights, follow_weights, match_port
from parity.pairing.propose import Pairing
from parity.pairing.tensors import Slot, counterparts, match_tensors
from parity.verdicts.report import Coverage, Report
from recipe.ohem import Mining
from recipe.recipe import Recipe, recipe_of
from twins.build import build_paddle, build_torch, torch_device
from twins.tensors import flatten
from twins.weights import WeightPair

Array = np.ndarray[Any, Any]
Edit = Callable[[PaddleSide], None]

STANDIN_SIZE = (128, 256)
"""Of the generated pictures, (H, W) in pixels."""


@dataclass(kw_only=True)
class Subject:
    """The port and its reference. `edit` is a training mutant: it changes each Paddle side as it is built.

    `port` names a function that returns the user's Paddle layer, `config` a PaddleSeg config that describes one with
    all its parts; without either the port is the twin. `reference` names the user's own torch module, into which
    `source` is loaded; None means the torch twin, with the `weights`. Of a user's reference, the family of `weights`
    gives preprocessing and recipe alone. `parts` and `reference_parts` name functions that give parts of either side
    (`parity.certify.parts.functions`). `loss_recipe` is the published criterion (of `recipe.recipe`) to hold the port's
    own loss against.

    `size` (H, W) is the input of the gates that train; `steps` how many the training gate takes. `folder`
    is for what gates write; `cityscapes` a data set in Cityscapes' layout, generated where there is none.
    """

    weights: WeightPair
    recurrence: int
    folder: Path
    seed: int = 0
    device: str = "cpu"
    size: tuple[int, int] = (65, 97)
    steps: int = 20
    cityscapes: Path | None = None
    reference: str | None = None
    source: Path | None = None
    port: str | None = None
    config: Path | None = None
    port_weights: Path | None = None
    mapping: dict[str, str] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    reference_parts: Mapping[str, str] = field(default_factory=dict)
    loss_recipe: str | None = None
    edit: Edit = field(default=lambda side: None)
    progress: Callable[[str], None] = field(default=lambda phase: None)

    @property
    def family(self) -> str:
        return self.weights.plan.family.name

    @property
    def preprocessing(self) -> Preprocessing:
        return self.weights.plan.family.preprocessing

    @property
    def has_port(self) -> bool:
        """Whether the Paddle side is the user's, a function's layer or a config's model, and not the twin."""
        return self.port is not None or self.config is not None

    @property
    def _is_twin(self) -> bool:
        """Whether both networks are the toolkit's, with equal paths."""
        return not self.has_port and self.reference is None

    @property
    def named_port(self) -> dict[str, str | None]:
        """What a worker needs to build the port again."""
        return {"port": self.port, "config": None if self.config is None else str(self.config)}

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was done to the port before any gate, for people."""
        if not self.has_port:
            return ()
        copied = "the port came without weights: it was given the reference's, by the pairing"
        built = () if self.config is None else build_config(self.config).notes
        return (*built, *([copied] if self.port_summary["copied"] else []))

    @property
    def recipe(self) -> Recipe:
        """What the family was trained by."""
        return recipe_of(self.family)

    @cached_property
    def port_kit(self) -> Kit:
        """The port's own parts. The twin's are the toolkit's."""
        given = carry_schedule(read_parts(self.parts, "port"), lambda: self.make_port(loaded=False))
        if self.config is not None:
            return {**read_config(self.config), **given}
        if self.port is None:
            return {**OWN_KIT, **given}
        return {**dict.fromkeys(BUILT, Part(code_of(find_function(self.port, "--port")))), **given}

    @cached_property
    def reference_kit(self) -> Kit:
        """The reference's parts: the family's recipe, as the toolkit has it, and a user's own network."""
        given = read_parts(self.reference_parts, "reference")
        if self.reference is None:
            return {**OWN_KIT, **given}
        network = Part(code_of(find_function(self.reference, "--reference")))
        built = dict.fromkeys(("network", "weights", "export"), network)
        return {**{name: part for name, part in OWN_KIT.items() if name not in BUILT}, **built, **given}

    def gives(self, part: str) -> bool:
        """Whether the port's part is its own, not the toolkit's."""
        return self.port_kit[part].run is not None

    @cached_property
    def loss_name(self) -> str:
        """The criterion of the recipe: what was asked for, or the published one that the port's is nearest to."""
        return self.loss_recipe or find_recipe(self)

    @property
    def chosen_recipe(self) -> str:
        """Which published recipe the port's own loss is held against, and why that one, for people."""
        others = [name for name in self.recipe.losses if name != self.loss_name]
        if self.loss_recipe is not None:
            why = "asked for"
        else:
            why = f"the nearest published; --recipe {others[0]} names the other" if others else "the one published"
        return f"the loss is held against the {self.family} recipe with {self.loss_name}, {why}"

    @property
    def mining(self) -> Mining | None:
        """What the reference's criterion mines, where the port's own loss is held against it."""
        if not self.gives("loss") or self.reference_kit["loss"].run is not None:
            return None
        return self.recipe.losses[self.loss_name]

    def code_of(self, parts: Sequence[str]) -> dict[str, str]:
        """Whose code these parts are, on each side. Raises NotRunError for one that was not given."""
        kits = {"port": self.port_kit, "reference": self.reference_kit}
        return {
            side: "; ".join(dict.fromkeys(require(kit, part, side).code for part in parts))
            for side, kit in kits.items()
        }

    def torch(self, dtype: str = "float64", *, layers: bool = True) -> TorchSide:
        """The reference, freshly built and loaded; without `layers`, a port's boundaries are not looked for.

        Tensors are known then, but no modules.
        """
        import torch

        layers = layers or self._is_twin
        model = self.make_reference().to(getattr(torch, dtype))
        if self.has_port and self.reference is None and self.weights.plan.family.framework == "paddle":
            bias(model)  # what is held against PaddleSeg's training is as PaddleSeg trains
        if not self._is_twin:
            follow_weights(model, *self._weights_of_both)
        ours = torch_modules(model)
        if layers:
            apply_scalars(ours, self._boundaries.scalars)
        modules = {path: info for path, info in ours.items() if layers and path in self._followed}
        strays = {f"{path}.{name}": getattr(ours[path].module, name) for path, name in self._strays(layers)}
        return TorchSide(
            model, modules, dtype, self.preprocessing, strays, self.reference_kit, self.recipe, self._folded("fold")
        )

    def paddle(self, dtype: str = "float64", *, loaded: bool = True, layers: bool = True) -> PaddleSide:
        """The port, freshly built, loaded unless told otherwise, and edited."""
        layers = layers or self._is_twin
        model = self.make_port(loaded=loaded)
        model.to(dtype=dtype)
        theirs = paddle_modules(model)
        followed = self._followed if layers else {}
        modules = {path: self._renamed(path, theirs[target]) for path, target in followed.items()}
        strays = {
            f"{path}.{name}": getattr(theirs[target].module, theirs[target].names[own])
            for (path, name), (target, own) in self._strays(layers).items()
        }
        side = PaddleSide(
            model, modules, dtype, self.preprocessing, strays, self.port_kit, self.recipe, self._folded("unfold")
        )
        self.edit(side)
        return side

    def _renamed(self, path: str, info: ModuleInfo) -> ModuleInfo:
        """With the names that torch has for the tensors."""
        found = counterparts(self._ours, (path,), {info.path: info}, (info.path,))
        names = {name: own for (_, name), (_, own) in found.items()}
        tensors = {name: info.tensors[own] for name, own in names.items()}
        return replace(info, tensors=tensors, places={name: info.places[own] for name, own in names.items()})

    @cached_property
    def _ours(self) -> dict[str, ModuleInfo]:
        return torch_modules(self.make_reference())

    def make_reference(self) -> nn.Module:
        """The torch network in float32, on its device."""
        if self.reference is None:
            return build_torch(self.weights, recurrence=self.recurrence, device=self.device)
        module = load_reference(self.reference)
        if self.source is not None:
            load_reference_weights(module, self.source)
        return module.to(torch_device(self.device))

    @cached_property
    def forms(self) -> tuple[Form, Form]:
        """How the reference and the port give their outputs in train mode."""
        return find_forms(self)

    @cached_property
    def num_classes(self) -> int:
        """Of the logits."""
        if self.reference is None:
            return self.weights.plan.num_classes
        import torch

        module = self.make_reference().eval()
        with torch.no_grad():
            outputs = flatten(module(torch.zeros(1, 3, *self.size, device=torch_device(self.device))))
        return int(outputs[0].shape[1])

    def make_port(self, *, loaded: bool = True) -> Any:
        """The Paddle network in float32, before any edit."""
        if not self.has_port:
            return build_paddle(self.weights, recurrence=self.recurrence)
        layer = build_named(self.port, self.config)
        if self.port_weights is not None and loaded:
            load_port_weights(layer, self.port_weights)
        elif loaded:
            match_port(self._ours[""].module, layer, self.mapping)
        return layer

    @property
    def comes_loaded(self) -> bool:
        """Whether the port's function returns it with its weights, so that nobody sees how it would begin."""
        return self.has_port and self.port_weights is None and not self.port_summary["copied"]

    @cached_property
    def port_summary(self) -> dict[str, Any]:
        """What is known of the port's weights."""
        return self._matched[1]

    @cached_property
    def pairing(self) -> Pairing:
        """Torch path to the port's path."""
        return self._matched[0]

    @cached_property
    def _matched(self) -> tuple[Pairing, dict[str, Any]]:
        layer = self.make_port(loaded=self.port_weights is not None)
        return match_port(self._ours[""].module, layer, self.mapping)

    @cached_property
    def _followed(self) -> dict[str, str]:
        """The pairs whose boundaries the port draws as torch does, and calls as layers."""
        coverage = self._boundaries.coverage
        left = {*coverage.redrawn, *coverage.uncalled}
        return {path: target for path, target in self.pairing.pairs.items() if path not in left}

    @cached_property
    def _boundaries(self) -> Report:
        """How the port corresponds, by a comparison in evaluation mode. The twin does throughout."""
        if self._is_twin:
            return Report(layers=(), coverage=Coverage(paired=()))
        self.progress("boundaries of the port's modules")
        ours = self.make_reference()
        images = make_images(DEFAULT_SIZES[0], seed=self.seed)
        return compare_models(ours, self.make_port(), images, pairs=self.pairing, mode="isolated", dtypes=["float64"])

    def _strays(self, layers: bool) -> dict[Slot, Slot]:
        """The reference's tensors and the port's places of them; with `layers`, those outside followed counterparts."""
        followed = self._followed if layers else {}
        return {ours: theirs for ours, theirs in self._slots.items() if followed.get(ours[0]) != theirs[0]}

    @cached_property
    def _weights_of_both(self) -> tuple[Mapping[str, ModuleInfo], WeightMatch]:
        """The port's modules, loaded, and how their tensors stand for the reference's: both sides begin with these."""
        theirs = paddle_modules(self.make_port())
        return theirs, compare_weights(self._ours, theirs, self.pairing)

    def _folded(self, operation: str) -> dict[str, float]:
        """Names of the scales that the reference ("fold") or the port ("unfold") adds up, and their epsilon."""
        if self._is_twin:
            return {}
        return {
            match.label: match.epsilon for match in self._weights_of_both[1].matches if match.operation == operation
        }

    @cached_property
    def _slots(self) -> dict[Slot, Slot]:
        return dict(match_tensors(self._ours, paddle_modules(self.make_port()), self.pairing))

    @cached_property
    def dataset(self) -> Path:
        """The data set's folder; without one, a small one is generated once."""
        if self.cityscapes is not None:
            return self.cityscapes
        root = self.folder / "generated-cityscapes"
        if not root.exists():
            self.progress("generating a data set")
            make_dataset(root, counts={"train": 4, "val": 2}, size=STANDIN_SIZE, seed=self.seed)
        return root

    def samples(self, split: str, most: int) -> list[Sample]:
        """The first `most` samples of a split."""
        return list_samples(self.dataset, split)[:most]

    def batch(self, number: int) -> tuple[Array, Array]:
        """Images (2, 3, *size) and labels (2, *size) of step `number`: noise and blobs, a tenth of them ignored."""
        rng = np.random.default_rng([self.seed, 3, number])
        images = rng.standard_normal((2, 3, *self.size)).astype(np.float32).astype(np.float64)
        coarse = rng.integers(0, self.num_classes, (2, *(-(-side // 8) for side in self.size)))
        labels = coarse.repeat(8, 1).repeat(8, 2)[:, : self.size[0], : self.size[1]]
        return images, np.where(rng.random(labels.shape) < 0.1, 255, labels)


def decoded(sample: Sample) -> tuple[Array, Array]:
    """Pixels (H, W, 3) uint8 RGB and train ids (H, W) uint8."""
    found = decode(sample)
    return found.pixels, found.label
