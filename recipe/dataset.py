"""The training pictures as a sequence that either framework's loader reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recipe.augmentation import Augmentation

Array = np.ndarray[Any, Any]
Decode = Callable[[Any], tuple[Array, Array]]


class TrainingSet:
    """`length` augmented samples; number i is a function of `seed` and i alone, whoever reads it and when.

    Every sample is seen once, in random order, before one is seen again. `decode` gives a sample's pixels
    (H, W, 3) uint8 RGB and train ids (H, W) uint8.
    """

    def __init__(
        self, samples: Sequence[Any], decode: Decode, augmentation: Augmentation, *, length: int, seed: int = 0
    ) -> None:
        self.samples, self.decode, self.augmentation = samples, decode, augmentation
        self.length, self.seed = length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        """Image (3, H, W) float32 and labels (H, W) int64. Raises IndexError beyond the end."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        epoch, place = divmod(index, len(self.samples))
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(self.samples))
        pixels, labels = self.decode(self.samples[order[place]])
        return self.augmentation(pixels, labels, np.random.default_rng([self.seed, index, 1]))
