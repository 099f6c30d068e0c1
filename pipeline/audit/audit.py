"""The audit of one task under one way of splitting."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.audit.leaks import Leak, leaks_between, leaks_of
from pipeline.audit.likeness import CONTENT, Likenesses
from pipeline.audit.shortcuts import Shortcut, shortcuts_of
from pipeline.datasets.dataset import PARTS
from pipeline.datasets.posts import Posts
from pipeline.protocols.protocol import Fold, Protocol

_SHOWN = 3


@dataclass(frozen=True)
class Conflict:
    """Posts that are alike in `kind` and have different labels: how many keys, how many posts, and the ids and classes
    of some of them.
    """

    kind: str
    keys: int
    posts: int
    examples: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Audit:
    """What was found. `support` is per fold, class and part; `missing` counts labelled posts whose photo is not there;
    `across` are posts that one task tests and another trains on, which matters to whoever trains on both.
    """

    task: str
    setting: str
    split: str
    posts: int
    missing: int
    support: Mapping[str, Mapping[str, Mapping[str, int]]]
    leaks: Sequence[Leak]
    conflicts: Sequence[Conflict]
    shortcuts: Sequence[Shortcut]
    across: Sequence[Leak]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": not self.leaks}


def audit(posts: Posts, protocol: Protocol, keys: Likenesses, others: Sequence[Protocol] = (), seed: int = 0) -> Audit:
    """What makes the figures of `protocol` less than they seem, in the folds of `seed`.

    `keys` say which posts are alike (`likenesses`), `others` are the protocols of other tasks of the same dataset.
    """
    folds = protocol.folds(seed)
    return Audit(
        task=protocol.task.name,
        setting=protocol.setting,
        split=protocol.split,
        posts=int((protocol.labels >= 0).sum()),
        missing=_missing(posts, protocol),
        support={fold.name: _support(protocol, {part: getattr(fold, part) for part in PARTS}) for fold in folds},
        leaks=[found for fold in folds for found in leaks_of(posts, fold, keys)],
        conflicts=[
            found for kind in CONTENT if kind in keys if (found := _conflict(posts, protocol, kind, keys[kind]))
        ],
        shortcuts=[found for fold in folds for found in shortcuts_of(posts, protocol, fold)],
        across=[found for other in others for found in _across(posts, folds, other, keys, seed)],
    )


def _missing(posts: Posts, protocol: Protocol) -> int:
    images = [posts.images[row] for row in np.flatnonzero(protocol.labels >= 0).tolist()]
    there = {image: os.path.isfile(posts.image_file(image) or "") for image in set(images) - {""}}
    return sum(image != "" and not there[image] for image in images)


def _support(protocol: Protocol, parts: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Class to part to number of posts."""
    counts = {
        part: np.bincount(protocol.labels[rows], minlength=len(protocol.task.classes)) for part, rows in parts.items()
    }
    return {
        name: {part: int(count[index]) for part, count in counts.items()}
        for index, name in enumerate(protocol.task.classes)
    }


def _conflict(posts: Posts, protocol: Protocol, kind: str, values: Sequence[str]) -> Conflict | None:
    """Labelled posts that are alike and have different labels."""
    alike: dict[str, list[int]] = {}
    for row in np.flatnonzero(protocol.labels >= 0).tolist():
        if values[row]:
            alike.setdefault(values[row], []).append(row)
    at_odds = [rows for rows in alike.values() if len({int(protocol.labels[row]) for row in rows}) > 1]
    if not at_odds:
        return None
    examples = []
    for rows in at_odds[:_SHOWN]:
        of_class = {int(protocol.labels[row]): row for row in reversed(rows)}
        examples.append({posts.ids[row]: protocol.task.classes[label] for label, row in sorted(of_class.items())})
    return Conflict(kind, len(at_odds), sum(map(len, at_odds)), examples)


def _across(posts: Posts, folds: Sequence[Fold], other: Protocol, keys: Likenesses, seed: int) -> Iterator[Leak]:
    """Posts that these folds test and the `other` task trains on."""
    for fold, theirs in zip(folds, other.folds(seed), strict=False):
        train_of_other = (f"train of {other.task.name}", theirs.train)
        yield from leaks_between(posts, fold.name, [(train_of_other, ("test", fold.test))], keys)
