"""Torch networks as others write them, and ports of them: mmsegmentation's CCNet and torchvision's ResNet, both small.

Both overwrite tensors wherever they can: `ReLU(inplace=True)` everywhere, `out += identity`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from families import DEPTHS
from models_paddle import paddle
from twins.standin import make_state_dict

DEPTH = DEPTHS[18]
CLASSES = 19


class ConvModule(nn.Module):
    """mmcv's: its norm is registered under a name of its own."""

    def __init__(self, inputs: int, outputs: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=padding, bias=False)
        self.add_module("bn", nn.BatchNorm2d(outputs))
        self.activate = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """One ReLU for all, which overwrites."""

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNetV1c(nn.Module):
    """Returns the features of every stage."""

    def __init__(self) -> None:
        super().__init__()
        stem = 64 // DEPTH.width_divisor
        layers: list[nn.Module] = []
        for inputs, outputs, stride in [(3, stem // 2, 2), (stem // 2, stem // 2, 1), (stem // 2, stem, 1)]:
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
        self.stem = nn.Sequential(*layers)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = stem
        for stage, (stride, dilation) in enumerate([(1, 1), (2, 1), (1, 2), (1, 4)]):
            planes = stem << stage
            downsample = nn.Sequential(nn.Conv2d(inputs, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes))
            blocks = [Bottleneck(inputs, planes, stride, max(1, dilation // 2), downsample)]
            blocks += [Bottleneck(4 * planes, planes, 1, dilation, None) for _ in range(DEPTH.blocks[stage] - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = 4 * planes

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.maxpool(self.stem(x))
        found = []
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            found.append(x)
        return tuple(found)


class Scale(nn.Module):
    """mmcv's: a factor without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class CrissCrossAttention(nn.Module):
    """mmcv's, of einsums."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = Scale()

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        query, key, value = self.query_conv(x), self.key_conv(x), self.value_conv(x)
        infinite = torch.diag(torch.tensor(float("-inf")).to(x.device).repeat(height), 0)
        columns = (torch.einsum("bchw,bciw->bwhi", query, key) + infinite).transpose(1, 2)
        weights = functional.softmax(torch.cat([columns, torch.einsum("bchw,bchj->bhwj", query, key)], dim=-1), dim=-1)
        out = torch.einsum("bciw,bhwi->bchw", value, weights[..., :height])
        out += torch.einsum("bchj,bhwj->bchw", value, weights[..., height:])
        return (self.gamma(out) + x).contiguous()


class FCNHead(nn.Module):
    """A convolution and a classifier."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, CLASSES, 1)
        self.dropout = nn.Dropout2d(0.1)
        self.convs = nn.Sequential(ConvModule(inputs, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_seg(self.dropout(self.convs(x)))


class CCHead(FCNHead):
    """The attention is registered last and called in the middle."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels)
        self.convs.append(ConvModule(channels, channels))
        self.conv_cat = ConvModule(inputs + channels, channels)
        self.cca = CrissCrossAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        output = self.convs[0](x)
        for _ in range(2):
            output = self.cca(output)
        output = self.conv_cat(torch.cat([x, self.convs[1](output)], dim=1))
        return self.conv_seg(self.dropout(output))


class EncoderDecoder(nn.Module):
    """The outputs are in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNetV1c()
        width = 2048 // DEPTH.width_divisor
        self.decode_head = CCHead(width, width // 4)
        self.auxiliary_head = FCNHead(width // 2, width // 8)

    def forward(self, img: Tensor) -> dict[str, Tensor]:
        features = self.backbone(img)
        return {"decode": self.decode_head(features[3]), "aux": self.auxiliary_head(features[2])}


def build_mmseg() -> EncoderDecoder:
    """mmsegmentation's CCNet, with weights under its own keys."""
    network = EncoderDecoder()
    tensors: dict[str, Any] = make_state_dict("mmseg", seed=2, depth=18, num_classes=CLASSES)
    network.load_state_dict({name: torch.from_numpy(tensors[name]) for name in network.state_dict()})
    return network


class PortedAttention(paddle.nn.Layer):
    """The attention of `MmsegPort`, whose factor is its own parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        conv = paddle.nn.Conv2D
        self.q, self.k = conv(channels, channels // 8, 1), conv(channels, channels // 8, 1)
        self.v = conv(channels, channels, 1)
        self.scale = self.create_parameter([1])

    def forward(self, x: Any) -> Any:
        query, key, value = self.q(x), self.k(x), self.v(x)
        height = x.shape[2]
        infinite = paddle.diag(paddle.full([height], float("-inf"), dtype=x.dtype))
        columns = (paddle.einsum("bchw,bciw->bwhi", query, key) + infinite).transpose([0, 2, 1, 3])
        weights = paddle.concat([columns, paddle.einsum("bchw,bchj->bhwj", query, key)], -1)
        weights = paddle.nn.functional.softmax(weights, -1)
        out = paddle.einsum("bciw,bhwi->bchw", value, weights[..., :height])
        out = out + paddle.einsum("bchj,bhwj->bchw", value, weights[..., height:])
        return out * self.scale + x


class Unit(paddle.nn.Layer):
    """A bottleneck of Sequentials, whose last activation is a function."""

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, projects: bool) -> None:
        super().__init__()
        self.path = paddle.nn.Sequential(
            conv_norm(inputs, planes, 1),
            paddle.nn.ReLU(),
            conv_norm(planes, planes, 3, stride, dilation),
            paddle.nn.ReLU(),
            conv_norm(planes, 4 * planes, 1),
        )
        self.project = conv_norm(inputs, 4 * planes, 1, stride) if projects else paddle.nn.Identity()

    def forward(self, x: Any) -> Any:
        return paddle.nn.functional.relu(self.path(x) + self.project(x))


class MmsegPort(paddle.nn.Layer):
    """A port of `EncoderDecoder` in one class; a tuple of two logits."""

    def __init__(self, *, contracted: bool = True) -> None:
        super().__init__()
        nn, stem = paddle.nn, 64 // DEPTH.width_divisor
        self.stem = nn.Sequential(
            *(conv_norm(3, stem // 2, 3, 2), nn.ReLU(), conv_norm(stem // 2, stem // 2, 3), nn.ReLU()),
            *(conv_norm(stem // 2, stem, 3), nn.ReLU(), nn.MaxPool2D(3, 2, 1)),
        )
        inputs = stem
        for stage, (stride, dilation) in enumerate([(1, 1), (2, 1), (1, 2), (1, 4)]):
            planes, first = stem << stage, max(1, dilation // 2) if contracted else dilation
            units = [Unit(inputs, planes, stride, first, True)]
            units += [Unit(4 * planes, planes, 1, dilation, False) for _ in range(DEPTH.blocks[stage] - 1)]
            setattr(self, f"res{stage + 2}", nn.Sequential(*units))
            inputs = 4 * planes
        width = inputs // 4
        self.aux = nn.Sequential(conv_norm(inputs // 2, width // 2, 3), nn.ReLU(), nn.Conv2D(width // 2, CLASSES, 1))
        self.reduce, self.cca = conv_norm(inputs, width, 3), PortedAttention(width)
        self.refine, self.fuse = conv_norm(width, width, 3), conv_norm(inputs + width, width, 3)
        self.classifier = nn.Conv2D(width, CLASSES, 1)

    def forward(self, x: Any) -> Any:
        relu = paddle.nn.functional.relu
        middle = self.res4(self.res3(self.res2(self.stem(x))))
        top = self.res5(middle)
        context = self.cca(self.cca(relu(self.reduce(top))))
        context = relu(self.fuse(paddle.concat([top, relu(self.refine(context))], 1)))
        return self.classifier(context), self.aux(middle)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> Any:
    """A convolution and its BatchNorm."""
    padding = dilation * (kernel // 2)
    conv = paddle.nn.Conv2D(inputs, outputs, kernel, stride, padding, dilation, bias_attr=False)
    return paddle.nn.Sequential(("conv", conv), ("bn", paddle.nn.BatchNorm2D(outputs)))


def build_mmseg_port() -> MmsegPort:
    """The right port, not loaded."""
    return MmsegPort()


def build_mmseg_wrong() -> MmsegPort:
    """The first block of a dilated stage keeps the stage's dilation, as in the official network."""
    return MmsegPort(contracted=False)


class BasicBlock(nn.Module):
    """torchvision's."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """torchvision's ResNet-18."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage in range(4):
            planes, inputs = 64 << stage, max(64, 32 << stage)
            blocks = [BasicBlock(inputs, planes, 1 + (stage > 0)), BasicBlock(planes, planes, 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def build_resnet() -> ResNet:
    """torchvision's ResNet-18 with weights and statistics of its own."""
    network = ResNet()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point():
                deviation = (2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
                tensor.normal_(0, deviation, generator=generator)
    return network


def build_resnet_port() -> Any:
    """Paddle's own ResNet-18."""
    return paddle.vision.models.resnet18(num_classes=10)


def build_resnet_wrong() -> Any:
    """The same with a stride where another layer has it."""
    port = build_resnet_port()
    block = port.layer3[0]
    block.conv1._stride, block.conv2._stride = [1, 1], [2, 2]
    return port
