"""Forward and backward of the known heads, written out on fixed buffers.

A program is built for one batch size. `forward` takes prepared views [B, D] to logits [B, C] and keeps what
`backward` needs; `backward` takes the loss's gradient for the logits and hands every layer its own. What it hands
to a layer that reads the views stays untouched until that layer's next `forward` (see `Dense.backward`). Each is
tested equal to autograd on the head's `logits`. To add one: a class here and a line in `PROGRAMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from classifiers.heads.concat import Concat
from classifiers.heads.cross_attention import CrossAttention
from classifiers.heads.dropout import Dropout
from classifiers.heads.guided_ca import GuidedCA
from classifiers.heads.mlp import MLP
from classifiers.heads.torch_head import feature_groups
from classifiers.training.store import Dense

Layer = Callable[[str], Dense]


class Program(Protocol):
    """One head's training step on batches of one size."""

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Prepared views [B, D] to logits [B, C], dropout on."""

    def backward(self, g: Tensor) -> None:
        """The loss's gradient for the logits [B, C] to every layer."""


def _relu_backward(g: Tensor, h: Tensor) -> None:
    """`g` where h = ReLU(x) is above 0, else 0, in place."""
    torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)


class _Masked:
    """h = dropout of values, and its gradient, in place; does nothing at p = 0."""

    def __init__(self, dropout: Dropout, like: Tensor) -> None:
        self._dropout = dropout
        self._mask = torch.empty_like(like) if dropout.p else None

    def forward(self, values: Tensor) -> None:
        if self._mask is not None:
            values.mul_(self._dropout.mask(self._mask))

    def backward(self, g: Tensor) -> None:
        if self._mask is not None:
            g.mul_(self._mask)


class _Gates:
    """h = dropout of sigmoid(a) * relu(z) for a and z in columns that several dense layers fill, and its gradient.

    `z_parts` and `a_parts` are (layer, index of the view it reads), left to right. Dropout acts on sigmoid(a),
    which is the same and saves a pass.
    """

    def __init__(
        self, z_parts: list[tuple[Dense, int]], a_parts: list[tuple[Dense, int]], dropout: Dropout, like: Tensor
    ) -> None:
        self.h, self.g, self._z, self._a = (torch.empty_like(like) for _ in range(4))
        self._dropped, self._kept = _Masked(dropout, like), 1 - dropout.p
        count = len(z_parts)
        # h and g, once read, take the gradients for a and z
        self._parts = [
            (layer, view, value, gradient)
            for parts, values, gradients in ((z_parts, self._z, self.g), (a_parts, self._a, self.h))
            for (layer, view), value, gradient in zip(
                parts, values.chunk(count, dim=1), gradients.chunk(count, dim=1), strict=True
            )
        ]
        self._inputs: list[Tensor] = []

    def forward(self, inputs: list[Tensor]) -> Tensor:
        self._inputs = inputs
        for layer, view, value, _ in self._parts:
            layer.forward(inputs[view], value)
        self._z.relu_()
        self._dropped.forward(self._a.sigmoid_())
        return torch.mul(self._a, self._z, out=self.h)

    def backward(self) -> None:
        """From the gradient for h, which lies in `g`."""
        # sigmoid' = s (1 - s), and s is `kept` times what is in _a wherever dropout left it
        self.h.mul_(self.g).addcmul_(self.h, self._a, value=-self._kept)
        _relu_backward(self.g.mul_(self._a), self._z)
        for layer, view, _, gradient in self._parts:
            layer.backward(self._inputs[view], gradient)


class GuidedCAProgram:
    """`classifiers.heads.guided_ca`: h = [a_T z_I | a_I z_T], logits = W h + b."""

    def __init__(self, head: GuidedCA, layer: Layer, empty: Callable[[int], Tensor]) -> None:
        width = head.classifier.in_features
        self._gates = _Gates(
            [(layer("projections.0"), 0), (layer("projections.1"), 1)],
            [(layer("masks.1"), 1), (layer("masks.0"), 0)],
            head.dropout,
            empty(width),
        )
        self._classifier, self._logits = layer("classifier"), empty(head.classifier.out_features)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        return self._classifier.forward(self._gates.forward(inputs), self._logits)

    def backward(self, g: Tensor) -> None:
        self._classifier.backward(self._gates.h, g, self._gates.g)
        self._gates.backward()


