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

    def made(share: float, *, biased: bool) -> Numbers:
        """The statistics that keep `share` of themselves, the batch's variances biased or not."""
        found = {name: share * before[name] + (1 - share) * _batch(before[name], array) for name, array in ours.items()}
        return {
            name: _bias(share * before[name], array, theirs[name]) if biased and name.endswith("var") else array
            for name, array in found.items()
        }

    def hypothesis(share: float, *, biased: bool) -> Hypothesis:
        complement = ": its complement" if np.isclose(share, 1 - KEPT) else ""
        said = f"running statistics keep {share:.6g} of themselves, the reference's {KEPT:g}{complement}"
        variance = "running variances are the biased ones (divided by n), the reference's are unbiased (n - 1)"
        parts = {"momentum": said if share != KEPT else "", "biased variance": variance if biased else ""}
        fixes = {
            "momentum": f"momentum={KEPT:g} in Paddle's terms",
            "biased variance": "models_paddle.norm.unbias(network)",
        }
        chosen = [name for name, text in parts.items() if text]
        return Hypothesis(
            name=" and ".join(chosen),
            text="; and ".join(parts[name] for name in chosen),
            fix="; ".join(fixes[name] for name in chosen),
            repeat=lambda key: made(share, biased=biased),
        )

    read = _read_kept(before, ours, theirs)
    yield iter([hypothesis(KEPT, biased=True), hypothesis(1 - KEPT, biased=False)])
    yield iter([hypothesis(read, biased=False), hypothesis(read, biased=True)])


def _batch(before: Array, ours: Array) -> Array:
    """The statistics of the pass itself."""
    return np.asarray((ours - KEPT * before) / (1 - KEPT))


def _read_kept(before: Mapping[str, Array], ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float:
    """What the port's running means keep of themselves."""
    means = [name for name in ours if name.endswith("mean")]
    batch = np.concatenate([_batch(before[name], ours[name]) for name in means])
    old, new = (np.concatenate([side[name] for name in means]) for side in (before, theirs))
    change = old - batch
    return float(f"{(new - batch) @ change / (change @ change):.6g}")


def _bias(kept: Array, ours: Array, theirs: Array) -> Array:
    """The running variance with a biased batch's: of n values, n read off the layer's greatest change."""
    gained = ours - kept
    most = int(np.argmax(np.abs(gained)))
    share = (theirs - kept)[most] / gained[most]
    count = max(round(1 / (1 - share)), FEWEST) if share < 1 else FEWEST
    return np.asarray(kept + gained * (count - 1) / count)
