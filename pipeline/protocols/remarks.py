"""What makes the figures of a split less than they seem, told of the seeds that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.protocols.protocol import Fold, Protocol, when_held_out

Keys = Mapping[str, np.ndarray]
"""What posts may share, in words ("photo"), and per post a whole number: equal ones share it, -1 shares nothing."""

HELD_OUT = ("dev", "test")


def remarks(protocol: Protocol, folds: Mapping[int, Sequence[Fold]], groups: np.ndarray, content: Keys) -> list[str]:
    """Sentences about the `folds` of each seed: groups, and contents of posts, that train shares with a part that is
    asked, and classes that train does not have. `groups` and `content` are numbers per post of the dataset.
    """
    by_name: dict[str, list[Fold]] = {}
    for fold in (fold for of_seed in folds.values() for fold in of_seed):
        by_name.setdefault(fold.name, []).append(fold)
    return [sentence for name, alike in by_name.items() for sentence in _of(protocol, name, alike, groups, content)]


def _of(protocol: Protocol, name: str, folds: Sequence[Fold], groups: np.ndarray, content: Keys) -> Iterator[str]:
    """Of the folds of one name, one for each seed."""
    when = when_held_out(name)
    for part in HELD_OUT:
        parts = [(fold.train, getattr(fold, part)) for fold in folds]
        counts = [len(np.unique(groups[asked][_shared(groups, train, asked)])) for train, asked in parts]
        if any(counts):
            yield (f"{_most(counts)} groups (tweets) are in both train and {part}{when}: {part} figures are optimistic")
        for what, keys in content.items():
            counts = [int(_shared(keys, train, asked).sum()) for train, asked in parts]
            if any(counts):
                posts = f"{_most(counts)} of {max(len(asked) for _, asked in parts):,} {part} posts"
                yield (
                    f"{posts} have the {what} of a train post{when}: {part} figures are optimistic; `crisis audit` "
                    "names them"
                )
    unseen = [set(_classes(protocol, fold, HELD_OUT)) - set(_classes(protocol, fold, ("train",))) for fold in folds]
    names = [
        protocol.task.classes[label] + _in_some([label in of_seed for of_seed in unseen])
        for label in sorted(set().union(*unseen))
    ]
    if names:
        yield f"never seen in train{when}, so always missed in dev and test: {', '.join(names)}"


def _shared(keys: np.ndarray, train: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """bool, which of `asked` have the key of a train post."""
    return np.asarray(np.isin(keys[asked], keys[train]) & (keys[asked] >= 0))


def _classes(protocol: Protocol, fold: Fold, parts: Sequence[str]) -> list[int]:
    return [int(label) for part in parts for label in np.unique(protocol.labels[getattr(fold, part)])]


def _most(counts: Sequence[int]) -> str:
    """ "62", or "up to 62 (in 3 of 5 seeds)" where seeds differ."""
    least, most = min(counts), max(counts)
    return f"{most:,}" if least == most else f"up to {most:,}{_in_some([count > 0 for count in counts])}"


def _in_some(held: Sequence[bool]) -> str:
    return "" if all(held) else f" (in {sum(held)} of {len(held)} seeds)"
