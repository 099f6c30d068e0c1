"""All weights of a head in one block of memory, and the dense layers that work on it in place."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

# every tensor starts on a cache line, so that a product's last bits do not depend on where it lies
_LINE = 16


class Store:
    """The trainable tensors of `head`, moved into one vector `values`; `work` is another of its size.

    Matrices lie transposed ([in, out]): at batch 32 products with them take a quarter less time. The
    head's parameters become views of the block, so the head answers with the weights as they now are.
    `work` holds what the update keeps per weight: gradients or velocities.
    """

    def __init__(self, head: nn.Module) -> None:
        parameters = dict(head.named_parameters())
        starts, end = {}, 0
        for name, parameter in parameters.items():
            starts[name] = end
            end += -(-parameter.numel() // _LINE) * _LINE
        dtype = next(iter(parameters.values())).dtype
        self.values, self.work = torch.zeros(end, dtype=dtype), torch.zeros(end, dtype=dtype)
        self._places = {name: (starts[name], parameter.shape) for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            place = self.part(self.values, name)
            place.copy_(parameter.detach().t() if parameter.dim() == 2 else parameter.detach())
            parameter.data = place.t() if parameter.dim() == 2 else place

    def part(self, block: Tensor, name: str) -> Tensor:
        """The place of the parameter `name` in `block`: [in, out] of a matrix, [out] of a bias."""
        start, shape = self._places[name]
        return block[start : start + shape.numel()].view(tuple(reversed(shape)))


class Update(Protocol):
    """What a layer does with its gradient: dW = x^T g, db = sum of g over the batch."""

    lr: float

    def collect(self, layer: Dense, x: Tensor, g: Tensor) -> None:
        """Take the gradients of one layer, given its input [B, in] and the loss's gradient [B, out]."""

    def finish(self) -> None:
        """End the step, after all layers."""


class Dense:
    """y = x W + b for batches of one size, named as the `nn.Linear` of the head it stands for."""

    def __init__(self, store: Store, name: str, update: Update, batch: int) -> None:
        self.weight = store.part(store.values, f"{name}.weight")
        self.bias = store.part(store.values, f"{name}.bias")
        self.weight_work = store.part(store.work, f"{name}.weight")
        self.bias_work = store.part(store.work, f"{name}.bias")
        self.ones = torch.ones(batch, dtype=store.values.dtype)
        self._transposed = self.weight.t()
        self._update = update

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """[B, in] to [B, out], into `out`."""
        return torch.addmm(self.bias, x, self.weight, out=out)

    def backward(self, x: Tensor, g: Tensor, gx: Tensor | None = None) -> None:
        """Give the gradients to the update; first put the loss's gradient for x into `gx`, if there is one."""
        if gx is not None:
            torch.mm(g, self._transposed, out=gx)
        self._update.collect(self, x, g)
