"""One epoch over the train rows, told in row numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Plan:
    """`order` int64 [n]: the rows in turn, whose labels count; rows may be repeated or left out.

    `rows` per view int64 [n]: the row whose vector the view takes (None: `order` for all). `keep` per view bool
    [n]: False for zeros in its place, after standardisation. `partner` int64 [n] and `share` float [n], from 0 to
    1: the row's vectors and labels are `share` its own and the rest the partner's.
    """

    order: Tensor
    rows: tuple[Tensor, ...] | None = None
    keep: tuple[Tensor, ...] | None = None
    partner: Tensor | None = None
    share: Tensor | None = None

    def __len__(self) -> int:
        return len(self.order)

    def split(self, size: int) -> Iterator[Plan]:
        """The plans of its batches of `size` rows, the last one smaller."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Plan(
                self.order[part],
                _each(self.rows, part),
                _each(self.keep, part),
                _one(self.partner, part),
                _one(self.share, part),
            )


def swap(order: Tensor, view: Tensor, donors: Tensor, views: int) -> Plan:
    """`order` with the vector of view `view` int64 [n] (-1: none) taken from the row `donors` int64 [n]."""
    return Plan(order, rows=tuple(torch.where(view == index, donors, order) for index in range(views)))


def _one(values: Tensor | None, part: slice) -> Tensor | None:
    return None if values is None else values[part]


def _each(values: tuple[Tensor, ...] | None, part: slice) -> tuple[Tensor, ...] | None:
    return None if values is None else tuple(value[part] for value in values)
