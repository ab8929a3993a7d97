"""Layers that do in one what the twin does in several, and mistakes inside of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models_paddle import paddle
from models_paddle.layers import ConvNorm
from parity.mutants.convolution import rebuilt
from parity.mutants.mutant import Mutant, Port, mutant

MUTANTS: list[Mutant] = []
DEEP = "backbone.stage3.1.spatial"
REFINE = "head.refine"
nn, functional = paddle.nn, paddle.nn.functional


class InPlaceABN(paddle.nn.BatchNorm2D):
    """BatchNorm that ends in its activation, as a line-by-line translation of the official code has it."""

    def __init__(self, channels: int, *, epsilon: float, slope: float) -> None:
        super().__init__(channels, epsilon=epsilon, momentum=0.9)
        self.slope = slope
        """Of the activation: 0 is ReLU, 1 is none."""

    def forward(self, features: Any) -> Any:
        """Normalised and activated."""
        return activate(nn.BatchNorm2D.forward(self, features), self.slope)


class ConvNormActivation(paddle.nn.Layer):
    """Convolution, BatchNorm and activation, with the parameters of all of them under its own names."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.kernel, self.offset = block.conv.weight, block.conv.bias
        self.gamma, self.beta = block.norm.weight, block.norm.bias
        self.register_buffer("mean", block.norm._mean.detach().clone())
        self.register_buffer("variance", block.norm._variance.detach().clone())
        self.stride, self.padding, self.dilation = block.conv._stride, block.conv._padding, block.conv._dilation
        self.epsilon, self.slope = block.norm._epsilon, slope_of(block)

    def forward(self, features: Any) -> Any:
        """Convolved, normalised and activated."""
        convolved = functional.conv2d(features, self.kernel, self.offset, self.stride, self.padding, self.dilation)
        normed = functional.batch_norm(
            convolved, self.mean, self.variance, self.gamma, self.beta, training=self.training, epsilon=self.epsilon
        )
        return activate(normed, self.slope)


class TorchLinear(paddle.nn.Layer):
    """A linear layer that keeps its weight as torch does, (out, in)."""

    def __init__(self, weight: Any, bias: Any) -> None:
        super().__init__()
        self.weight, self.bias = self.create_parameter(weight.shape), self.create_parameter(bias.shape, is_bias=True)
        self.weight.set_value(weight)
        self.bias.set_value(bias)

    def forward(self, features: Any) -> Any:
        """(..., in) -> (..., out)."""
        return paddle.matmul(features, self.weight, transpose_y=True) + self.bias


def activate(features: Any, slope: float) -> Any:
    """LeakyReLU; ReLU for a slope of 0, nothing for 1."""
    if slope == 1:
        return features
    return functional.leaky_relu(features, slope) if slope else functional.relu(features)


def slope_of(block: Any) -> float:
    """Of a block's activation, as `activate` takes it."""
    if block.activation is None:
        return 1.0
    return float(getattr(block.activation, "_negative_slope", 0.0))


def fuse_activations(port: Port, make: Callable[[Any, float], Any], glob: str = "*") -> None:
    """Every norm and its activation become the one layer that `make` returns of the norm and the slope."""
    for block in port.of_type(ConvNorm, glob):
        norm = make(block.norm, slope_of(block))
        norm.set_state_dict(block.norm.state_dict())
        block.norm, block.activation = norm, None


def make_abn(norm: Any, slope: float) -> Any:
    """InPlaceABN in the place of `norm`."""
    return InPlaceABN(norm.weight.shape[0], epsilon=norm._epsilon, slope=slope)


def make_norm_with_act(norm: Any, slope: float) -> Any:
    """`paddle.nn.BatchNorm`, whose activation is named by `act`."""
    act = {0.0: "relu", 1.0: None}[slope]
    return nn.BatchNorm(norm.weight.shape[0], act=act, momentum=0.9, epsilon=norm._epsilon)


def fuse_blocks(port: Port) -> None:
    """Every convolution with its norm and activation is one layer."""
    for path, block in list(port.matching("*").items()):
        if isinstance(block, ConvNorm):
            port.replace(path, ConvNormActivation(block))


