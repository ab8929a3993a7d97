"""Conventions of a port's outputs are no mistakes, and are said in one line; what is no convention is said in words."""

from __future__ import annotations

from types import MethodType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as tf

from models_paddle import paddle
from parity.engine.conventions import Convention
from parity.engine.harness import compare_models
from parity.pairing.match import match_port
from tests.parity.small_twins import INPUTS, make_twins

pnn, pf = paddle.nn, paddle.nn.functional

RESIZED = "outputs compared as the {} gives them: resized to the images, align_corners {}"
IN_TRAINING = "the auxiliary outputs were compared in train mode, its norms and dropout evaluating"
IMAGES = {
    "odd": np.random.default_rng(0).standard_normal((2, 3, 33, 25)),
    "even": np.random.default_rng(1).standard_normal((2, 3, 24, 40)),
}


class TorchSegmenter(nn.Module):
    """Logits at a quarter, and auxiliary ones at half, of the images' size; `finish` makes the outputs of them."""

    def __init__(self, finish):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.top = nn.Sequential(nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU())
        self.head, self.auxiliary, self.finish = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 1), finish

    def forward(self, images):
        features = self.body(images)
        return self.finish(self.head(self.top(features)), self.auxiliary(features), images)


class PaddleSegmenter(pnn.Layer):
    """The same; `finish` is given the network, and the auxiliary head as a function that may not be called."""

    def __init__(self, finish):
        super().__init__()
        self.body = pnn.Sequential(pnn.Conv2D(3, 6, 3, 2, 1), pnn.BatchNorm2D(6), pnn.ReLU())
        self.top = pnn.Sequential(pnn.Conv2D(6, 6, 3, 2, 1), pnn.ReLU())
        self.head, self.auxiliary, self.finish = pnn.Conv2D(6, 4, 1), pnn.Conv2D(6, 4, 1), finish

    def forward(self, images):
        features = self.body(images)
        return self.finish(self, self.head(self.top(features)), lambda: self.auxiliary(features), images)


def plain(main, auxiliary, images):
    return main, auxiliary


def compare(port, reference=plain, **settings):
    torch.manual_seed(0)
    ours, theirs = TorchSegmenter(reference), PaddleSegmenter(port)
    pairing, weights = match_port(ours, theirs, None)
    return compare_models(ours, theirs, IMAGES, pairs=pairing, weights=weights, **settings)


def resize(logits, images, corners=False, mode="bilinear"):
    return pf.interpolate(logits, images.shape[2:], mode=mode, align_corners=corners)


@pytest.mark.parametrize("corners", [False, True])
def test_paddlesegs_convention(corners):
    def port(network, main, auxiliary, images):
        outputs = [main, auxiliary()] if network.training else [main]
        return [resize(one, images, corners) for one in outputs]

    report = compare(port)
    assert report, report.summary
    assert report.notes == (RESIZED.format("port", str(corners).lower()), IN_TRAINING)
    assert {(layer.path, layer.output) for layer in report.layers} >= {("", 0), ("", 1), ("auxiliary", 0)}


@pytest.mark.parametrize("corners", [False, True])
def test_the_resize_is_the_reference_users(corners):
    """Where it is known how they resize; of outputs that differ anyway, nothing is said."""

    def port(network, main, auxiliary, images):
        return [resize(one, images, corners) for one in (main, auxiliary())]

    assert compare(port, align_corners=corners)
    report = compare(port, align_corners=not corners)
    assert not report
    (problem,) = report.problems
    assert problem.startswith(f"the port resizes its logits to the images with align_corners {str(corners).lower()}")
    assert compare(port, align_corners=not corners, accept=["align_corners"])

    wrong = compare(lambda *arguments: [2 * one for one in port(*arguments)], align_corners=not corners)
    assert not wrong
    assert wrong.problems == ()


@pytest.mark.parametrize("corners", [False, True])
def test_a_reference_that_resizes_itself(corners):
    def reference(main, auxiliary, images):
        return [
            tf.interpolate(one, images.shape[2:], mode="bilinear", align_corners=corners) for one in (main, auxiliary)
        ]

    report = compare(lambda network, main, auxiliary, images: [main, auxiliary()], reference)
    assert report, report.summary
    assert report.notes == (RESIZED.format("reference", str(corners).lower()),)


def other_corners(network, main, auxiliary, images):
    return [resize(main, images), resize(auxiliary(), images, corners=True)]


def nearest(network, main, auxiliary, images):
    return [resize(main, images, mode="nearest"), auxiliary()]


def bicubic(network, main, auxiliary, images):
    return [resize(main, images, mode="bicubic"), auxiliary()]


def four_times(network, main, auxiliary, images):
    return [pf.interpolate(main, scale_factor=4, mode="bilinear"), auxiliary()]


@pytest.mark.parametrize("port", [other_corners, nearest, bicubic, four_times])
def test_another_resize_is_a_mistake(port):
    report = compare(port)
    assert {one.path for one in report.guilty} == {""}


@pytest.mark.parametrize("output", [lambda main: main, lambda main: (main,), lambda main: [main]])
def test_an_auxiliary_head_in_training_only(output):
    def port(network, main, auxiliary, images):
        return [main, auxiliary()] if network.training else output(main)

    report = compare(port)
    assert report, report.summary
    assert report.notes == (IN_TRAINING,)
    wrong = compare(lambda *arguments: [one * (1 if n == 0 else 2) for n, one in enumerate(port(*arguments))])
    assert {one.path for one in wrong.guilty} == {""}