class CrossAttentionProgram:
    """`classifiers.heads.cross_attention`: gates, a hidden layer, self-attention over its groups, logits."""

    def __init__(self, head: CrossAttention, layer: Layer, empty: Callable[[int], Tensor]) -> None:
        width = head.classifier.in_features
        self._gates = _Gates(
            [(layer("projections.0"), 0), (layer("projections.1"), 1)],
            [(layer("masks.0"), 1), (layer("masks.1"), 0)],
            head.dropout,
            empty(2 * width),
        )
        self._dropped = _Masked(head.dropout, empty(width))
        self._hidden, self._classifier = layer("hidden"), layer("classifier")
        self._h, self._attended, self._g, self._gh = (empty(width) for _ in range(4))
        self._logits = empty(head.classifier.out_features)
        self._groups = feature_groups(width)
        self._shares = empty(0)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        self._hidden.forward(self._gates.forward(inputs), self._h).relu_()
        v = self._grouped(self._h)
        self._shares = torch.softmax(torch.bmm(v, v.transpose(1, 2)) / v.shape[2] ** 0.5, dim=2)
        torch.bmm(self._shares, v, out=self._grouped(self._attended))
        self._dropped.forward(self._attended)
        return self._classifier.forward(self._attended, self._logits)

    def backward(self, g: Tensor) -> None:
        self._classifier.backward(self._attended, g, self._g)
        self._dropped.backward(self._g)
        v, go, gv = self._grouped(self._h), self._grouped(self._g), self._grouped(self._gh)
        # o = S v with S = softmax(v v^T / sqrt(d)): v is value, query and key at once
        scores = torch.bmm(go, v.transpose(1, 2)).mul_(self._shares)
        scores.addcmul_(self._shares, scores.sum(dim=2, keepdim=True), value=-1).div_(v.shape[2] ** 0.5)
        torch.bmm(self._shares.transpose(1, 2), go, out=gv)
        gv.baddbmm_(scores + scores.transpose(1, 2), v)
        _relu_backward(self._gh, self._h)
        self._hidden.backward(self._gates.h, self._gh, self._gates.g)
        self._gates.backward()

    def _grouped(self, values: Tensor) -> Tensor:
        return values.view(len(values), self._groups, -1)


class ConcatProgram:
    """`classifiers.heads.concat`: h = [ReLU(W_1 v_1 + b_1) | ...], logits = W h + b."""

    def __init__(self, head: Concat, layer: Layer, empty: Callable[[int], Tensor]) -> None:
        width, count = head.classifier.in_features, len(head.projections)
        self._h, self._g, self._logits = empty(width), empty(width), empty(head.classifier.out_features)
        self._projections = [layer(f"projections.{index}") for index in range(count)]
        self._h_parts, self._g_parts = self._h.chunk(count, dim=1), self._g.chunk(count, dim=1)
        self._classifier, self._dropped = layer("classifier"), _Masked(head.dropout, self._h)
        self._inputs: list[Tensor] = []

    def forward(self, inputs: list[Tensor]) -> Tensor:
        self._inputs = inputs
        for project, view, part in zip(self._projections, inputs, self._h_parts, strict=True):
            project.forward(view, part)
        self._h.relu_()
        self._dropped.forward(self._h)
        return self._classifier.forward(self._h, self._logits)

    def backward(self, g: Tensor) -> None:
        self._classifier.backward(self._h, g, self._g)
        self._dropped.backward(self._g)
        # where dropout made h 0 the mask has made g 0 already
        _relu_backward(self._g, self._h)
        for project, view, part in zip(self._projections, self._inputs, self._g_parts, strict=True):
            project.backward(view, part)


class MLPProgram:
    """`classifiers.heads.mlp`: two hidden layers with ReLU and dropout, then logits."""

    def __init__(self, head: MLP, layer: Layer, empty: Callable[[int], Tensor]) -> None:
        last, width = cast(nn.Linear, head.layers[6]).weight.shape
        self._layers = [layer(f"layers.{index}") for index in (0, 3, 6)]
        self._h, self._g = [empty(width), empty(width)], [empty(width), empty(width)]
        self._dropped = [_Masked(cast(Dropout, head.layers[index]), self._h[0]) for index in (2, 5)]
        self._logits, self._inputs = empty(last), empty(0)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        self._inputs = x = inputs[0]
        for dense, h, dropped in zip(self._layers, self._h, self._dropped, strict=False):
            dense.forward(x, h).relu_()
            dropped.forward(h)
            x = h
        return self._layers[2].forward(x, self._logits)

    def backward(self, g: Tensor) -> None:
        for index in (1, 0):
            self._layers[index + 1].backward(self._h[index], g, self._g[index])
            g = self._g[index]
            self._dropped[index].backward(g)
            _relu_backward(g, self._h[index])
        self._layers[0].backward(self._inputs, g)


# exact classes: a subclass may compute something else
PROGRAMS: dict[type, Any] = {
    GuidedCA: GuidedCAProgram,
    CrossAttention: CrossAttentionProgram,
    Concat: ConcatProgram,
    MLP: MLPProgram,
}
