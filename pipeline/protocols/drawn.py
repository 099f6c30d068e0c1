"""Splits that are not official: a table's own split column, and seeded draws by group, by event or at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crisis_registry import did_you_mean
from pipeline.datasets.dataset import PARTS
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.protocols.protocol import Fold, Protocol

DRAWN = ("group", "event", "random")
TEST_SHARE = 0.25
DEV_SHARE = 0.15

_SPLIT_WORDS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}


def by_column(posts: Posts, protocol: Protocol, split_seed: int | None) -> Protocol:
    """The table's own split column; a missing dev part is drawn from train by group, per seed or by `split_seed`."""
    said = [_SPLIT_WORDS.get(value.strip().lower(), "") for value in posts.splits]
    labelled = protocol.labels >= 0
    part = {s: np.flatnonzero(np.array([one == s for one in said]) & labelled) for s in PARTS}
    for name in ("train", "test"):
        if not len(part[name]):
            raise UsageError(f"The split column marks no labelled row as '{name}' (train, dev or val, test).")
    words = "the table's split column"
    if not len(part["dev"]):
        words += f", dev drawn by group ({drawn_by(split_seed)})"
    elif split_seed is not None:
        raise UsageError(
            "--split-seed belongs to a drawn split, and the table's split column draws nothing; leave it out."
        )

    def folds(seed: int) -> list[Fold]:
        if len(part["dev"]):
            return [Fold("", part["train"], part["dev"], part["test"])]
        seed = seed if split_seed is None else split_seed
        train, dev = divide_rows(posts, part["train"], DEV_SHARE, seed, by_group=True)
        return [Fold("", train, dev, part["test"])]

    lost = int((labelled & np.array([one == "" for one in said])).sum())
    notes = (
        (f"{lost} labelled posts are in no part: the split column says neither train, dev nor test",) if lost else ()
    )
    return replace(protocol, setting="split column", split=words, folds=folds, notes=notes)


def drawn_by(split_seed: int | None) -> str:
    return "each seed draws its own" if split_seed is None else f"drawn with seed {split_seed}"


def drawn(posts: Posts, protocol: Protocol, split: str, split_seed: int | None, test_event: str | None) -> Protocol:
    """Seeded splits of all labelled posts: each seed draws its own unless `split_seed` fixes it."""
    labelled = np.flatnonzero(protocol.labels >= 0)
    if protocol.setting:
        # an official set re-split: only its own posts take part
        labelled = np.unique(np.concatenate([part for f in protocol.folds(0) for part in (f.train, f.dev, f.test)]))
    by_group = split != "random"
    if split == "event":
        events = _events(posts, labelled, test_event)
        words = f"leave one event out ({test_event or len(events)} held out)"
    else:
        unit = "whole groups" if by_group else "single rows"
        words = f"{split}: {TEST_SHARE:.0%} of {unit} test, {DEV_SHARE:.0%} dev, {drawn_by(split_seed)}"

    def folds(seed: int) -> list[Fold]:
        seed = seed if split_seed is None else split_seed
        if split != "event":
            rest, test = divide_rows(posts, labelled, TEST_SHARE, seed, by_group)
            train, dev = divide_rows(posts, rest, DEV_SHARE / (1 - TEST_SHARE), seed, by_group)
            return [Fold("", train, dev, test)]
        result = []
        event_of = np.array(posts.events, dtype=object)[labelled]
        for event in events:
            test = labelled[event_of == event]
            # a group with posts of this event and of others is left out of train and dev
            tested = {posts.groups[row] for row in test}
            rest = np.array([r for r in labelled[event_of != event] if posts.groups[r] not in tested], dtype=np.int64)
            result.append(Fold(event, *divide_rows(posts, rest, DEV_SHARE, seed, by_group=True), test))
        return result

    return replace(protocol, setting=split, split=words, folds=folds)


def _events(posts: Posts, labelled: np.ndarray, test_event: str | None) -> list[str]:
    events = sorted({posts.events[row] for row in labelled} - {""})
    if len(events) < 2:
        raise UsageError("A split by event needs at least two events; name their column with --event-column.")
    if test_event is None:
        return events
    if test_event not in events:
        near = did_you_mean(test_event, events)
        raise UsageError(f"There is no event '{test_event}'{near}; the events are {', '.join(events)}.")
    return [test_event]


def divide_rows(
    posts: Posts, rows: np.ndarray, share: float, seed: int, by_group: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(rest, share) of `rows`, both sorted; with `by_group` no group is torn apart."""
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

    groups = [posts.groups[row] for row in rows] if by_group else None
    if len(set(groups) if groups is not None else rows) < 2:
        raise UsageError(f"{len(rows)} posts in fewer than two groups cannot be split.")
    splitter = (GroupShuffleSplit if by_group else ShuffleSplit)(n_splits=1, test_size=share, random_state=seed)
    rest, held = next(splitter.split(rows, groups=groups))
    return rows[np.sort(rest)], rows[np.sort(held)]
