"""How many synthetic posts a share of the minority in train asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UsageError
from pipeline.protocols.choose import Protocol


@dataclass(frozen=True)
class Minority:
    """`minority` of the `total` train posts that are counted have the label; `conflicting`: only those posts are
    counted whose text and image labels disagree.
    """

    minority: int
    total: int
    conflicting: bool

    def missing(self, share: float) -> int:
        """The smallest number n of new posts of the minority with (minority + n) / (total + n) >= share."""
        n = max(0, int(np.floor((share * self.total - self.minority) / (1.0 - share))) - 1)
        while self.minority + n < share * (self.total + n) - 1e-9:
            n += 1
        return n

    def words(self) -> str:
        kind = "conflicting posts" if self.conflicting else "posts"
        share = f" ({100 * self.minority / self.total:.1f} %)" if self.total else ""
        return f"{self.minority:,} of the {self.total:,} {kind} in train{share}"


def count_minority(protocol: Protocol, label: str) -> Minority:
    """The posts of train with `label` among those whose two labels disagree, as 000 counts them (section 4.1); among
    all of train where no such pairs are known, and in setting A, which is about the others. Train is the first fold of
    seed 0, and its labels are those a head would learn.
    """
    if label not in protocol.task.classes:
        raise UsageError(f"'{label}' is no class of '{protocol.task.name}' ({', '.join(protocol.task.classes)}).")
    train = protocol.folds(0)[0].train
    conflicting = train[protocol.concordant[train] == 0]
    by_conflict = bool(len(conflicting)) and protocol.setting != "A"
    counted = conflicting if by_conflict else train
    index = protocol.task.classes.index(label)
    return Minority(int((protocol.labels[counted] == index).sum()), len(counted), by_conflict)


def goals(patterns: Sequence[str], missing: int | None, per_pattern: int | None) -> Mapping[str, int]:
    """Posts wanted per pattern: `missing` dealt out evenly, and not more than `per_pattern` of each."""
    if missing is None:
        return dict.fromkeys(patterns, per_pattern or 0)
    share, left = divmod(missing, len(patterns))
    dealt = {pattern: share + (number < left) for number, pattern in enumerate(patterns)}
    return dealt if per_pattern is None else {pattern: min(per_pattern, n) for pattern, n in dealt.items()}
