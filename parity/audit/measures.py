"""What PaddleSeg's criteria, resize, pooling, norm and dropout do that the official ones do not, on equal inputs."""

from __future__ import annotations

import numpy as np
import torch
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss

from families.architecture import FLOAT32_LEAKY_SLOPE
from models_paddle import paddle
from models_torch.losses import IGNORE_INDEX, OhemCrossEntropy, resize_logits
from paddleseg_port.compat import left_dtype_decides
from parity.audit.port import BothHeads
from recipe.ohem import Mining

SIZE = (769, 769)
SHARE_IGNORED, SHARE_WRONG = 0.1, 0.05
SURE = 5.0
"""Factor on logits, which makes most pixels easy."""
THRESHOLD = 0.7
PADDLESEG_KEPT, OFFICIAL_KEPT = 10_000, 100_000
"""Pixels that the two criteria keep at least, as their configurations have it."""


def make_logits(seed: int = 0, *, size: tuple[int, int] = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth logits (1, 19, h, w), float32, at an eighth of `size`, and labels (1, H, W), mostly their own argmax."""
    generator = np.random.default_rng(seed)
    height, width = (-(-extent // 8) for extent in size)
    coarse = torch.from_numpy(generator.normal(0, 3, (1, 19, height // 8, width // 8)).astype(np.float32))
    logits = resize_logits(coarse, (height, width), align_corners=True)
    labels = resize_logits(logits, size, align_corners=True).argmax(1)
    other, ignored = generator.random(labels.shape) < SHARE_WRONG, generator.random(labels.shape) < SHARE_IGNORED
    labels[torch.from_numpy(other)] = torch.from_numpy(generator.integers(0, 19, int(other.sum())))
    labels[torch.from_numpy(ignored)] = IGNORE_INDEX
    return logits, labels


def measure_pooling(port: BothHeads) -> str:
    """Output sizes of both poolings on a stage of even and of odd size."""
    official = torch.nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
    rows = []
    for size in (64, 65):
        theirs = tuple(port.backbone.pool2d_max(paddle.zeros([1, 1, size, size])).shape)[2]
        rows.append(f"{size} becomes {official(torch.zeros(1, 1, size, size)).shape[2]}, not {theirs}")
    return "; ".join(rows)


def measure_corners(_: BothHeads) -> str:
    """How far the same logits are apart once resized, and how many pixels change their class."""
    logits = make_logits()[0]
    official, theirs = (resize_logits(logits, SIZE, align_corners=aligned) for aligned in (True, False))
    changed = (official.argmax(1) != theirs.argmax(1)).float().mean().item()
    return f"up to {(official - theirs).abs().max().item():.2g} in logits; {changed:.1%} of pixels change class"


def measure_bias(port: BothHeads) -> str:
    """How many biases there are, and their greatest value in a fresh network."""
    bias = port.head.out.conv_bn_relu._conv.bias
    return f"{bias.shape[0]} parameters, up to {float(bias.abs().max()):.2g} in a fresh network"


def measure_slope(port: BothHeads) -> str:
    """The slope with which Paddle computes in float64."""
    slope = -float(port.head.conva._relu(paddle.to_tensor([-1.0], dtype="float64")))
    return f"{abs(slope - FLOAT32_LEAKY_SLOPE) / FLOAT32_LEAKY_SLOPE:.1e} of the slope"


def measure_ohem(_: BothHeads) -> str:
    """Both criteria's main loss on the same resized logits of a network that is sure of most pixels."""
    logits, labels = make_logits()
    resized = SURE * resize_logits(logits, SIZE, align_corners=True)
    criterion = OhemCrossEntropy(Mining(threshold=THRESHOLD, min_kept=OFFICIAL_KEPT))
    selected = criterion.select(resized, labels)
    official = float(criterion.mean_loss(resized, selected))
    kept = int((selected != IGNORE_INDEX).sum())
    with left_dtype_decides():
        criterion = OhemCrossEntropyLoss(thresh=THRESHOLD, min_kept=PADDLESEG_KEPT, ignore_index=IGNORE_INDEX)
        theirs = float(criterion(paddle.to_tensor(resized.numpy()), paddle.to_tensor(labels.numpy())))
    return f"{official:.5f} over {kept} pixels, not {theirs:.5f}"


def measure_denominator(_: BothHeads) -> str:
    """The same mean with PaddleSeg's constant in its denominator, for a tenth ignored and for one pixel kept."""
    logits, labels = make_logits()
    resized = resize_logits(logits, SIZE, align_corners=True)
    sparse = torch.full_like(labels, IGNORE_INDEX)
    sparse[0, 3, 3] = 7
    parts = []
    for what, target in (("a tenth of pixels ignored", labels), ("all but one ignored", sparse)):
        official = torch.nn.functional.cross_entropy(resized.double(), target, ignore_index=IGNORE_INDEX).item()
        with left_dtype_decides():
            theirs = CrossEntropyLoss(ignore_index=IGNORE_INDEX)(
                paddle.to_tensor(resized.double().numpy()), paddle.to_tensor(target.numpy())
            )
        parts.append(f"{abs(float(theirs) - official) / official:.1e} with {what}")
    return "relative, " + ", ".join(parts)


def measure_variance(_: BothHeads) -> str:
    """Running variances after one batch from equal states."""
    batch = np.random.default_rng(0).normal(0, 1, (2, 4, 5, 5))
    official = torch.nn.BatchNorm2d(4, momentum=0.1).double()
    official(torch.from_numpy(batch))
    theirs = paddle.nn.BatchNorm2D(4, momentum=0.9)
    theirs.to(dtype="float64")
    theirs(paddle.to_tensor(batch))
    assert official.running_var is not None
    update = official.running_var.numpy() - 0.9
    ratio = float(np.mean((theirs._variance.numpy() - 0.9) / update))
    return f"an update is {ratio:.4f} of torch's with 50 values a channel, (n - 1) / n"


def measure_dropout(port: BothHeads) -> str:
    """What share of channels each drops as a whole, and of elements, at the published rate."""
    paddle.seed(0)
    torch.manual_seed(0)
    layer = port.head.out.dropout
    layer.train()
    theirs = layer(paddle.ones([1, 512, 8, 8])).numpy() == 0
    layer.eval()
    official = torch.nn.functional.dropout2d(torch.ones(1, 512, 8, 8), layer.p).numpy() == 0
    whole = [f"{mask.all((2, 3)).mean():.1%} of channels" for mask in (official, theirs)]
    return f"{whole[0]} dropped as a whole, not {whole[1]}"
