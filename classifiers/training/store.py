"""All weights of a head in one block of memory, and the dense layers that work on it in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

# every tensor starts on a cache line, so that a product's last bits do not depend on where it lies
_LINE = 16


class Store:
    """The trainable tensors of `head`, moved into one vector `values`; `work` is another of its size.

    Matrices lie transposed ([in, out]): at batch 32 products with them take a quarter less time. The
    head's parameters become views of the block, so the head answers with the weights as they now are.
    `work` holds what the update keeps per weight: gradients or velocities. `waiting` are updates of layers,
    by name, that are put off until the layer is next used.
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
        self.waiting: dict[str, Callable[[], None]] = {}

    def settle(self) -> None:
        """Do all updates that wait."""
        for update in self.waiting.values():
            update()
        self.waiting.clear()

    def part(self, block: Tensor, name: str) -> Tensor:
        """The place of the parameter `name` in `block`: [in, out] of a matrix, [out] of a bias."""
        start, shape = self._places[name]
        return block[start : start + shape.numel()].view(tuple(reversed(shape)))


class Update(Protocol):
    """What a layer does with its gradient: dW = x^T g, db = sum of g over the batch.

    `puts_off`: whether `collect` is the whole update of a layer, and so may wait for the layer's next use. The
    weights then come into the processor's cache once a step and not twice.
    """

    lr: float
    puts_off: bool

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
        self._update, self._name, self._waiting = update, name, store.waiting

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """[B, in] to [B, out], into `out`."""
        update = self._waiting.pop(self._name, None)
        if update is not None:
            update()
        return torch.addmm(self.bias, x, self.weight, out=out)

    def backward(self, x: Tensor, g: Tensor, gx: Tensor | None = None) -> None:
        """Give the gradients to the update; first put the loss's gradient for x into `gx`, if there is one.

        Without `gx` the layer reads the views themselves, and its update may wait for its next `forward`: `x`
        and `g` must stay as they are until then.
        """
        if gx is not None:
            torch.mm(g, self._transposed, out=gx)
        elif self._update.puts_off:
            self._waiting[self._name] = partial(self._update.collect, self, x, g)
            return
        self._update.collect(self, x, g)
