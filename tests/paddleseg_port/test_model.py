"""The port as a PaddleSeg model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
import torch
from paddle import nn

from converter.errors import InputError
from models_paddle import build_ccnet
from models_paddle.norm import UnbiasedBatchNorm
from paddleseg_port.model import CCNetPort, load_model, restore_norm_choice
from paddleseg_port.resize import resize_logits
from recipe.interpolation import interpolation_matrix

IMAGES = np.random.default_rng(0).standard_normal((1, 3, 33, 49)).astype(np.float32)


def small(**options: object) -> CCNetPort:
    return CCNetPort(num_classes=5, depth=18, **options)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(65, 97), (64, 30), (9, 13), (1, 5)])
def test_resize_is_bilinear(align_corners: bool, size: tuple[int, int]) -> None:
    logits = np.random.default_rng(0).standard_normal((2, 3, 9, 13))
    actual = resize_logits(
        paddle.to_tensor(logits), paddle.zeros([1, 3, *size], "float64"), align_corners=align_corners
    ).numpy()
    rows, columns = (
        interpolation_matrix(a, b, align_corners=align_corners) for a, b in zip((9, 13), size, strict=True)
    )
    assert np.abs(actual - rows @ logits @ columns.T).max() <= 1e-15
    if size[0] > 9:
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(logits), size, mode="bilinear", align_corners=align_corners
        )
        assert np.abs(actual - expected.numpy()).max() <= 1e-13


def test_outputs_are_the_twins_at_the_images_size() -> None:
    port, twin = small(), build_ccnet("official", num_classes=5, depth=18)
    twin.set_state_dict(port.state_dict())
    for model in (port, twin):
        model.eval()
    images = paddle.to_tensor(IMAGES)
    (logits,) = port(images)
    expected = resize_logits(twin(images)[0], images, align_corners=True)
    assert logits.shape == [1, 5, 33, 49]
    assert np.array_equal(logits.numpy(), expected.numpy())


def test_training_has_the_auxiliary_logits_too() -> None:
    port = small()
    port.train()
    assert [output.shape for output in port(paddle.to_tensor(np.repeat(IMAGES, 2, 0)))] == [[2, 5, 33, 49]] * 2


@pytest.mark.parametrize(("choice", "unbiased"), [("unbiased", True), ("biased", False)])
def test_batch_norm_choice(choice: str, unbiased: bool) -> None:
    port = small(batch_norm=choice)
    norms = [layer for layer in port.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    assert len(norms) > 30
    assert all(isinstance(norm, UnbiasedBatchNorm) == unbiased for norm in norms)


@pytest.mark.parametrize(("choice", "unbiased"), [("unbiased", True), ("biased", False)])
def test_synchronised_batch_norm_keeps_the_choice(choice: str, unbiased: bool) -> None:
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(small(batch_norm=choice))
    restore_norm_choice(synchronised)
    norms = [layer for layer in synchronised.sublayers() if isinstance(layer, nn.SyncBatchNorm)]
    assert len(norms) > 30
    assert all(type(norm).__name__.startswith("Unbiased") == unbiased for norm in norms)


def test_dropout_is_the_familys_or_as_given() -> None:
    assert [small().head.dropout.p, small(dropout_prob=0.0).auxiliary_head.dropout.p] == [0.1, 0.0]


@pytest.mark.parametrize(
    "mistake",
    [{"in_channels": 4}, {"family": "imagenet"}, {"batch_norm": "none"}, {"family": "nobody"}, {"recurrence": -1}],
)
def test_what_cannot_be_built_is_refused(mistake: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(mistake.values())))):
        small(**mistake)


def save(model: nn.Layer, path: Path, part: str = "") -> Path:
    state = {name: value.numpy() for name, value in model.state_dict().items() if name.startswith(part)}
    paddle.save(state, str(path))
    return path


def test_pretrained_whole_and_backbone(tmp_path: Path) -> None:
    source = small()
    whole, backbone = save(source, tmp_path / "whole.pdparams"), save(source, tmp_path / "b.pdparams", "backbone.")
    for path, same_head in ((whole, True), (backbone, False)):
        port = small(pretrained=str(path))
        assert np.array_equal(port.backbone.stem[0].conv.weight.numpy(), source.backbone.stem[0].conv.weight.numpy())
        assert np.array_equal(port.head.reduce.conv.weight.numpy(), source.head.reduce.conv.weight.numpy()) == same_head


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """PaddleSeg would load the rest, with a warning."""
    port = small()
    before = port.head.classifier.bias.numpy().copy()
    other = save(CCNetPort(num_classes=6, depth=18), tmp_path / "six.pdparams")
    with pytest.raises(InputError, match=r"six.pdparams: does not fit CCNetPort.*\(6,.*\(5,"):
        load_model(port, other)
    with pytest.raises(InputError, match="missing"):
        load_model(port, save(port, tmp_path / "part.pdparams", "backbone."))
    assert np.array_equal(port.head.classifier.bias.numpy(), before)
