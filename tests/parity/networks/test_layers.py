"""Layers of other networks than CCNet, under other names: given weights, compared, and a wrong one caught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from models_paddle import paddle
from parity.engine.harness import compare_models
from parity.networks.modules import paddle_modules, torch_modules
from parity.pairing.match import match_port

pnn, pf = paddle.nn, paddle.nn.functional

COMPAT = getattr(getattr(paddle, "compat", None), "nn", None)
RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.standard_normal((3, 7, 6))
IMAGES = RANDOM.standard_normal((2, 4, 7, 6))
WORDS = RANDOM.integers(0, 11, (3, 5))


class Chain(pnn.Layer):
    """Its layers one after the other, by names that are not torch's."""

    def __init__(self, *layers):
        super().__init__()
        self.names = [f"part_{'abcdef'[number]}" for number in range(len(layers))]
        for name, layer in zip(self.names, layers, strict=True):
            setattr(self, name, layer)

    def forward(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


class TorchChain(nn.Module):
    """The same in torch."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


def settle(module):
    """Random weights and statistics."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator) / 2
            tensor.copy_(drawn.square() + 0.5 if "var" in name else drawn)
    return module.eval()


def check(ours, theirs, inputs, *, weight=None, value=None):
    """That the fresh port is given the weights and passes, and fails with its `weight` set to `value` of it."""
    settle(ours)
    pairing, weights = match_port(ours, theirs, None)
    assert weights["copied"]
    assert not weights["different"]
    report = compare_models(ours, theirs, inputs, pairs=pairing, weights=weights)
    assert report, report.summary
    assert not report.coverage.uncovered
    if weight is None:
        return pairing
    weight.set_value(value(weight.numpy()))
    pairing, weights = match_port(ours, theirs, None)
    assert not weights["copied"]
    assert len(weights["different"]) == 1
    report = compare_models(ours, theirs, inputs, pairs=pairing, weights=weights, dtypes=["float64"])
    name = weights["different"][0]
    assert [name.startswith(f"{one.path}.") for one in report.guilty] == [True], report.guilty
    return pairing


def scaled(array):
    return array * np.float32(1.0001)


class OutputsFirst(pnn.Layer):
    """A Linear of a user's own, which keeps torch's (out, in)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.w, self.b = self.create_parameter([outputs, inputs]), self.create_parameter([outputs], is_bias=True)

    def forward(self, x):
        return paddle.matmul(x, self.w, transpose_y=True) + self.b


class InputsFirst(pnn.Layer):
    """The same, which keeps (in, out)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.kernel = self.create_parameter([inputs, outputs])
        self.shift = self.create_parameter([outputs], is_bias=True)

    def forward(self, x):
        return paddle.matmul(x, self.kernel) + self.shift


LINEARS = [pnn.Linear, OutputsFirst, InputsFirst, *([COMPAT.Linear] if hasattr(COMPAT, "Linear") else [])]


@pytest.mark.parametrize(("outputs", "wrong"), [(6, scaled), (6, np.transpose), (4, scaled)])
@pytest.mark.parametrize("kind", LINEARS, ids=lambda kind: f"{kind.__module__.split('.')[1]}.{kind.__name__}")
def test_linear(kind, outputs, wrong):
    ours = TorchChain(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, outputs))
    theirs = Chain(kind(6, 6), pnn.GELU(), kind(6, outputs))
    weight = next(iter(theirs.part_c.parameters()))
    check(ours, theirs, VECTORS, weight=weight, value=lambda array: np.ascontiguousarray(wrong(array)))


@pytest.mark.parametrize("kind", LINEARS, ids=lambda kind: f"{kind.__module__.split('.')[1]}.{kind.__name__}")
def test_a_linear_is_shown_in_torchs_layout(kind):
    layer = kind(6, 4)
    (info,) = (info for info in paddle_modules(Chain(layer)).values() if info.kind == "linear")
    (expected,) = (info for info in torch_modules(nn.Linear(6, 4)).values())
    assert {array.shape for array in info.tensors.values()} == {array.shape for array in expected.tensors.values()}


