"""Mistakes in running statistics: another variance or another momentum, read off one pass in train mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from parity.certify.causes.engine import Array, Hypothesis, Numbers

KEPT = 0.9
"""Of a running statistic at each pass, in both frameworks' own terms 0.1 and 0.9."""
FEWEST = 2
"""Values that a batch's variance is of."""


def propose_statistics(
    before: Mapping[str, Array], ours: Mapping[str, Array], theirs: Mapping[str, Array]
) -> Iterator[Iterator[Hypothesis]]:
    """Levels of mistakes in the statistics after one pass: the reference's `ours`, the port's `theirs`."""

    def biased() -> Numbers:
        return {
            name: _bias(before[name], array, theirs[name]) if name.endswith("var") else array
            for name, array in ours.items()
        }

    def kept(share: float) -> Numbers:
        return {
            name: share * before[name] + (1 - share) * (array - KEPT * before[name]) / (1 - KEPT)
            for name, array in ours.items()
        }

    yield iter(
        [
            Hypothesis(
                name="biased variance",
                text="running variances are the biased ones (divided by n), the reference's are unbiased (n - 1)",
                fix="models_paddle.norm.unbias(network)",
                repeat=lambda key: biased(),
            ),
            Hypothesis(
                name="momentum's complement",
                text=f"running statistics keep {1 - KEPT:g} of themselves, the reference's {KEPT:g}",
                fix=f"momentum={KEPT:g} in Paddle's terms",
                repeat=lambda key: kept(1 - KEPT),
            ),
        ]
    )


def _bias(before: Array, ours: Array, theirs: Array) -> Array:
    """The running variance of a biased batch's: of n values, n read off the layer's greatest change."""
    gained = ours - KEPT * before
    most = int(np.argmax(np.abs(gained)))
    share = (theirs - KEPT * before)[most] / gained[most]
    count = max(round(1 / (1 - share)), FEWEST) if share < 1 else FEWEST
    return np.asarray(KEPT * before + gained * (count - 1) / count)
