"""A port as users write them: other names, other nesting, some functions for layers. Depth 18."""

from __future__ import annotations

from typing import Any

from models_paddle import build_ccnet, paddle


class Attention(paddle.nn.Layer):
    """Criss-cross attention around the twin's convolutions, under other names."""

    def __init__(self, twin: Any) -> None:
        super().__init__()
        self.q, self.k, self.v, self.scale = twin.query, twin.key, twin.value, twin.gamma

    def forward(self, x: Any) -> Any:
        q, k, v = self.q(x), self.k(x), self.v(x)
        height = q.shape[2]
        columns = paddle.einsum("nchw,ncgw->nhwg", q, k)
        rows = paddle.einsum("nchw,nchv->nhwv", q, k)
        columns = columns + paddle.diag(paddle.full([height], float("-inf"), q.dtype)).unsqueeze(1)
        weights = paddle.nn.functional.softmax(paddle.concat([columns, rows], 3), 3)
        attended = paddle.einsum("nhwg,ncgw->nchw", weights[..., :height], v)
        attended = attended + paddle.einsum("nhwv,nchv->nchw", weights[..., height:], v)
        return x + self.scale * attended


class Port(paddle.nn.Layer):
    """The whole network, flattened; outputs in a list."""

    def __init__(self, recurrence: int) -> None:
        super().__init__()
        twin = build_ccnet(recurrence=recurrence, depth=18)
        backbone, head, auxiliary = twin.backbone, twin.head, twin.auxiliary_head
        self.loops = recurrence
        self.entry = paddle.nn.Sequential(backbone.stem, backbone.pool, backbone.stage1, backbone.stage2)
        self.res4, self.res5 = backbone.stage3, backbone.stage4
        self.conv_in, self.cca, self.conv_out = head.reduce, Attention(head.attention), head.refine
        self.out = paddle.nn.Sequential(head.fuse, head.classifier)
        self.deep_supervision = paddle.nn.Sequential(auxiliary.fuse, auxiliary.classifier)

    def forward(self, x: Any) -> list[Any]:
        middle = self.res4(self.entry(x))
        top = self.res5(middle)
        context = self.conv_in(top)
        for _ in range(self.loops):
            context = self.cca(context)
        return [self.out(paddle.concat([top, self.conv_out(context)], 1)), self.deep_supervision(middle)]


def build() -> Port:
    """The right port."""
    return Port(2)


def build_wrong() -> Port:
    """Its slope is wrong in one layer."""
    port = Port(2)
    port.conv_out.activation = paddle.nn.LeakyReLU(0.1)
    return port


def build_nothing() -> int:
    """No layer."""
    return 3
