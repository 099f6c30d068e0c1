"""torch's optimisers as `Training` names them, on lists of tensors.

These call the kernels of `torch.optim` with fused=True. Its classes import torch's compiler when first made, which
takes half as long as importing torch itself: in every worker, and longer than a small fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from classifiers.params import Training


class AdamWSteps:
    """AdamW (Loshchilov and Hutter 2019) on tensors in place, with betas 0.9 and 0.999 and epsilon 1e-8."""

    def __init__(self, values: list[Tensor], lr: float, weight_decay: float) -> None:
        self.lr = lr
        self._weight_decay = weight_decay
        self._values = values
        self._means, self._squares = ([torch.zeros_like(tensor) for tensor in values] for _ in range(2))
        self._counts = [torch.zeros(()) for _ in values]

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One step along `gradients`, one per tensor; a tensor without one stays as it is."""
        slopes, *rest = _given(gradients, self._values, self._means, self._squares, self._counts)
        values, means, squares, counts = rest
        torch._foreach_add_(counts, 1)
        torch._fused_adamw_(
            values,
            slopes,
            means,
            squares,
            [],
            counts,
            lr=self.lr,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self._weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class SGDSteps:
    """SGD on tensors in place: V <- momentum V + dW + decay W, W <- W - lr V."""

    def __init__(self, values: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        self.lr = lr
        self._momentum, self._weight_decay = momentum, weight_decay
        self._values = values
        self._velocities = [torch.zeros_like(tensor) for tensor in values] if momentum else []

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One step along `gradients`, one per tensor; a tensor without one stays as it is."""
        slopes, values, velocities = _given(gradients, self._values, self._velocities or self._values)
        torch._fused_sgd_(
            values,
            slopes,
            velocities if self._momentum else [],
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=self.lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


def make_steps(training: Training, values: list[Tensor]) -> AdamWSteps | SGDSteps:
    """The optimiser that `training` names, on `values`."""
    if training.optimiser == "adamw":
        return AdamWSteps(values, training.lr, training.weight_decay)
    return SGDSteps(values, training.lr, training.momentum, training.weight_decay)


def _given(gradients: Sequence[Tensor | None], *lists: list[Tensor]) -> list[list[Tensor]]:
    """The gradients that are there, and what stands beside them in each of `lists`."""
    slopes = [gradient for gradient in gradients if gradient is not None]
    if len(slopes) == len(gradients):
        return [slopes, *lists]
    places = [place for place, gradient in enumerate(gradients) if gradient is not None]
    return [slopes, *([values[place] for place in places] for values in lists)]
