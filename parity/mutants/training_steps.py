"""Mistakes in updates, schedule, data and initial values: edits of a certificate's Paddle side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models_paddle import paddle
from models_paddle.initialise import initialise
from parity.certify.paddle_side import PaddleSide
from parity.mutants.mutant import Array, Mutant, training_mutant
from recipe.augmentation import Augmentation
from recipe.recipe import Recipe

MUTANTS: list[Mutant] = []


@training_mutant(MUTANTS, "optimiser", "momentum")
def optimiser_momentum_inverted(side: PaddleSide) -> None:
    """The optimiser is given the complement of its momentum."""
    _edit_recipe(side, lambda recipe: replace(recipe, momentum=1 - recipe.momentum))


@training_mutant(MUTANTS, "optimiser", "gradients not cleared")
def gradients_accumulated(side: PaddleSide) -> None:
    """Gradients are not forgotten between steps."""
    _edit_trainer(side, lambda trainer: setattr(trainer.optimiser, "clear_grad", lambda: None))


@training_mutant(MUTANTS, "optimiser", "Nesterov")
def nesterov(side: PaddleSide) -> None:
    """The optimiser looks ahead, as Nesterov's does."""
    _edit_trainer(side, lambda trainer: setattr(trainer.optimiser, "_use_nesterov", True))


@training_mutant(MUTANTS, "learning rate", "power")
def poly_power(side: PaddleSide) -> None:
    """The rate falls linearly."""
    _edit_recipe(side, lambda recipe: replace(recipe, power=1.0))


@training_mutant(MUTANTS, "learning rate", "a step early")
def schedule_one_step_early(side: PaddleSide) -> None:
    """The schedule is stepped before the first update."""
    _edit_trainer(side, lambda trainer: trainer.schedule.step())


@training_mutant(MUTANTS, "learning rate", "constant rate")
def schedule_never_stepped(side: PaddleSide) -> None:
    """The rate stays what it was."""
    _edit_trainer(side, lambda trainer: setattr(trainer.schedule, "step", lambda: None))


@training_mutant(MUTANTS, "regularisation", "decay twice")
def decayed_twice(side: PaddleSide) -> None:
    """Weight decay is in the optimiser and in the loss: twice as much."""
    _edit_recipe(side, lambda recipe: replace(recipe, weight_decay=2 * recipe.weight_decay))


@training_mutant(MUTANTS, "regularisation", "no decay")
def decayed_not_at_all(side: PaddleSide) -> None:
    """Weight decay was forgotten."""
    _edit_recipe(side, lambda recipe: replace(recipe, weight_decay=0.0))


@training_mutant(MUTANTS, "regularisation", "norms and biases spared")
def norms_and_biases_not_decayed(side: PaddleSide) -> None:
    """Biases and BatchNorm's parameters are spared, as is the custom elsewhere."""
    for name, parameter in side.parameters.items():
        if name.endswith("bias") or ".norm." in name:
            parameter.regularizer = paddle.regularizer.L2Decay(0.0)


@training_mutant(MUTANTS, "validation data", "channel order")
def pixels_as_rgb(side: PaddleSide) -> None:
    """Pixels keep the order of the file, the mean its own."""
    preprocess = side.preprocess
    side.preprocess = lambda pixels: preprocess(pixels[..., ::-1])  # type: ignore[method-assign]


@training_mutant(MUTANTS, "metric", "void counted")
def void_counted_in_the_metric(side: PaddleSide) -> None:
    """Ignored pixels count as pixels of class 0."""
    confusion = side.confusion

    def counted(logits: Array, labels: Array) -> Array:
        return confusion(logits, np.where(labels == 255, 0, labels))

    side.confusion = counted  # type: ignore[method-assign]


@dataclass(frozen=True, kw_only=True)
class _MirrorsPixelsOnly(Augmentation):
    def __call__(self, pixels: Array, labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        image, target = super().__call__(pixels, labels, rng)
        return np.ascontiguousarray(image[:, :, ::-1]), target


@dataclass(frozen=True, kw_only=True)
class _PadsWithClassZero(Augmentation):
    def __call__(self, pixels: Array, labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        image, target = super().__call__(pixels, labels, rng)
        return image, np.where((target == 255) & ~image.any(0), 0, target)


@training_mutant(MUTANTS, "training data", "mirrored without labels")
def labels_not_mirrored(side: PaddleSide) -> None:
    """Pixels are mirrored without their labels."""
    _edit_augmentation(side, lambda own: _MirrorsPixelsOnly(**vars(own)))


@training_mutant(MUTANTS, "training data", "padding learnt")
def padding_learnt(side: PaddleSide) -> None:
    """Padded pixels are labelled as class 0, not ignored."""
    _edit_augmentation(side, lambda own: _PadsWithClassZero(**vars(own)))


@training_mutant(MUTANTS, "training data", "scales")
def other_scales(side: PaddleSide) -> None:
    """Pictures are scaled from 0.5 to 2, as PaddleSeg does."""
    scales = tuple(0.5 + step / 4 for step in range(7))
    _edit_augmentation(side, lambda own: replace(own, scales=scales))


@training_mutant(MUTANTS, "initialisation", "initial weights and initial biases")
def paddles_initial_values(side: PaddleSide) -> None:
    """Convolutions begin as Paddle's do, not as the family's."""
    side.initialise = lambda family: initialise(side.model, "paddleseg")  # type: ignore[method-assign]


def _edit_recipe(side: PaddleSide, edit: Callable[[Recipe], Recipe]) -> None:
    side.recipe = edit(side.recipe)


def _edit_trainer(side: PaddleSide, edit: Callable[[Any], Any]) -> None:
    make = side.make_trainer

    def edited(criterion: Any, **rates: Any) -> Any:
        trainer = make(criterion, **rates)
        edit(trainer)
        return trainer

    side.make_trainer = edited  # type: ignore[method-assign]


def _edit_augmentation(side: PaddleSide, edit: Callable[[Augmentation], Augmentation]) -> None:
    make = side.augmentation
    side.augmentation = lambda *crop: edit(make(*crop))  # type: ignore[method-assign]
