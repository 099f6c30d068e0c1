"""What every balancer can be asked by the trainer, and what it is made from; `classifiers.balance` has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from classifiers.errors import HeadError
from classifiers.heads.torch_head import TorchHead
from classifiers.params import Training
from classifiers.training.plan import Plan


@dataclass(frozen=True)
class Setup:
    """One fit as a balancer sees it.

    `views` are the train rows of each view, as `TorchHead.per_view` gives them, only ever read; `targets` int64
    [n] their classes, 0 to `classes` - 1; `discordant` bool [M, n] marks the views whose own label is
    another than the row's. All draws come from `rng`.
    """

    head: TorchHead
    training: Training
    views: list[Tensor]
    targets: Tensor
    classes: int
    discordant: np.ndarray
    rng: np.random.Generator

    @property
    def names(self) -> list[str]:
        """The views' names, in their order."""
        return list(self.head.dims)


class Balancer:
    """Asked by the trainer: for a plan before an epoch, at each step of it, and for its figures after it.

    `views` below are a batch's gathered views, [B, D] each, and `targets` int64 [B] its classes. `gradients`: the
    balancer adds to the loss or changes gradients, so that the head trains through autograd. `lr` is the head's
    current learning rate.
    """

    gradients: ClassVar[bool] = False

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.lr = setup.training.lr

    def plan(self, epoch: int, order: Tensor) -> Plan:
        """The plan of `epoch` (from 1), whose rows would come in `order` int64 [n] without a balancer."""
        return Plan(order)

    def watch(self, views: list[Tensor], targets: Tensor) -> None:
        """Look at a batch before the head learns from it."""

    def extra_loss(self, views: list[Tensor], targets: Tensor) -> Tensor | None:
        """What is added to a batch's loss."""
        return None

    def modulate(self, views: list[Tensor], targets: Tensor) -> None:
        """Change the gradients that a batch left in the head."""

    def ratio(self, first: float, second: float) -> float:
        """`first` / `second`, how well two views tell the true classes. `HeadError` where one of them tells nothing any
        more: its weights have grown beyond all bounds.
        """
        if not (first > 0 and second > 0):
            raise HeadError(
                "Training diverged: one view gives the true classes no probability at all; choose a learning rate "
                f"below {self.setup.training.lr:g}."
            )
        return first / second

    def record(self) -> dict[str, float]:
        """The epoch's figures for the fit's history, asked for once at its end."""
        return {}


def generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator that `rng` seeds."""
    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