def test_the_network_trains_afterwards_as_before():
    port = PaddleSegmenter(lambda network, main, auxiliary, images: [main, auxiliary()] if network.training else main)
    ours = TorchSegmenter(plain)
    pairing, _ = match_port(ours, port, None)
    port.train()
    port.top.eval()
    mean = port.body[1]._mean.numpy()
    assert compare_models(ours, port, IMAGES, pairs=pairing)
    assert port.training
    assert port.body[1].training
    assert not port.top.training
    assert np.array_equal(port.body[1]._mean.numpy(), mean)


def dictionary(main, auxiliary, images):
    return {"out": main, "aux": auxiliary}


@pytest.mark.parametrize(
    ("reference", "keys", "said"),
    [
        (dictionary, ("aux", "out"), ""),
        (dictionary, ("out", "aux"), ""),
        (plain, ("aux_logits", "logits"), "aux_logits, logits"),
        (plain, ("logits", "aux_logits"), ""),
        (plain, ("b", "a"), "b, a"),
    ],
)
def test_dictionaries_have_no_order(reference, keys, said):
    """The first key that is auxiliary, or `b`, has the auxiliary logits."""

    def port(network, main, auxiliary, images):
        return {key: auxiliary() if key.startswith(("aux", "b")) else main for key in keys}

    report = compare(port, reference)
    assert report, report.summary
    assert [said in note for note in report.notes] == ([True] if said else [])


@pytest.mark.parametrize("keys", [("aux", "out"), ("low", "high")])
def test_a_list_against_the_references_dictionary(keys):
    report = compare(
        lambda network, main, auxiliary, images: [main, auxiliary()],
        lambda main, auxiliary, images: dict(zip(keys, (auxiliary, main), strict=True)),
    )
    assert report, report.summary
    assert ", ".join(keys) in report.notes[0]


def classes(network, main, auxiliary, images):
    return [main.argmax(1), auxiliary()]


def classes_of_one_channel(network, main, auxiliary, images):
    return [main.argmax(1, keepdim=True).astype("int32"), auxiliary()]


def resized_classes(network, main, auxiliary, images):
    return [resize(main, images, corners=True).argmax(1), resize(auxiliary(), images, corners=True)]


def probabilities(network, main, auxiliary, images):
    return [pf.softmax(main, 1), auxiliary()]


def resized_probabilities(network, main, auxiliary, images):
    return [pf.softmax(resize(main, images), 1), resize(auxiliary(), images)]


def log_probabilities(network, main, auxiliary, images):
    return [pf.log_softmax(main, 1), auxiliary()]


def sigmoids(network, main, auxiliary, images):
    return [main, pf.sigmoid(auxiliary())]


def swapped(network, main, auxiliary, images):
    return [auxiliary(), main]


def swapped_under_keys(network, main, auxiliary, images):
    return {"out": auxiliary(), "aux": main}


def resized_and_swapped(network, main, auxiliary, images):
    return [resize(auxiliary(), images), resize(main, images)]


OTHER_ORDER = "its output 1 is the reference's output 2: they are in another order"


@pytest.mark.parametrize(
    ("port", "said"),
    [
        (classes, "its output is the class of each pixel, the reference's are logits"),
        (classes_of_one_channel, "its output is the class of each pixel, the reference's are logits"),
        (resized_classes, "its output is the class of each pixel, the reference's are logits"),
        (probabilities, "its output is the softmax of the reference's logits"),
        (resized_probabilities, "its output is the softmax of the reference's logits"),
        (log_probabilities, "its output is the logarithm of the softmax of the reference's logits"),
        (sigmoids, "its output is the sigmoid of the reference's"),
        (swapped, OTHER_ORDER),
        (swapped_under_keys, OTHER_ORDER),
        (resized_and_swapped, OTHER_ORDER),
    ],
)
def test_what_is_no_convention_is_said_in_words(port, said):
    report = compare(port, dtypes=["float64"])
    assert {one.path for one in report.guilty} == {""}
    assert said in report.summary


def test_one_output_of_two_is_a_mistake():
    report = compare(lambda network, main, auxiliary, images: main)
    assert not report
    assert any("auxiliary" in problem for problem in report.problems)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_twin_as_paddleseg_would_have_it(wrong):
    ours, theirs = make_twins()
    if wrong:
        theirs.auxiliary_head.fuse.activation._negative_slope = 0.1

    def forward(self, images):
        auxiliary_features, features = self.backbone(images)
        outputs = [self.head(features)] + ([self.auxiliary_head(auxiliary_features)] if self.training else [])
        return [resize(one, images, corners=True) for one in outputs]

    theirs.forward = MethodType(forward, theirs)
    report = compare_models(ours, theirs, INPUTS)
    assert bool(report) is not wrong, report.summary
    assert {one.path for one in report.guilty} == ({"auxiliary_head.fuse.activation"} if wrong else set())
    assert report.notes == (RESIZED.format("port", "true"), IN_TRAINING)


@pytest.mark.parametrize("exchanged", [False, True])
def test_what_one_key_holds_several_of_is_compared_in_order(exchanged):
    conventions = Convention()
    a, b, c = (torch.full((1, 2), value) for value in (1.0, 2.0, 3.0))
    names = ["levels", "levels", "levels", "logits"] if exchanged else ["logits", "levels", "levels", "levels"]
    actual = [a, b, c, b] if exchanged else [b, a, b, c]
    ours, _ = conventions.bring(actual, names, (b, a, b, c), ("logits", "levels", "levels", "levels"), ())
    assert ours == [b, a, b, c]
