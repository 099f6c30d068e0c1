"""The fits of a protocol: one per seed and fold, each with its rows in the loaded views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import CrisisError
from pipeline.protocols.choose import Fold, Protocol
from pipeline.runs.showing import Shown
from pipeline.runs.views import Views


@dataclass(frozen=True)
class Member:
    """One fit: its seed and fold; `rows`, per part, those of its posts in the loaded arrays. `trained` are the rows
    that it learns from, and `asked`, for dev and test, those that it is asked about, both as they are shown.
    """

    seed: int
    fold: str
    rows: Mapping[str, np.ndarray]
    trained: np.ndarray
    asked: Mapping[str, np.ndarray]


def members_of(
    protocol: Protocol, seeds: Sequence[int], place: np.ndarray, views: Views, visible: Shown
) -> list[Member]:
    """`place` int64 [posts] gives a post's row in the loaded arrays, -1 for one that is not loaded or not usable.

    Raises `CrisisError` where no usable post is left in a part.
    """
    members = []
    for seed in seeds:
        for fold in protocol.folds(seed):
            rows = _usable(fold, place, views)
            asked = {part: visible.asked_rows(rows[part]) for part in ("dev", "test")}
            members.append(Member(seed, fold.name, rows, visible.trained_rows(rows["train"], seed), asked))
    return members


def _usable(fold: Fold, place: np.ndarray, views: Views) -> dict[str, np.ndarray]:
    """The fold's rows in the loaded arrays, without the posts that are left out."""
    rows = {part: place[getattr(fold, part)] for part in ("train", "dev", "test")}
    rows = {part: held[held >= 0] for part, held in rows.items()}
    for part, held in rows.items():
        if not len(held):
            where = f" of the fold '{fold.name}'" if fold.name else ""
            why = f" ({words(views.left_out)})" if views.left_out else ""
            raise CrisisError(f"No post with usable features is left in {part}{where}{why}.")
    return rows


def words(counts: Mapping[str, int]) -> str:
    """ "3 image missing, 1 text empty": posts left out, by reason."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
