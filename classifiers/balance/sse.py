"""Balancers that need to know nothing of the training: they draw, and that is all."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from classifiers.balance.donors import Donors
from classifiers.training.balancer import Balancer, Setup
from classifiers.training.plan import Plan, swap


class SSE(Balancer):
    """Stochastic shared embeddings (Abavisani et al. 2020, section 3.4).

        p(j, j) = 1 - p0,  p(j, k) / p(j, l) = rho for k of j's class and l of another           (eqs 9-10)

    Each epoch, each row j keeps its vectors with probability 1 - p0; else one view, each as likely, takes the
    vector of another row, any row of j's class rho times as likely as any row of another class.

    A post whose text and image have different labels is discordant in the view whose own label is not the post's
    (section 4.2, setting B). It has p0 = 1, so that the pair becomes one with a consistent label: what is replaced
    is that view, and that view of it is nobody's donor.

    History: `swapped`, the share of rows that took another's vector.
    """

    def __init__(self, setup: Setup, *, p0: float, rho: float) -> None:
        super().__init__(setup)
        self._chance = np.where(setup.discordant.any(axis=0), 1.0, p0)
        self._rho = rho
        targets = setup.targets.numpy()
        self._donors = [Donors(targets, setup.classes, ~marks) for marks in setup.discordant]
        self._swapped = 0.0

    def plan(self, epoch: int, order: Tensor) -> Plan:
        rows = order.numpy()
        changed, side, kind, donor = self.setup.rng.random((4, len(rows)))
        view = np.where(changed < self._chance[rows], self._view(rows, side), -1)
        donors = rows.copy()
        for index, givers in enumerate(self._donors):
            places = np.flatnonzero(view == index)
            near = self._rho * givers.same_count(rows[places])
            within = kind[places] * (near + givers.other_count(rows[places])) < near
            same, other = (draw(rows[places], donor[places]) for draw in (givers.same, givers.other))
            donors[places] = np.where(within, same, other)
        self._swapped = float(np.mean(donors != rows))
        return swap(order, torch.from_numpy(view), torch.from_numpy(donors), len(self._donors))

    def record(self) -> dict[str, float]:
        return {"swapped": self._swapped}

    def _view(self, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """The view to change in each of `rows`: each as likely among the discordant ones, or among all."""
        marks = self.setup.discordant[:, rows]
        open_ = marks | ~marks.any(axis=0)
        chosen = (uniform * open_.sum(axis=0)).astype(np.int64)
        result: np.ndarray = (np.cumsum(open_, axis=0) <= chosen).sum(axis=0)
        return result


class ModalityDropout(Balancer):
    """Each row loses one view, each as likely, with probability `p_c`: zeros after standardisation.

    Farah 2025, section 5.5.6: the modality of a transition is changed to a vector of zeros, P_c as for D-SSE. To a
    head over tokens, zeros are an absent view. History: `dropped`, the share of rows that lost a view.
    """

    def __init__(self, setup: Setup, *, p_c: float) -> None:
        super().__init__(setup)
        self._p_c = p_c
        self._dropped = 0.0

    def plan(self, epoch: int, order: Tensor) -> Plan:
        views = len(self.setup.views)
        changed, side = self.setup.rng.random((2, len(order)))
        view = np.where(changed < self._p_c, np.minimum((side * views).astype(np.int64), views - 1), -1)
        self._dropped = float(np.mean(view >= 0))
        return Plan(order, keep=tuple(torch.from_numpy(view != index) for index in range(views)))

    def record(self) -> dict[str, float]:
        return {"dropped": self._dropped}


class ShuffleWithin(Balancer):
    """Every epoch, every view but the first is dealt out anew among the rows of each class.

    The row "Shuffling Within Class" of Abavisani et al. 2020, Table 8, which the source words no further: texts
    and images of one class are paired anew, and every vector is still used once.
    """

    def plan(self, epoch: int, order: Tensor) -> Plan:
        dealt = [order]
        for _ in self.setup.views[1:]:
            givers = order.numpy().copy()
            classes = self.setup.targets.numpy()[givers]
            # positions by class, and the same positions by class in a drawn order
            before = np.argsort(classes, kind="stable")
            after = np.lexsort((self.setup.rng.random(len(givers)), classes))
            givers[before] = givers[after]
            dealt.append(torch.from_numpy(givers))
        return Plan(order, rows=tuple(dealt))


class Mixup(Balancer):
    """x = lambda x_i + (1 - lambda) x_j, y likewise, lambda ~ Beta(alpha, alpha) (Zhang et al. 2018).

    As in that paper's listing: j comes from a second order of the same rows, lambda is drawn once a batch. Every
    view of a post is mixed with the same partner and lambda.
    """

    def __init__(self, setup: Setup, *, alpha: float) -> None:
        super().__init__(setup)
        self._alpha = alpha

    def plan(self, epoch: int, order: Tensor) -> Plan:
        size = self.setup.training.batch_size
        partner = order[torch.from_numpy(self.setup.rng.permutation(len(order)))]
        per_batch = self.setup.rng.beta(self._alpha, self._alpha, size=-(-len(order) // size))
        share = torch.from_numpy(np.repeat(per_batch, size)[: len(order)])
        return Plan(order, partner=partner, share=share)
