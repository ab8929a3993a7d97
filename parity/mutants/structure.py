"""Mistakes in how layers are chosen and joined."""

from __future__ import annotations

from typing import Any

from models_paddle import paddle
from parity.mutants.mutant import Mutant, Port, mutant

MUTANTS: list[Mutant] = []
BLOCK = "backbone.stage3.1"
nn = paddle.nn


@mutant(MUTANTS, "head.reduce.activation", cause="activation")
def relu_for_leaky_relu(port: Port) -> None:
    """ReLU in the head, where InPlaceABN has LeakyReLU."""
    port.replace("head.reduce.activation", nn.ReLU())


@mutant(MUTANTS, "backbone.*activation", cause="activation")
def leaky_relu_for_relu(port: Port) -> None:
    """LeakyReLU throughout the backbone."""
    for path in port.matching("backbone.*activation"):
        port.replace(path, nn.LeakyReLU(0.01))


@mutant(MUTANTS, "auxiliary_head.fuse.activation", cause="slope")
def slope_of_a_tenth(port: Port) -> None:
    """A slope of 0.1 for 0.01."""
    port.replace("auxiliary_head.fuse.activation", nn.LeakyReLU(0.1))


@mutant(MUTANTS, BLOCK, cause="term missing")
def missing_residual(port: Port) -> None:
    """One block returns its convolutions' result without the shortcut."""
    block = port[BLOCK]
    block.forward = lambda features: block.activation(_expanded(block, features))


@mutant(MUTANTS, BLOCK, cause="activation before the sum")
def activation_before_sum(port: Port) -> None:
    """One block activates before it adds its shortcut."""
    block = port[BLOCK]
    block.forward = lambda features: block.residual(block.activation(_expanded(block, features)), features)


@mutant(MUTANTS, BLOCK, cause="activation missing")
def no_activation_after_sum(port: Port) -> None:
    """One block returns the sum as it is."""
    block = port[BLOCK]
    block.forward = lambda features: block.residual(_expanded(block, features), features)


@mutant(MUTANTS, "head.concatenate", cause="order of concatenation")
def concatenation_order(port: Port) -> None:
    """The refined features come first, the backbone's second."""
    port["head.concatenate"].forward = lambda left, right: paddle.concat([right, left], 1)


@mutant(MUTANTS, "head", cause="layer left out")
def refinement_skipped(port: Port) -> None:
    """The attention's result is fused without the convolution after it."""
    head = port["head"]

    def forward(features: Any) -> Any:
        attended = head.reduce(features)
        for _ in range(head.recurrence):
            attended = head.attention(attended)
        return head.classifier(head.dropout(head.fuse(head.concatenate(features, attended))))

    head.forward = forward


@mutant(MUTANTS, "head", cause="number of passes")
def attention_skipped(port: Port) -> None:
    """R = 0, the default of the official `Seg_Model`."""
    port["head"].recurrence = 0


@mutant(MUTANTS, "head", cause="probabilities for logits")
def probabilities_for_logits(port: Port) -> None:
    """The head ends in a softmax."""
    forward = port["head"].forward
    port["head"].forward = lambda features: nn.functional.softmax(forward(features), 1)


@mutant(MUTANTS, "", cause="another output")
def heads_swapped(port: Port) -> None:
    """The auxiliary logits are returned first."""
    forward = port.network.forward
    port.network.forward = lambda images: forward(images)[::-1]


@mutant(MUTANTS, "", cause="outputs missing")
def auxiliary_head_left_out(port: Port) -> None:
    """The port returns the main logits alone."""
    network = port.network
    network.forward = lambda images: network.head(network.backbone(images)[1])


@mutant(MUTANTS, "", cause="outputs summed")
def auxiliary_logits_added(port: Port) -> None:
    """The main logits are returned with 0.4 times the auxiliary ones, as losses are summed."""
    network = port.network
    forward = network.forward

    def summed(images: Any) -> tuple[Any, Any]:
        logits, auxiliary = forward(images)
        return logits + 0.4 * auxiliary, auxiliary

    network.forward = summed


@mutant(MUTANTS, "", cause="transposed in height and width")
def height_and_width_transposed(port: Port) -> None:
    """Pictures are handed to the backbone as (N, 3, W, H)."""
    network = port.network

    def forward(images: Any) -> tuple[Any, Any]:
        auxiliary_features, features = network.backbone(images.transpose([0, 1, 3, 2]))
        return network.head(features), network.auxiliary_head(auxiliary_features)

    network.forward = forward


@mutant(MUTANTS, "backbone", cause="another layer's output")
def auxiliary_tap_one_block_early(port: Port) -> None:
    """The auxiliary head is fed the last block but one of stage 3."""
    backbone = port["backbone"]
    tapped: list[Any] = []
    last = list(port["backbone.stage3"].children())[-1]
    block, forward = last.forward, backbone.forward

    def tap(features: Any) -> Any:
        tapped[:] = [features]
        return block(features)

    last.forward = tap
    backbone.forward = lambda images: (forward(images)[1], tapped.pop())[::-1]


@mutant(MUTANTS, "backbone.pool", cause="ceil_mode")
def pooling_rounds_down(port: Port) -> None:
    """`ceil_mode` is lost, which shows only where the stem's output is even-sized."""
    port.replace("backbone.pool", nn.MaxPool2D(3, 2, 1))


@mutant(MUTANTS, "head.dropout", cause="dropout left on")
def dropout_left_on(port: Port) -> None:
    """Dropout also in evaluation mode."""
    port["head.dropout"].forward = lambda features: nn.functional.dropout2d(features, 0.1, training=True)


@mutant(MUTANTS, "head.dropout", cause="dropout downscales")
def dropout_downscales(port: Port) -> None:
    """Paddle's `downscale_in_infer`: evaluation mode multiplies by the share that training keeps."""
    port.replace("head.dropout", nn.Dropout(port["head.dropout"].p, mode="downscale_in_infer"))


@mutant(MUTANTS, "auxiliary_head.dropout", cause="dropout rate")
def dropout_rate(port: Port) -> None:
    """Half of the channels dropped, where the original drops a tenth."""
    port["auxiliary_head.dropout"].p = 0.5


def _expanded(block: Any, features: Any) -> Any:
    return block.expand(block.spatial(block.reduce(features)))
