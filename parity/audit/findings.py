"""The differences, one a row: what is official, what PaddleSeg has, where the harness sees it, what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parity.audit import measures
from parity.audit.port import BothHeads
from parity.verdicts.report import Guilty, Report

Measure = Callable[[BothHeads], str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference. `accused` is a torch path that the report must accuse for it, "" where no forward shows it.

    `measure` gives its size, where the accusation's own figure does not say enough.
    """

    name: str
    official: str
    paddleseg: str
    meaning: str
    accused: str = ""
    site: str = ""
    measure: Measure | None = None

    def find(self, report: Report) -> Guilty | None:
        """The harness's accusation. Raises LookupError if it makes none where it must."""
        if not self.accused:
            return None
        for guilty in report.guilty:
            if guilty.path == self.accused and self.site in guilty.site:
                return guilty
        raise LookupError(f"{self.name}: the harness does not accuse {self.accused}; PaddleSeg may have changed")

    def size(self, port: BothHeads, guilty: Guilty | None) -> str:
        """Its measured size, in words."""
        return self.measure(port) if self.measure else guilty.reason if guilty else ""


FINDINGS = (
    Finding(
        name="stem",
        official="three 3×3 convolutions of 64, 64 and 128 channels",
        paddleseg="of 32, 32 and 64",
        accused="backbone.stem.0.conv",
        meaning="The first three layers and the two convolutions that read them have no counterpart of their shape. "
        "No copy, slice or transposition makes one network's weights the other's.",
    ),
    Finding(
        name="max-pooling after the stem",
        official="`ceil_mode=True`",
        paddleseg="`ceil_mode=False`",
        accused="backbone.pool",
        measure=measures.measure_pooling,
        meaning="Where the stem's output is even-sized, every later map is one row and column smaller. "
        "At 769×769 the stem's output is odd-sized, and both agree.",
    ),
    Finding(
        name="shortcut of a strided block",
        official="1×1 convolution of stride 2",
        paddleseg="2×2 average pooling, then 1×1 convolution of stride 1",
        accused="backbone.stage2.0",
        site="shortcut.conv",
        meaning="The same weight reads the mean of four pixels, not one of them. The shapes fit, so that a copy "
        "by name raises no error and gives another function.",
    ),
    Finding(
        name="activation after the head's concatenation",
        official="LeakyReLU of slope 0.01",
        paddleseg="ReLU",
        accused="head.fuse.activation",
        meaning="No weight shows it: a checkpoint loads completely and the logits differ.",
    ),
    Finding(
        name="activation of the auxiliary head",
        official="LeakyReLU of slope 0.01",
        paddleseg="ReLU",
        accused="auxiliary_head.fuse.activation",
        meaning="As above; it changes training, not evaluation, which leaves this head out.",
    ),
    Finding(
        name="slope of LeakyReLU",
        official="0.009999999776482582: InPlaceABN keeps it as a C float",
        paddleseg="0.01 as Paddle keeps it: a double in Paddle 3",
        measure=measures.measure_slope,
        meaning="Rounding, far below float32's. Only a comparison in float64 sees it.",
    ),
    Finding(
        name="bias before the head's last BatchNorm",
        official="none",
        paddleseg="`head.out.conv_bn_relu._conv.bias`",
        measure=measures.measure_bias,
        meaning="A BatchNorm follows: the bias can be set to 0 one way, and subtracted from the running mean the "
        "other way. In training its gradient is zero, but weight decay and its first value still act.",
    ),
    Finding(
        name="dropout",
        official="Dropout2d: whole channels",
        paddleseg="Dropout: single elements",
        accused="head.dropout",
        site="attributes",
        measure=measures.measure_dropout,
        meaning="Nothing in evaluation. In training the regulariser is another one.",
    ),
    Finding(
        name="resize of logits",
        official="`align_corners=True`",
        paddleseg="`align_corners=False` by default, a parameter of the model",
        measure=measures.measure_corners,
        meaning="Set `align_corners: True` in the configuration; no weight is concerned.",
    ),
    Finding(
        name="online hard example mining",
        official="threshold sought on a map subsampled eight times, `<=`, 100 000 pixels of full size kept at least",
        paddleseg="threshold sought on all pixels, `<`, 10 000 kept at least",
        measure=measures.measure_ohem,
        meaning="Another loss: a training that continues from converted weights is not the official one.",
    ),
    Finding(
        name="denominator of the loss",
        official="pixels that count",
        paddleseg="the same plus a constant: 1e-8 (cross-entropy), 1e-5 (mining), of the mean over all pixels",
        measure=measures.measure_denominator,
        meaning="Below float32's rounding unless nearly every pixel is ignored. Where all are, PaddleSeg's loss is 0, "
        "the official one NaN.",
    ),
    Finding(
        name="running variance",
        official="unbiased, n / (n − 1)",
        paddleseg="biased, as in all of Paddle",
        measure=measures.measure_variance,
        meaning="Statistics of a training drift apart; those of converted weights do not change in evaluation. "
        "`models_paddle.norm.unbias(network)` gives a network torch's.",
    ),
)
