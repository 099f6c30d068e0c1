"""On-the-fly gradient modulation with generalisation enhancement (Peng et al. 2022)."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from classifiers.training.balancer import Balancer, Setup, generator


class GradientModulation(Balancer):
    """OGM-GE: a batch's gradients of branch m are multiplied by k_m and disturbed.

        s_i^m = softmax(read-out of view m)[y_i], rho_m = sum_i s_i^m / sum_i s_i^k, k the other view
        k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else 1                                    (eq. 10)
        g_m <- k_m g_m + h, h ~ N(0, (noise sd(g_m))^2)

    The read-out is the head's `modality_logits`, dropout off. What is modulated are all tensors of the branch, as
    the paper writes it (its published code leaves biases out); h has each tensor's own deviation, as in that code,
    and `noise` 0 is OGM alone. Epochs after `until` train plainly. The method is made for SGD: AdamW divides by
    the gradients' own size, so that a factor that stays the same does nothing under it.

    History: `rho` of the first view and `k(view)`, means over the epoch's steps.
    """

    gradients = True

    def __init__(self, setup: Setup, *, alpha: float, noise: float, until: int) -> None:
        super().__init__(setup)
        self._alpha, self._noise, self._until = alpha, noise, until
        self._generator = generator(setup.rng)
        self._epoch = 0
        self._steps: list[tuple[float, ...]] = []

    def plan(self, epoch: int, order: Tensor) -> Any:
        self._epoch = epoch
        return super().plan(epoch, order)

    @torch.no_grad()
    def modulate(self, views: list[Tensor], targets: Tensor) -> None:
        rho = self._ratio(views, targets)
        factors = (self._factor(rho), self._factor(1 / rho))
        self._steps.append((rho, *factors))
        if self._epoch > self._until:
            return
        for index, factor in enumerate(factors):
            for parameter in self.setup.head.branch_parameters(index):
                gradient = cast(Tensor, parameter.grad)
                spread = float(gradient.std(correction=0)) * self._noise
                noise = torch.randn(gradient.shape, generator=self._generator, dtype=gradient.dtype)
                parameter.grad = gradient * factor + noise * spread

    def record(self) -> dict[str, float]:
        count = len(self._steps)
        rho, *factors = (sum(column) / count for column in zip(*self._steps, strict=True))
        self._steps.clear()
        return {"rho": rho, **{f"k({name})": factor for name, factor in zip(self.setup.names, factors, strict=True)}}

    def _ratio(self, views: list[Tensor], targets: Tensor) -> float:
        head = cast(Any, self.setup.head)
        head.eval()
        shares = [logits.softmax(dim=1) for logits in head.modality_logits(head.join(views))]
        head.train()
        first, second = (float(share.gather(1, targets.unsqueeze(1)).double().sum()) for share in shares)
        return self.ratio(first, second)

    def _factor(self, rho: float) -> float:
        return 1 - math.tanh(self._alpha * rho) if rho > 1 else 1.0
