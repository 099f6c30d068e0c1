"""Posts on both sides of a split, alike in what they say, show or belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audit.likeness import Likenesses
from pipeline.datasets.posts import Posts
from pipeline.protocols.protocol import Fold

SIDES = (("train", "test"), ("train", "dev"), ("dev", "test"))
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
    kinds = {"post": posts.ids, **keys}
    for kind, values in kinds.items():
        for first, second in SIDES:
            found = leak(posts, kind, values, (getattr(fold, first), getattr(fold, second)))
            if found is not None:
                yield Leak(kind, fold.name, first, second, *found)


Found = tuple[int, int, float, Sequence[tuple[str, str]]]


def leak(posts: Posts, kind: str, values: Sequence[str], sides: tuple[np.ndarray, np.ndarray]) -> Found | None:
    """(shared, posts, share, examples) of rows that have equal `values` on both `sides`; None where there are none."""
    of_first: dict[str, int] = {}
    for row in sides[0].tolist():
        if values[row]:
            of_first.setdefault(values[row], row)
    alike = [row for row in sides[1].tolist() if values[row] in of_first]
    if not alike:
        return None
    examples = [(posts.ids[of_first[values[row]]], posts.ids[row]) for row in alike[:_SHOWN]]
    return len({values[row] for row in alike}), len(alike), len(alike) / len(sides[1]), examples


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