class HandPacked(pnn.Layer):
    """Attention of two heads by hand, with its three projections in one."""

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = pnn.Linear(8, 24), pnn.Linear(8, 8)

    def forward(self, query, key, value):
        query, key, value = (self.split(part) for part in self.qkv(query).split(3, -1))
        weights = pf.softmax(paddle.matmul(query, key, transpose_y=True) / 2.0, -1)
        attended = paddle.matmul(weights, value).transpose([0, 2, 1, 3])
        return self.proj(attended.reshape([attended.shape[0], -1, 8]))

    @staticmethod
    def split(features):
        return features.reshape([features.shape[0], features.shape[1], 2, 4]).transpose([0, 2, 1, 3])


class TorchAttention(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.enter, self.leave = nn.Linear(6, 8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **settings)

    def forward(self, x):
        x = self.enter(x)
        return self.leave(self.attention(x, x, x)[0] + x)


class PaddleAttention(pnn.Layer):
    def __init__(self, attention):
        super().__init__()
        self.first, self.mixer, self.last = pnn.Linear(6, 8), attention, pnn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        mixed = self.mixer(x, x, x)
        return self.last((mixed[0] if isinstance(mixed, tuple) else mixed) + x)


def test_attention_whose_projections_are_three():
    """torch packs them."""
    theirs = PaddleAttention(pnn.MultiHeadAttention(8, 2))
    check(TorchAttention(), theirs, VECTORS, weight=theirs.mixer.k_proj.weight, value=scaled)


def test_attention_without_biases():
    check(TorchAttention(bias=False), PaddleAttention(pnn.MultiHeadAttention(8, 2, bias_attr=False)), VECTORS)


@pytest.mark.skipif(not hasattr(COMPAT, "MultiheadAttention"), reason="this Paddle has none")
def test_attention_that_packs_as_torch_does():
    theirs = PaddleAttention(COMPAT.MultiheadAttention(8, 2, batch_first=True))
    check(TorchAttention(), theirs, VECTORS, weight=theirs.mixer.in_proj_weight, value=scaled)


def test_attention_by_hand_with_packed_projections():
    pairing = check(TorchAttention(), PaddleAttention(HandPacked()), VECTORS)
    assert [unit.port for unit in pairing.units] == [("mixer.qkv", "mixer.proj")]


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_of_other_heads(heads):
    ours, theirs = settle(TorchAttention()), PaddleAttention(pnn.MultiHeadAttention(8, heads))
    pairing, weights = match_port(ours, theirs, None)
    report = compare_models(ours, theirs, VECTORS, pairs=pairing, weights=weights, dtypes=["float64"])
    assert [one.path for one in report.guilty] == ["attention"]


def test_query_and_key_projections_exchanged():
    ours, theirs = settle(TorchAttention()), PaddleAttention(pnn.MultiHeadAttention(8, 2))
    match_port(ours, theirs, None)
    query, key = theirs.mixer.q_proj, theirs.mixer.k_proj
    kept = query.weight.clone()
    query.weight.set_value(key.weight)
    key.weight.set_value(kept)
    pairing, weights = match_port(ours, theirs, None)
    assert weights["different"] == ["attention.in_proj_weight"]
    report = compare_models(ours, theirs, VECTORS, pairs=pairing, weights=weights, dtypes=["float64"])
    assert [one.path for one in report.guilty] == ["attention"]


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("kind", "paddles"), [("LSTM", "LSTM"), ("GRU", "GRU"), ("RNN", "SimpleRNN")])
def test_recurrent_layers_are_compared_whole(kind, paddles, layers, both_ways):
    recurrent = getattr(nn, kind)(6, 5, layers, batch_first=True, bidirectional=both_ways)
    width, direction = (10, "bidirect") if both_ways else (5, "forward")
    theirs = Chain(getattr(pnn, paddles)(6, 5, layers, direction=direction), pnn.Linear(width, 3))
    last = [tensor for name, tensor in theirs.part_a.named_parameters() if "weight_hh" in name][-1]
    check(
        TorchChain(recurrent, nn.Linear(width, 3)), theirs, VECTORS, weight=last, value=lambda array: array[::-1].copy()
    )