def synchronise(port: Port) -> None:
    """Every norm is a SyncBatchNorm."""
    for path, norm in list(port.matching("*.norm").items()):
        own = nn.SyncBatchNorm(norm.weight.shape[0], momentum=0.9, epsilon=norm._epsilon)
        own.set_state_dict(norm.state_dict())
        port.replace(path, own)


def resize(logits: Any, images: Any) -> Any:
    """To the images' size, as PaddleSeg does."""
    return functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=True)


def follow_paddleseg(port: Port, finish: Callable[[Any, Any], Any] = resize) -> None:
    """A list of logits of the images' size; the auxiliary head is for training only."""
    network = port.network

    def forward(images: Any) -> list[Any]:
        auxiliary_features, features = network.backbone(images)
        logits = [network.head(features)]
        if network.training:
            logits.append(network.auxiliary_head(auxiliary_features))
        return [finish(one, images) for one in logits]

    network.forward = forward


def classify_by_linear(port: Port, make: Callable[[Any, Any], Any]) -> Any:
    """The head's classifier is `make` of a weight (out, in) and a bias, under another name; returns it."""
    head = port["head"]
    conv = head.classifier
    del head.classifier
    head.project = make(conv.weight.flatten(1), conv.bias)
    head.classifier = lambda features: head.project(features.transpose([0, 2, 3, 1])).transpose([0, 3, 1, 2])
    return head.project


def make_linear(weight: Any, bias: Any) -> Any:
    """Paddle's own, which keeps (in, out)."""
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.set_value(weight.t())
    linear.bias.set_value(bias)
    return linear


def translate(port: Port, diagonal: float = float("inf")) -> None:
    """The official code line by line: InPlaceABN, the attention's transposes and batched products."""
    fuse_activations(port, make_abn)
    attention = port["head.attention"]

    def flatten(features: Any, last: str) -> Any:
        batch, channels, height, width = features.shape
        order = [0, 3, 1, 2] if last == "height" else [0, 2, 1, 3]
        lines, length = (width, height) if last == "height" else (height, width)
        return features.transpose(order).reshape([batch * lines, channels, length])

    def forward(x: Any) -> Any:
        batch, _, height, width = x.shape
        query, key, value = attention.query(x), attention.key(x), attention.value(x)
        query_h, query_w = (flatten(query, last).transpose([0, 2, 1]) for last in ("height", "width"))
        key_h, key_w = (flatten(key, last) for last in ("height", "width"))
        value_h, value_w = (flatten(value, last) for last in ("height", "width"))
        mask = -paddle.diag(paddle.full([height], diagonal, x.dtype)).unsqueeze(0).tile([batch * width, 1, 1])
        energy_h = (paddle.bmm(query_h, key_h) + mask).reshape([batch, width, height, height]).transpose([0, 2, 1, 3])
        energy_w = paddle.bmm(query_w, key_w).reshape([batch, height, width, width])
        concate = functional.softmax(paddle.concat([energy_h, energy_w], 3), 3)
        att_h = concate[:, :, :, :height].transpose([0, 2, 1, 3]).reshape([batch * width, height, height])
        att_w = concate[:, :, :, height:].reshape([batch * height, width, width])
        out_h = paddle.bmm(value_h, att_h.transpose([0, 2, 1])).reshape([batch, width, -1, height])
        out_w = paddle.bmm(value_w, att_w.transpose([0, 2, 1])).reshape([batch, height, -1, width])
        return attention.gamma * (out_h.transpose([0, 2, 3, 1]) + out_w.transpose([0, 2, 1, 3])) + x

    attention.forward = forward


@mutant(MUTANTS, f"{REFINE}.norm", cause="slope")
def abn_slope_of_a_tenth(port: Port) -> None:
    """Norm and activation are one layer everywhere; in one of them the slope is 0.1."""
    fuse_activations(port, make_abn)
    port[f"{REFINE}.norm"].slope = 0.1


@mutant(MUTANTS, DEEP, cause="activation missing")
def abn_without_activation(port: Port) -> None:
    """Norm and activation are one layer everywhere; one of them leaves the activation out."""
    fuse_activations(port, make_abn)
    port[f"{DEEP}.norm"].slope = 1


@mutant(MUTANTS, f"{DEEP}.norm", cause="epsilon")
def abn_epsilon(port: Port) -> None:
    """Norm and activation are one layer everywhere; in one of them epsilon is 1e-3."""
    fuse_activations(port, make_abn)
    port[f"{DEEP}.norm"]._epsilon = 1e-3


