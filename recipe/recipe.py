"""How a family was trained: optimiser, schedule, criterion and augmentation, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recipe.augmentation import CROP, SCALES, Between, Scales
from recipe.distortion import Distortion, PhotometricDistortion
from recipe.ohem import Mining

LOSSES: dict[str, Mining | None] = {"ohem": Mining(), "cross-entropy": None}
"""The published criteria of the main logits; the auxiliary ones count all pixels, 0.4 times (loss/criterion.py)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Stochastic gradient descent with a polynomial schedule.

    `weight_decay` is added to the gradient of every parameter, biases and BatchNorm's included; `momentum` is
    the share kept of the velocity. `batch` is the pictures of a step, of all devices. `losses` are the criteria by
    their published names, with `epsilon`, `mining_epsilon` and ignored pixels in their denominators
    (`models_torch.losses`); `scales`, `padding`, `most_of_a_class` and `distortion` are the augmentation's
    (`recipe.augmentation`), and `crops` its crop, (H, W), by whether the network aligns corners.
    """

    base_rate: float = 1e-2
    steps: int = 60_000
    power: float = 0.9
    end_rate: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch: int = 8
    losses: Mapping[str, Mining | None] = field(default_factory=lambda: LOSSES)
    epsilon: float = 0.0
    mining_epsilon: float = 0.0
    ignored_in_mean: bool = False
    crops: Mapping[bool, tuple[int, int]] = field(default_factory=lambda: {False: CROP, True: CROP})
    scales: Scales = SCALES
    padding: float | None = None
    most_of_a_class: float = 1.0
    distortion: Distortion | PhotometricDistortion | None = None

    def rate(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0; `end_rate` from step `steps` on."""
        share = max(0.0, 1 - step / self.steps)
        return float((self.base_rate - self.end_rate) * share**self.power + self.end_rate)


RECIPES: dict[str, Recipe] = {
    "official": Recipe(),  # speedinghzl/CCNet, train.py; pure_pytorch trains alike
    "mmseg": Recipe(  # configs/_base_/schedules/schedule_80k.py, models/ccnet_r50-d8.py, datasets/cityscapes.py
        steps=80_000,
        end_rate=1e-4,
        weight_decay=5e-4,
        losses={"cross-entropy": None},
        ignored_in_mean=True,
        crops={False: (512, 1024), True: CROP},
        scales=Between(0.5, 2.0),
        most_of_a_class=0.75,
        distortion=PhotometricDistortion(),
    ),
    "paddleseg": Recipe(  # configs/ccnet, configs/_base_/cityscapes_769x769.yml, models/losses
        end_rate=1e-4,
        weight_decay=4e-5,
        losses={"ohem": Mining(min_kept=10_000, factor=1, inclusive=False)},
        epsilon=1e-8,
        mining_epsilon=1e-5,
        scales=tuple(0.5 + step / 4 for step in range(7)),
        padding=127.5,
        distortion=Distortion(),
    ),
}


def recipe_of(family: str) -> Recipe:
    """The recipe of `family`; the official one where it has none of its own."""
    return RECIPES.get(family, RECIPES["official"])