@pytest.mark.parametrize("square", [False, True])
def test_transposed_convolution(square):
    settings, width = ({}, 6) if square else ({"stride": 2, "padding": 1, "output_padding": 1}, 3)
    ours = TorchChain(nn.Conv2d(4, 6, 1), nn.ConvTranspose2d(6, width, 3, **settings))
    theirs = Chain(pnn.Conv2D(4, 6, 1), pnn.Conv2DTranspose(6, width, 3, **settings))
    check(ours, theirs, IMAGES, weight=theirs.part_b.weight, value=lambda array: array[:, :, ::-1].copy())


NORMS = {
    "LayerNorm": (lambda epsilon: nn.LayerNorm(6, eps=epsilon), lambda epsilon: pnn.LayerNorm(6, epsilon=epsilon)),
    "GroupNorm": (lambda epsilon: nn.GroupNorm(3, 6, epsilon), lambda epsilon: pnn.GroupNorm(3, 6, epsilon)),
    "InstanceNorm": (
        lambda epsilon: nn.InstanceNorm2d(6, epsilon, affine=True),
        lambda epsilon: pnn.InstanceNorm2D(6, epsilon),
    ),
    "BatchNorm": (lambda epsilon: nn.BatchNorm2d(6, epsilon), lambda epsilon: pnn.BatchNorm2D(6, epsilon=epsilon)),
}


def make_normed(kind, epsilons):
    """Both networks around a norm, and their inputs."""
    (make_ours, make_theirs), (own, other) = NORMS[kind], epsilons
    if kind == "LayerNorm":
        return TorchChain(nn.Linear(6, 6), make_ours(own)), Chain(pnn.Linear(6, 6), make_theirs(other)), VECTORS
    return TorchChain(nn.Conv2d(4, 6, 1), make_ours(own)), Chain(pnn.Conv2D(4, 6, 1), make_theirs(other)), IMAGES


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
@pytest.mark.parametrize("kind", NORMS)
def test_norms_whatever_their_epsilon(kind, epsilon):
    """Paddle keeps it as a float32, which 1e-3 is not."""
    ours, theirs, inputs = make_normed(kind, (epsilon, epsilon))
    check(ours, theirs, inputs, weight=theirs.part_b.bias, value=lambda array: array + np.float32(1e-4))


@pytest.mark.parametrize("epsilons", [(1e-5, 1e-3), (1e-3, 0.999e-3), (1e-6, 1e-5)])
@pytest.mark.parametrize("kind", NORMS)
def test_an_epsilon_that_is_another(kind, epsilons):
    ours, theirs, inputs = make_normed(kind, epsilons)
    pairing, weights = match_port(settle(ours), theirs, None)
    report = compare_models(ours, theirs, inputs, pairs=pairing, weights=weights)
    assert [one.path for one in report.guilty] == ["layers.1"]


def test_group_norm_of_other_groups():
    ours, theirs = TorchChain(nn.Conv2d(4, 6, 1), nn.GroupNorm(3, 6)), Chain(pnn.Conv2D(4, 6, 1), pnn.GroupNorm(2, 6))
    pairing, weights = match_port(settle(ours), theirs, None)
    report = compare_models(ours, theirs, IMAGES, pairs=pairing, weights=weights, dtypes=["float64"])
    assert [one.path for one in report.guilty] == ["layers.1"]


@pytest.mark.parametrize("channels", [6, 1])
def test_prelu(channels):
    ours = TorchChain(nn.Conv2d(4, 6, 1), nn.PReLU(channels))
    theirs = Chain(pnn.Conv2D(4, 6, 1), pnn.PReLU(channels))
    check(ours, theirs, IMAGES, weight=theirs.part_b._weight, value=scaled)


@pytest.mark.parametrize("width", [6, 11])
def test_embedding(width):
    """One as wide as there are words could be either way round."""
    ours = TorchChain(nn.Embedding(11, width), nn.Linear(width, 4))
    theirs = Chain(pnn.Embedding(11, width), pnn.Linear(width, 4))
    check(ours, theirs, WORDS, weight=theirs.part_a.weight, value=lambda array: array[::-1].copy())