@mutant(MUTANTS, f"{DEEP}.norm", cause="epsilon")
def one_leaf_epsilon(port: Port) -> None:
    """Convolution, norm and activation are one layer everywhere; in one of them epsilon is 1e-3."""
    fuse_blocks(port)
    port[DEEP].epsilon = 1e-3


@mutant(MUTANTS, f"{REFINE}.norm", cause="activation before the norm")
def one_leaf_activates_first(port: Port) -> None:
    """Convolution, norm and activation are one layer everywhere; one of them activates before it normalises."""
    fuse_blocks(port)
    block = port[REFINE]

    def forward(features: Any) -> Any:
        convolved = functional.conv2d(features, block.kernel, None, block.stride, block.padding, block.dilation)
        return functional.batch_norm(
            activate(convolved, block.slope), block.mean, block.variance, block.gamma, block.beta, epsilon=block.epsilon
        )

    block.forward = forward


@mutant(MUTANTS, DEEP, cause="activation missing")
def act_forgotten(port: Port) -> None:
    """`paddle.nn.BatchNorm(act="relu")` throughout the backbone; one of them is built without `act`."""
    fuse_activations(port, make_norm_with_act, "backbone.*")
    port[f"{DEEP}.norm"]._act = None


@mutant(MUTANTS, f"{DEEP}.norm", cause="epsilon")
def synchronised_epsilon(port: Port) -> None:
    """SyncBatchNorm everywhere; in one of them epsilon is 1e-3."""
    synchronise(port)
    port[f"{DEEP}.norm"]._epsilon = 1e-3


@mutant(MUTANTS, f"{DEEP}.norm", cause="momentum")
def synchronised_momentum(port: Port) -> None:
    """SyncBatchNorm everywhere; one of them keeps torch's momentum, a tenth of the old statistics."""
    synchronise(port)
    port[f"{DEEP}.norm"]._momentum = 0.1


@mutant(MUTANTS, "head", cause="bias missing")
def linear_without_bias(port: Port) -> None:
    """The classifier is a Linear layer of another name, built without its bias."""
    linear = classify_by_linear(port, make_linear)
    linear.bias = None


@mutant(MUTANTS, "head.classifier", cause="channels in another order")
def torch_linear_of_two_classes_exchanged(port: Port) -> None:
    """The classifier is a linear layer that keeps its weight as torch does; two of its classes are exchanged."""
    linear = classify_by_linear(port, TorchLinear)
    order = paddle.to_tensor([1, 0, *range(2, linear.weight.shape[0])])
    linear.weight.set_value(linear.weight[order])


@mutant(MUTANTS, "", cause="resized")
def resized_to_the_nearest(port: Port) -> None:
    """PaddleSeg's convention, but logits are resized by repeating the nearest one."""
    follow_paddleseg(port, lambda logits, images: functional.interpolate(logits, images.shape[2:], mode="nearest"))


@mutant(MUTANTS, "", cause="probabilities for logits")
def resized_classes(port: Port) -> None:
    """PaddleSeg's convention, but the class of each pixel is returned for its logits."""
    follow_paddleseg(port, lambda logits, images: resize(logits, images).argmax(1, keepdim=True))


@mutant(MUTANTS, "auxiliary_head.fuse.activation", cause="slope")
def auxiliary_slope_in_training_only(port: Port) -> None:
    """PaddleSeg's convention; the slope of the auxiliary head, which runs in training only, is 0.1."""
    follow_paddleseg(port)
    port.replace("auxiliary_head.fuse.activation", nn.LeakyReLU(0.1))


@mutant(MUTANTS, "head.attention", cause="finite mask")
def translated_without_infinity(port: Port) -> None:
    """The official code line by line, with a diagonal of 10 where it has infinity."""
    translate(port, diagonal=10.0)


@mutant(MUTANTS, f"{DEEP}.conv", cause="dilation")
def translated_dilation(port: Port) -> None:
    """The official code line by line; one of its convolutions is not dilated."""
    translate(port)
    port.replace(f"{DEEP}.conv", rebuilt(port[f"{DEEP}.conv"], padding=1, dilation=1))
