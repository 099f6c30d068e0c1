"""Parts with as many posts of every class, drawn from those of a protocol (Farah 2025, Table 3.6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.errors import UsageError
from pipeline.protocols.protocol import Fold, Protocol

_TEST_SEED = 0


def balanced(protocol: Protocol, part: str, per_class: int | None = None) -> Protocol:
    """The protocol with its `part` ("train" or "test") cut to equal classes: each seed draws its own posts of train,
    and one draw of test serves all seeds, so that they stay comparable.

    A class keeps as many posts as the part's rarest class has, or `per_class`. A class without any post in the part is
    left out of account there. Raises `UsageError` where a class has fewer than `per_class`.
    """

    def folds(seed: int) -> list[Fold]:
        return [cut(fold, seed) for fold in protocol.folds(seed)]

    def cut(fold: Fold, seed: int) -> Fold:
        if part == "train":
            return replace(fold, train=_equal(protocol, fold.train, part, seed, per_class))
        return replace(fold, test=_equal(protocol, fold.test, part, _TEST_SEED, per_class))

    many = "" if per_class is None else f", {per_class:,} each"
    return replace(protocol, split=f"{protocol.split}, {part} balanced by class{many}", folds=folds)


def _equal(protocol: Protocol, rows: np.ndarray, part: str, seed: int, per_class: int | None) -> np.ndarray:
    labels = protocol.labels[rows]
    counts = np.bincount(labels, minlength=len(protocol.task.classes))
    there = np.flatnonzero(counts)
    rarest = there[counts[there].argmin()]
    kept = int(counts[rarest]) if per_class is None else per_class
    if kept > counts[rarest]:
        raise UsageError(
            f"--per-class {kept:,}: {part} has {int(counts[rarest]):,} posts of '{protocol.task.classes[rarest]}'."
        )
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(rows[labels == label], kept, replace=False) for label in there]
    return np.sort(np.concatenate(drawn))
