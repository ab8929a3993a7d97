"""The port as PaddleSeg calls a model: logits at the images' size, and the auxiliary ones while training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from paddle import Tensor, nn

from converter.errors import InputError
from converter.files import Tensors, read_checkpoint
from families import check_size, get_family
from models_paddle.ccnet import CCNet
from models_paddle.initialise import initialise
from models_paddle.norm import unbias
from models_paddle.weights import load_weights
from paddleseg_port.files import find_file
from paddleseg_port.resize import resize_logits

NormChoice = Literal["unbiased", "biased"]


class CCNetPort(CCNet):
    """CCNet of a family, for PaddleSeg's configs. Its names are those of a converted `.pdparams`.

    It begins as the family's networks do, not as Paddle's.

    Args:
        num_classes: Classes, K.
        family: Whose architecture; `official` by default.
        depth: 50 or 101; 18 is a narrow network for quick tests.
        recurrence: Passes of attention. No checkpoint contains it.
        align_corners: Of the resize of logits; the family's own by default.
        batch_norm: `unbiased` keeps the running variance as torch does, `biased` as Paddle does.
        dropout_prob: Of whole channels before the classifiers; the family's own by default.
        pretrained: A converted `.pdparams`: the whole network, or a backbone.
        in_channels: 3; PaddleSeg's builder passes it.

    Raises ValueError for a size or family that cannot be built, InputError for weights that do not fit.
    """

    def __init__(
        self,
        num_classes: int = 19,
        family: str = "official",
        depth: int = 101,
        recurrence: int = 2,
        align_corners: bool | None = None,
        batch_norm: NormChoice = "unbiased",
        dropout_prob: float | None = None,
        pretrained: str | None = None,
        in_channels: int = 3,
    ) -> None:
        chosen = get_family(family)
        check_size(num_classes=num_classes, recurrence=recurrence, depth=depth)
        if in_channels != 3 or not chosen.architecture.heads or batch_norm not in ("unbiased", "biased"):
            raise ValueError(
                f"in_channels {in_channels}, family {family}, batch_norm {batch_norm}: "
                "takes 3 channels, a family with heads, and batch_norm unbiased or biased"
            )
        architecture = chosen.architecture
        if dropout_prob is not None:
            architecture = replace(architecture, dropout_rate=dropout_prob)
        super().__init__(architecture, num_classes=num_classes, recurrence=recurrence, depth=depth)
        initialise(self, family)
        self.align_corners = chosen.preprocessing.align_corners if align_corners is None else align_corners
        self.batch_norm = batch_norm
        if batch_norm == "biased":
            use_plain_norm(self)
        if pretrained is not None:
            load_pretrained(self, find_file(pretrained))

    def forward(self, images: Tensor) -> list[Tensor]:  # type: ignore[override]
        """Images (N, 3, H, W), preprocessed -> [logits (N, K, H, W)], and auxiliary logits in train mode."""
        auxiliary_features, features = self.backbone(images)
        outputs = [self.head(features)]
        if self.training:
            outputs.append(self.auxiliary_head(auxiliary_features))
        return [resize_logits(output, images, align_corners=self.align_corners) for output in outputs]


def use_plain_norm(model: nn.Layer) -> None:
    """Make every BatchNorm of `model` Paddle's own, in place: the biased running variance."""
    for layer in model.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer.__class__ = nn.BatchNorm2D


def restore_norm_choice(model: nn.Layer) -> None:
    """Give a port its choice back after PaddleSeg has made its BatchNorm a synchronised one."""
    if getattr(model, "batch_norm", "biased") == "unbiased":
        unbias(model)


def load_pretrained(model: nn.Layer, path: Path) -> None:
    """Load the whole network or, if the file has nothing else, the backbone. Raises InputError unless all fits."""
    tensors = read_checkpoint(path).tensors
    if tensors and all(name.startswith("backbone.") for name in tensors):
        load_exactly(model.backbone, {name.removeprefix("backbone."): value for name, value in tensors.items()}, path)
    else:
        load_exactly(model, tensors, path)


def load_model(model: nn.Layer, path: Path) -> None:
    """Load every tensor of `model` from a `.pdparams`. Raises InputError unless names and shapes are the model's."""
    load_exactly(model, read_checkpoint(path).tensors, path)


def load_exactly(model: nn.Layer, tensors: Tensors, path: Path) -> None:
    """`load_weights`, with the file in the error: PaddleSeg itself leaves out what does not fit, with a warning."""
    try:
        load_weights(model, tensors)
    except ValueError as error:
        raise InputError(f"{path}: does not fit {type(model).__name__}: {error}; nothing was loaded") from None
