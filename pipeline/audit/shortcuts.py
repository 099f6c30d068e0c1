"""Columns that tell the label although no head reads them: where one does, posts are not what a figure speaks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from features.text import is_retweet
from pipeline.datasets.posts import Posts
from pipeline.protocols.protocol import Fold, Protocol

STANDARD_ERRORS = 3.0
"""A column tells the label when its accuracy is above the majority's by more than this many standard errors."""


@dataclass(frozen=True)
class Shortcut:
    """Accuracy on test of always answering the label that is commonest in train among posts with the same value of
    `column` (of train as a whole, for a value that train does not have), beside that of train's commonest label.
    """

    column: str
    fold: str
    values: int
    accuracy: float
    majority: float
    tells: bool


def shortcuts_of(posts: Posts, protocol: Protocol, fold: Fold) -> Iterator[Shortcut]:
    """Every column of `columns_of` that has more than one value in train."""
    if not len(fold.train) or not len(fold.test):
        return
    train, test = protocol.labels[fold.train], protocol.labels[fold.test]
    commonest = int(np.bincount(train).argmax())
    majority = float((test == commonest).mean())
    error = np.sqrt(max(majority * (1 - majority), 1 / len(test)) / len(test))
    for name, column in columns_of(posts).items():
        answer = _commonest_by(column, fold.train, train)
        if len(answer) < 2:
            continue
        said = np.array([answer.get(column[row], commonest) for row in fold.test])
        accuracy = float((said == test).mean())
        tells = bool(accuracy - majority > STANDARD_ERRORS * error)
        yield Shortcut(name, fold.name, len(answer), accuracy, majority, tells)


def columns_of(posts: Posts) -> Mapping[str, Sequence[str]]:
    """What is known of posts beside text and photo."""
    found: dict[str, Sequence[str]] = {
        "photo there": ["yes" if image else "no" for image in posts.images],
        "text there": ["yes" if text.strip() else "no" for text in posts.texts],
        "retweet": ["yes" if is_retweet(text) else "no" for text in posts.texts],
        "kind of file": [PurePath(image).suffix.lower() for image in posts.images],
    }
    if any(posts.events):
        found = {"event": posts.events, **found}
    if any(posts.dates):
        found["date"] = posts.dates
    return found


def _commonest_by(column: Sequence[str], rows: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Value of the column to the label that most of the rows with it have."""
    counts: dict[str, Counter[int]] = {}
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        counts.setdefault(column[row], Counter())[label] += 1
    return {value: count.most_common(1)[0][0] for value, count in counts.items()}