def test_an_embeddings_padding_is_zero_in_paddle_alone():
    """Whatever row torch's checkpoint has there is used."""
    ours = settle(TorchChain(nn.Embedding(11, 6, padding_idx=0), nn.Linear(6, 4)))
    for padding, guilty in ((0, ["layers.0"]), (None, [])):
        theirs = Chain(pnn.Embedding(11, 6, padding_idx=padding), pnn.Linear(6, 4))
        pairing, weights = match_port(ours, theirs, None)
        report = compare_models(ours, theirs, WORDS, pairs=pairing, weights=weights, dtypes=["float64"])
        assert [one.path for one in report.guilty] == guilty


class TorchTied(nn.Module):
    """Words are read and written with one table."""

    def __init__(self):
        super().__init__()
        self.read, self.middle, self.write = nn.Embedding(11, 6), nn.Linear(6, 6), nn.Linear(6, 11, bias=False)
        self.write.weight = self.read.weight

    def forward(self, words):
        return self.write(torch.tanh(self.middle(self.read(words))))


class PaddleTied(pnn.Layer):
    """The same by a function."""

    def __init__(self, activate=paddle.tanh, order=1):
        super().__init__()
        self.table, self.inner = pnn.Embedding(11, 6), pnn.Linear(6, 6)
        self.activate, self.order = activate, order

    def forward(self, words):
        features = self.activate(self.inner(self.table(words)))
        return paddle.matmul(features, self.table.weight[:: self.order], transpose_y=True)


def test_tied_weights():
    theirs = PaddleTied()
    check(TorchTied(), theirs, WORDS, weight=theirs.inner.weight, value=scaled)


@pytest.mark.parametrize("mistake", [{"activate": pf.relu}, {"order": -1}])
def test_a_mistake_beside_tied_weights(mistake):
    ours, theirs = settle(TorchTied()), PaddleTied(**mistake)
    pairing, weights = match_port(ours, theirs, None)
    report = compare_models(ours, theirs, WORDS, pairs=pairing, weights=weights, dtypes=["float64"])
    assert [one.path for one in report.guilty] == [""]


class TorchNormed(nn.Module):
    """A weight norm and a spectral norm, as torch keeps them now."""

    def __init__(self):
        super().__init__()
        norms = nn.utils.parametrizations
        self.weighed, self.spectral = norms.weight_norm(nn.Conv2d(3, 4, 3)), norms.spectral_norm(nn.Conv2d(4, 4, 1))

    def forward(self, x):
        return self.spectral(self.weighed(x))


class PaddleSpectral(pnn.Layer):
    def __init__(self, scale):
        super().__init__()
        self.scale, self.bias = scale, self.create_parameter([4], is_bias=True)
        self.weight_orig = self.create_parameter([4, 4, 1, 1])
        self.register_buffer("weight_u", paddle.randn([4]))
        self.register_buffer("weight_v", paddle.randn([4]))

    def forward(self, x):
        sigma = self.weight_u @ self.weight_orig.flatten(1) @ self.weight_v
        return pnn.functional.conv2d(x, self.scale * self.weight_orig / sigma, self.bias)


class PaddleNormed(pnn.Layer):
    def __init__(self, scale):
        super().__init__()
        self.first, self.second = pnn.utils.weight_norm(pnn.Conv2D(3, 4, 3)), PaddleSpectral(scale)

    def forward(self, x):
        return self.second(self.first(x))


@pytest.mark.parametrize(("scale", "guilty"), [(1, set()), (2, {"spectral"})])
def test_what_a_weight_is_made_of(scale, guilty):
    reference, port = TorchNormed().eval(), PaddleNormed(scale)
    pairing, weights = match_port(reference, port, None)
    images = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    report = compare_models(reference, port, images, pairs=pairing, weights=weights, dtypes=["float64"])
    assert {one.path for one in report.guilty} == guilty, report.summary
    assert bool(report) == (not guilty)
