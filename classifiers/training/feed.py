"""The batches of a plan: views gathered row by row, and how much each class counts in each row's loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from classifiers.training.plan import Plan


class Feed:
    """`views` are gathered from and never written to; `targets` int64 [N] are 0..C-1, and each occurs.

    `class_weights` [C] (None: all 1) weigh a row by its class; a row mixed of two classes by both.
    """

    def __init__(self, views: list[Tensor], targets: Tensor, class_weights: Tensor | None, dtype: torch.dtype) -> None:
        self._views = views
        self._mass = one_hot(targets).to(dtype)
        if class_weights is not None:
            self._mass = self._mass * class_weights.to(dtype)

    def gather(self, part: Plan) -> list[Tensor]:
        """The vectors of a batch, [B, D] per view, in memory of their own."""
        rows = part.rows or (part.order,) * len(self._views)
        gathered = [view[own] for view, own in zip(self._views, rows, strict=True)]
        if part.partner is not None and part.share is not None:
            share, partner = part.share, part.partner
            gathered = [_mixed(own, view[partner], share) for own, view in zip(gathered, self._views, strict=True)]
        if part.keep is not None:
            gathered = [own * _column(keep, own) for own, keep in zip(gathered, part.keep, strict=True)]
        return gathered

    def mass(self, part: Plan) -> Tensor:
        """How much of each row's loss each class is, [B, C]: the label's weight, split where rows are mixed."""
        mass = self._mass[part.order]
        if part.partner is not None and part.share is not None:
            mass = _mixed(mass, self._mass[part.partner], part.share)
        return mass


def cross_entropy_of(mass: Tensor, logits: Tensor) -> Tensor:
    """- sum mass log softmax(logits) / sum mass: torch's mean cross-entropy for weighted classes."""
    return -(mass * logits.log_softmax(dim=1)).sum() / mass.sum()


def _mixed(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    part = _column(share, own)
    return part * own + (1 - part) * other


def _column(values: Tensor, like: Tensor) -> Tensor:
    """[B] to [B, 1, ...] of `like`'s type and number of dimensions."""
    return values.to(like.dtype).view(-1, *(1,) * (like.dim() - 1))
