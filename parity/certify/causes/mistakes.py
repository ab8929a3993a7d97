"""Mistakes in a loss, as data: what each is called, and its edit of the reference's criterion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from models_torch.losses import OhemCrossEntropy
from parity.certify.causes.criteria import (
    Below,
    Edit,
    add_epsilon,
    before_mean,
    by_picture,
    divide,
    mine,
    mine_both,
    relabel,
    resize_labels,
    resize_otherwise,
    set_mining,
    smooth,
)
from recipe.ohem import Mining

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)
USUAL = (1e-5, 1e-8)
"""Of them, what is tried together with another mistake."""
THRESHOLDS = (0.5, 0.6, 0.65, 0.75, 0.8, 0.9, 0.95)
KEPT = (10_000, 50_000, 131_072, 200_000)
"""Of these settings, those that implementations come with."""
OWN_MINING = "threshold 0.7 on the map subsampled 8 times, min_kept 100000 // 64 of it"
SMOOTHING = (0.05, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """An edit of a criterion at one step. One that is `usual` is tried together with others."""

    step: str
    name: str
    text: str
    fix: str
    edit: Edit
    usual: bool = False


def list_mistakes(mining: bool) -> Iterator[Mistake]:
    yield Mistake(
        step="size",
        name="align_corners",
        text="logits are resized with the other align_corners",
        fix="give align_corners as the family has it to the resize of the logits",
        edit=resize_otherwise(paddles=False),
        usual=True,
    )
    yield Mistake(
        step="size",
        name="align_corners",
        text="logits are resized with the other align_corners",
        fix="give align_corners as the family has it to the resize of the logits",
        edit=resize_otherwise(paddles=True),
        usual=True,
    )
    yield Mistake(
        step="size",
        name="labels resized",
        text="labels are brought to the logits' size, the reference resizes the logits",
        fix="resize the logits to the labels' size, bilinear",
        edit=resize_labels,
        usual=True,
    )
    yield from _of_labels()
    yield from _of_means()
    yield Mistake(
        step="logits",
        name="softmax twice",
        text="the logits go through a softmax before the cross-entropy, which has its own",
        fix="give the logits to the cross-entropy as they are",
        edit=before_mean(lambda logits, labels: (torch.softmax(logits, 1), labels)),
    )
    for share in SMOOTHING:
        yield Mistake(
            step="logits",
            name="label smoothing",
            text=f"labels are smoothed by {share:g}, the reference's are not",
            fix="leave label smoothing out",
            edit=smooth(share),
        )
    yield from _of_mining() if mining else _of_none_mined()


def _of_labels() -> Iterator[Mistake]:
    for number, what in ((0, "class 0"), (-1, "the last class")):
        yield Mistake(
            step="labels",
            name="ignore index",
            text=f"{what} is ignored too, the reference ignores 255 alone",
            fix="ignore_index=255",
            edit=relabel(number, None),
            usual=not number,
        )
        yield Mistake(
            step="labels",
            name="void counted",
            text=f"pixels labelled 255 count as {what}, the reference ignores them",
            fix="ignore_index=255",
            edit=relabel(None, number),
            usual=not number,
        )


def _of_means() -> Iterator[Mistake]:
    for epsilon in EPSILONS:
        for by_share in (False, True):
            what = "share of labelled pixels" if by_share else "number of pixels"
            said = "as PaddleSeg's does" if by_share else "the reference's by the number alone"
            yield Mistake(
                step="mean",
                name="epsilon",
                text=f"the mean divides by the {what} + {epsilon:g}, {said}",
                fix="divide by the number of labelled pixels, without an epsilon",
                edit=add_epsilon(epsilon, by_share=by_share),
                usual=epsilon in USUAL,
            )
    yield Mistake(
        step="mean",
        name="epsilon",
        text="the mean divides by the share of labelled pixels + 1e-08 in float32, as PaddleSeg's does",
        fix="divide by the number of labelled pixels, without an epsilon",
        edit=divide(lambda count, all_: all_ * float(np.float32(float(count) / all_) + np.float32(1e-8))),
        usual=True,
    )
    yield Mistake(
        step="mean",
        name="mean over all pixels",
        text="the mean divides by the number of all pixels, the reference's by those that are counted alone",
        fix="divide by the number of counted pixels",
        edit=divide(lambda count, all_: all_),
        usual=True,
    )
    yield Mistake(
        step="mean",
        name="sum for mean",
        text="the loss is the sum over the pixels, the reference's the mean",
        fix="divide by the number of labelled pixels",
        edit=divide(lambda count, all_: 1.0),
        usual=True,
    )
    yield Mistake(
        step="mean",
        name="mean by picture",
        text="the loss is the mean of each picture's mean, the reference's over all pixels of the batch",
        fix="divide the sum over the batch by its number of labelled pixels",
        edit=by_picture,
        usual=True,
    )


def _of_none_mined() -> Iterator[Mistake]:
    yield Mistake(
        step="mining",
        name="OHEM for cross-entropy",
        text="the main loss counts hard pixels only (OHEM), the reference's all",
        fix="use plain cross-entropy, or --recipe ohem if that is what is wanted",
        edit=lambda criterion: setattr(criterion, "select", OhemCrossEntropy(Mining()).select),
    )


def _of_mining() -> Iterator[Mistake]:
    def mistake(name: str, text: str, fix: str, edit: Edit, *, usual: bool = False) -> Mistake:
        return Mistake(step="mining", name=name, text=text, fix=fix, edit=edit, usual=usual)

    yield mistake(
        "cross-entropy for OHEM",
        "the main loss counts all pixels, the reference's hard ones only (OHEM)",
        "mine hard pixels, or --recipe cross-entropy if that is what is wanted",
        lambda criterion: setattr(criterion, "select", lambda logits, labels: labels),
        usual=True,
    )
    yield mistake(
        "OHEM by <",
        "OHEM keeps pixels below its threshold, the reference those at it too",
        "compare by <=",
        mine(lambda own: Below(**vars(own))),
    )
    yield mistake(
        "OHEM min_kept",
        "OHEM's min_kept is not enforced: pixels up to the threshold are kept, however few",
        "raise the threshold to the min_kept-th smallest probability",
        set_mining(min_kept=0),
        usual=True,
    )
    yield mistake(
        "OHEM min_kept",
        "OHEM's min_kept is not divided for the subsampled map, the reference's is by 64",
        "divide min_kept by the square of the factor",
        mine(lambda own: replace(own, min_kept=own.min_kept * own.factor**2)),
    )
    yield mistake(
        "OHEM at full size",
        "OHEM's threshold is sought among all pixels, the reference's on the map subsampled 8 times",
        OWN_MINING,
        set_mining(factor=1),
        usual=True,
    )
    yield mistake(
        "auxiliary loss mined",
        "OHEM mines the auxiliary loss too, the reference's counts all pixels there",
        "use plain cross-entropy for the auxiliary logits",
        mine_both,
    )


def list_minings() -> Iterator[Mistake]:
    """Other numbers in the mining."""
    for threshold in THRESHOLDS:
        yield Mistake(
            step="mining",
            name="OHEM threshold",
            text=f"OHEM's threshold is {threshold:g}, the reference's {Mining().threshold:g}",
            fix=f"threshold {Mining().threshold:g}",
            edit=set_mining(threshold=threshold),
        )
    for kept in KEPT:
        for factor, where in ((Mining().factor, ""), (1, " and its threshold sought among all pixels")):
            yield Mistake(
                step="mining",
                name="OHEM min_kept",
                text=f"OHEM's min_kept is {kept}{where}, the reference's 100000 // 64 of the subsampled map",
                fix=OWN_MINING,
                edit=set_mining(min_kept=kept, factor=factor),
            )
