"""One task under one way of splitting: what every fit is asked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.datasets.tasks import Task


@dataclass(frozen=True)
class Fold:
    """Row numbers (int64) of one train/dev/test division; `name` is the held-out event, or "" for the only fold."""

    name: str
    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray


def when_held_out(fold: str) -> str:
    """The name of a fold as the end of a clause, "" for the only one."""
    return f" when '{fold}' is held out" if fold else ""


@dataclass(frozen=True)
class Protocol:
    """One task under one way of splitting: class index per post (-1: takes no part) and the folds of a seed.

    `concordant` is per post: 1 where text and image labels agree, 0 where not, -1 where unknown. `target` says whose
    labels they are: the "pair"'s, or the "text"'s or "image"'s own.
    """

    task: Task
    setting: str
    split: str
    labels: np.ndarray
    concordant: np.ndarray
    folds: Callable[[int], list[Fold]]
    notes: tuple[str, ...] = ()
    target: str = "pair"
