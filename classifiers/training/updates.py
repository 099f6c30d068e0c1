"""SGD, SGD with momentum and AdamW, in place, equal to torch's optimisers to rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from classifiers.params import Training
from classifiers.training.optimiser import AdamWSteps
from classifiers.training.store import Dense, Store, Update


def make_update(training: Training, store: Store) -> Update:
    """The update that `training.optimiser` names, with its learning rate."""
    if training.optimiser == "adamw":
        return AdamW(store, training.lr, training.weight_decay)
    if training.momentum:
        return Momentum(training.lr, training.momentum, training.weight_decay)
    return SGD(training.lr, training.weight_decay)


class SGD:
    """W <- W - lr (dW + decay W), the gradient added by the product that forms it: it is never stored."""

    puts_off = True

    def __init__(self, lr: float, weight_decay: float) -> None:
        self.lr = lr
        self.weight_decay = weight_decay

    def collect(self, layer: Dense, x: Tensor, g: Tensor) -> None:
        kept = 1 - self.lr * self.weight_decay
        layer.weight.addmm_(x.t(), g, beta=kept, alpha=-self.lr)
        layer.bias.addmv_(g.t(), layer.ones, beta=kept, alpha=-self.lr)

    def finish(self) -> None:
        """Nothing is left to do."""


class Momentum:
    """V <- momentum V + dW + decay W, W <- W - lr V (torch's SGD), layer by layer while V is in cache."""

    puts_off = True

    def __init__(self, lr: float, momentum: float, weight_decay: float) -> None:
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay

    def collect(self, layer: Dense, x: Tensor, g: Tensor) -> None:
        layer.weight_work.addmm_(x.t(), g, beta=self.momentum)
        layer.bias_work.addmv_(g.t(), layer.ones, beta=self.momentum)
        for values, velocity in ((layer.weight, layer.weight_work), (layer.bias, layer.bias_work)):
            if self.weight_decay:
                velocity.add_(values, alpha=self.weight_decay)
            values.add_(velocity, alpha=-self.lr)

    def finish(self) -> None:
        """Nothing is left to do."""


class AdamW:
    """AdamW on the one vector of all weights."""

    puts_off = False

    def __init__(self, store: Store, lr: float, weight_decay: float) -> None:
        self._steps = AdamWSteps([store.values], lr, weight_decay)
        self._gradients = [store.work]

    @property
    def lr(self) -> float:
        return self._steps.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._steps.lr = value

    def collect(self, layer: Dense, x: Tensor, g: Tensor) -> None:
        torch.mm(x.t(), g, out=layer.weight_work)
        torch.mv(g.t(), layer.ones, out=layer.bias_work)

    def finish(self) -> None:
        """Step all weights at once."""
        self._steps.step(self._gradients)
