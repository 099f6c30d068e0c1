"""Prototypical modal rebalance (Fan et al. 2023)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from classifiers.problem import chunks
from classifiers.training.balancer import Balancer, Setup


class PrototypeRebalance(Balancer):
    """PMR: the slower view's branch is drawn to the prototypes of its classes.

        c_k^m = mean of z^m over the train rows of class k;  p_i^m = softmax_k(-|z_i^m - c_k^m|)
        rho = sum_i p_i^0[y_i] / sum_i p_i^1[y_i] over the batch
        beta = clip(1/rho - 1, 0, 1), gamma = clip(rho - 1, 0, 1)
        L = CE + alpha (beta PCE^0 + gamma PCE^1) - mu (gamma H(p^0) + beta H(p^1))

    PCE^m is the mean of -log p_i^m[y_i], H the mean entropy, its term in the first `until` epochs; beta and gamma
    carry no gradient. z is the branch's feature map, dropout off. Prototypes are made over all train rows before
    epoch 1 and anew after each epoch, `memory` of the old ones kept. The published code clips nothing (its beta and
    gamma are 0 or 1), has no entropy term, and makes its prototypes from a tenth of train.

    History: `rho`, the mean over the epoch's steps.
    """

    gradients = True

    def __init__(self, setup: Setup, *, alpha: float, mu: float, until: int, memory: float) -> None:
        super().__init__(setup)
        self._alpha, self._mu, self._until, self._memory = alpha, mu, until, memory
        self._epoch = 0
        self._prototypes: list[Tensor] = []
        self._ratios: list[float] = []

    def plan(self, epoch: int, order: Tensor) -> Any:
        self._epoch = epoch
        if epoch == 1:
            self._prototypes = self._class_means()
        return super().plan(epoch, order)

    def extra_loss(self, views: list[Tensor], targets: Tensor) -> Tensor:
        branches = self.setup.head.branches(views)
        logs = [_log_shares(z, c) for z, c in zip(branches, self._prototypes, strict=True)]
        own = [log.gather(1, targets.unsqueeze(1)) for log in logs]
        with torch.no_grad():
            first, second = (float(log.exp().double().sum()) for log in own)
        rho = self.ratio(first, second)
        self._ratios.append(rho)
        beta, gamma = (min(max(value, 0.0), 1.0) for value in (1 / rho - 1, rho - 1))
        loss = self._alpha * (beta * -own[0].mean() + gamma * -own[1].mean())
        if self._epoch <= self._until:
            entropies = [-(log.exp() * log).sum(dim=1).mean() for log in logs]
            loss = loss - self._mu * (gamma * entropies[0] + beta * entropies[1])
        return loss

    def record(self) -> dict[str, float]:
        means = self._class_means()
        self._prototypes = [
            self._memory * old + (1 - self._memory) * new for old, new in zip(self._prototypes, means, strict=True)
        ]
        rho = sum(self._ratios) / len(self._ratios)
        self._ratios.clear()
        return {"rho": rho}

    @torch.no_grad()
    def _class_means(self) -> list[Tensor]:
        head, targets = self.setup.head, self.setup.targets
        sums: list[Tensor] = []
        for part in chunks(len(targets), head.rows_at_once):
            branches = head.branches([view[part] for view in self.setup.views])
            sums = sums or [z.new_zeros(self.setup.classes, z.shape[1]) for z in branches]
            for total, z in zip(sums, branches, strict=True):
                total.index_add_(0, targets[part], z)
        counts = torch.bincount(targets, minlength=self.setup.classes).unsqueeze(1)
        return [total / counts for total in sums]


def _log_shares(z: Tensor, prototypes: Tensor) -> Tensor:
    """log softmax over the classes of the negated Euclidean distances, [B, C]."""
    distances = torch.cdist(z, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
    return (-distances).log_softmax(dim=1)
