"""R-SSE and D-SSE (Farah 2025, section 5.4): swaps between classes, of a view that is chosen as training goes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from classifiers.balance.donors import Donors
from classifiers.balance.probes import Probes
from classifiers.metrics import softmax
from classifiers.training.balancer import Balancer, Setup
from classifiers.training.plan import Plan, swap


def change_probabilities(scores: np.ndarray, a: float) -> np.ndarray:
    """P_m float64 [M], which view a swap changes, from the scores S^m > 0 of the views.

    Two views, rho = S^0 / S^1 (eq. 5.4.3): P_0 = (1 + tanh x) / 2 with x = a (rho - 1), or -a (1/rho - 1) below 1.

    Beyond the source, for any number: P = softmax(u), u_m the mean over the other views k of x_mk, which is x for
    rho = S^m / S^k. With two, u = (x, -x), and softmax gives (1 + tanh x) / 2: the same numbers.
    """
    ratio = scores[:, None] / scores[None, :]
    x = np.where(ratio >= 1, a * (ratio - 1), -a * (1 / ratio - 1))
    u = x.sum(axis=1) / (len(scores) - 1)
    return softmax(u)


class _CrossClassSSE(Balancer):
    """Algorithm 1: with probability `p_c` a row's view m, drawn by P_m, comes from a row of another class."""

    def __init__(self, setup: Setup, *, p_c: float) -> None:
        super().__init__(setup)
        self._p_c = p_c
        self._donors = Donors(setup.targets.numpy(), setup.classes)
        self._swapped = 0.0

    def _perturbed(self, order: Tensor, probabilities: np.ndarray) -> Plan:
        rows = order.numpy()
        changed, donor, side = self.setup.rng.random((3, len(rows)))
        view = np.searchsorted(np.cumsum(probabilities)[:-1], side, side="right")
        view = np.where(changed < self._p_c, view, -1)
        self._swapped = float(np.mean(view >= 0))
        donors = torch.from_numpy(self._donors.other(rows, donor))
        return swap(order, torch.from_numpy(view), donors, len(self.setup.views))

    def _figures(self, letter: str, values: np.ndarray) -> dict[str, float]:
        return {f"{letter}({name})": float(value) for name, value in zip(self.setup.names, values, strict=True)}


class RandomSSE(_CrossClassSSE):
    """R-SSE (section 5.5.4): P_c stays, P_m is drawn each epoch, uniform among what adds up to 1.

    With two views that is P_0 ~ U(0, 1). As in Algorithm 2 nothing is swapped in epoch 1, so that D-SSE differs in
    P_m alone. History: `swapped`, and `P(view)` as it held in the epoch.
    """

    def __init__(self, setup: Setup, *, p_c: float) -> None:
        super().__init__(setup, p_c=p_c)
        self._p = np.full(len(setup.views), 1 / len(setup.views))

    def plan(self, epoch: int, order: Tensor) -> Plan:
        if epoch == 1:
            return Plan(order)
        self._p = self.setup.rng.dirichlet(np.ones(len(self.setup.views)))
        return self._perturbed(order, self._p)

    def record(self) -> dict[str, float]:
        return {"swapped": self._swapped, **self._figures("P", self._p)}


class DynamicSSE(_CrossClassSSE):
    """D-SSE, Algorithms 1 and 2: from epoch 2 on, P_m as `change_probabilities` makes it from the epoch before.

    S^m is the mean over the epoch's rows of the probability that the probe of view m gives the true class (eqs
    5.3.5, 5.4.2), on the perturbed batches and before each is learnt from, as Algorithm 2 has it. With
    `p_c` 0 nothing is swapped and the fit is that without a balancer, its scores told.

    History: `swapped`; `S(view)` of the epoch; with two views `rho` = S^0 / S^1; `P(view)` made from them, which
    holds in the next epoch. Views are in the sorted order of their names.
    """

    def __init__(self, setup: Setup, *, p_c: float, a: float) -> None:
        super().__init__(setup, p_c=p_c)
        self._a = a
        views = len(setup.views)
        first = torch.arange(min(2, len(setup.targets)))
        with torch.no_grad():
            branches = setup.head.branches([view[first] for view in setup.views])
        self._probes = Probes([z.shape[1] for z in branches], setup.classes, setup.training, branches[0].dtype)
        self._p = np.full(views, 1 / views)
        self._sums, self._rows = torch.zeros(views, dtype=torch.float64), 0

    def plan(self, epoch: int, order: Tensor) -> Plan:
        return Plan(order) if epoch == 1 else self._perturbed(order, self._p)

    @torch.no_grad()
    def watch(self, views: list[Tensor], targets: Tensor) -> None:
        self._sums += self._probes.learn(self.setup.head.branches(views), targets, self.lr)
        self._rows += len(targets)

    def record(self) -> dict[str, float]:
        scores = self._sums.numpy() / self._rows
        self._p = change_probabilities(scores, self._a)
        self._sums, self._rows = torch.zeros_like(self._sums), 0
        pair = {"rho": float(scores[0] / scores[1])} if len(scores) == 2 else {}
        return {"swapped": self._swapped, **self._figures("S", scores), **pair, **self._figures("P", self._p)}
