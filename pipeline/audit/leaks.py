"""Posts on both sides of a split, alike in what they say, show or belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audit.likeness import Likenesses
from pipeline.datasets.dataset import PARTS
from pipeline.datasets.posts import Posts
from pipeline.protocols.protocol import Fold

Side = tuple[str, np.ndarray]
"""The name of a part and its rows."""

_PAIRS = (("train", "test"), ("train", "dev"), ("dev", "test"))
_SHOWN = 3


@dataclass(frozen=True)
class Leak:
    """Of one kind, between two parts of a fold, or of two tasks.

    shared: how many keys (groups, texts, photos) are on both sides. posts: how many posts of the second part have an
    alike in the first, a share of `share` of that part. examples: pairs of ids, one from each side.
    """

    kind: str
    fold: str
    first: str
    second: str
    shared: int
    posts: int
    share: float
    examples: Sequence[tuple[str, str]]


def leaks_of(posts: Posts, fold: Fold, keys: Likenesses) -> Iterator[Leak]:
    """What leaks between the parts of a fold; a post that stands in two parts is of the kind "post"."""
    sides = {part: (part, getattr(fold, part)) for part in PARTS}
    return leaks_between(posts, fold.name, [(sides[first], sides[second]) for first, second in _PAIRS], keys)


def leaks_between(posts: Posts, fold: str, pairs: Sequence[tuple[Side, Side]], keys: Likenesses) -> Iterator[Leak]:
    """What leaks between two sides, each a name and its rows, pair by pair within each kind."""
    for kind, values in {"post": posts.ids, **keys}.items():
        for (first, trained), (second, asked) in pairs:
            first_row = {values[row]: row for row in reversed(trained.tolist()) if values[row]}
            alike = [row for row in asked.tolist() if values[row] in first_row]
            if alike:
                examples = [(posts.ids[first_row[values[row]]], posts.ids[row]) for row in alike[:_SHOWN]]
                shared = len({values[row] for row in alike})
                yield Leak(kind, fold, first, second, shared, len(alike), len(alike) / len(asked), examples)


def without_leaks(fold: Fold, keys: Likenesses) -> Fold:
    """The fold without the posts that leak: train loses what is alike to dev or test, dev what is alike to test; test
    stays as it is, so that figures on it can be compared.
    """
    dev = _unlike(fold.dev, [fold.test], keys)
    return Fold(fold.name, _unlike(fold.train, [dev, fold.test], keys), dev, fold.test)


def _unlike(rows: np.ndarray, others: Sequence[np.ndarray], keys: Likenesses) -> np.ndarray:
    taken = np.concatenate(others).tolist()
    there = {kind: {values[row] for row in taken} - {""} for kind, values in keys.items()}
    same = set(taken)
    kept = [
        row for row in rows.tolist() if row not in same and not any(keys[kind][row] in there[kind] for kind in keys)
    ]
    return np.array(kept, dtype=np.int64)
