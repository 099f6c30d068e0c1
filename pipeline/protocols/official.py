"""Official split sets and the settings: A keeps agreed pairs only, in B discordant pairs join train."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crisis_registry import did_you_mean
from pipeline.datasets.dataset import SplitRows
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.errors import DataError, UsageError
from pipeline.protocols.protocol import Fold, Protocol
from pipeline.protocols.target import labels_in

OFFICIAL = ("A", "B")


def split_set_for(posts: Posts, task: Task, split_set: str | None, setting: str | None) -> str | None:
    """The split set that is named, or else the usual one of the task; None where the dataset has none."""
    known = posts.dataset.split_sets(posts)
    if not known and (split_set or setting):
        raise UsageError("--splits and --setting belong to CrisisMMD; a table is split with --split.")
    if split_set is not None and split_set not in known:
        near = did_you_mean(split_set, known)
        raise UsageError(f"There is no split set '{split_set}'{near}; choose one of {', '.join(known)}.")
    return split_set or posts.dataset.default_split_set(posts, task, setting)


def official(posts: Posts, task: Task, split_set: str, setting: str | None, target: str = "pair") -> Protocol:
    """The official parts of `split_set` with labels of `target`, made to keep to `setting` where its files do not
    already.
    """
    kept = posts.dataset.split_sets(posts)[split_set]
    files = posts.dataset.read_split(posts, split_set, task.source)
    labels = np.full(len(posts), -1, dtype=np.int64)
    index = {name: position for position, name in enumerate(task.classes)}
    rows: dict[str, np.ndarray] = {}
    for split, file in files.items():
        own = task.labels(labels_in(posts, task, file, target))
        classes = np.array([index.get(label, -1) for label in own], dtype=np.int64)
        held = np.array(file.rows, dtype=np.int64)[classes >= 0]
        clash = (labels[held] >= 0) & (labels[held] != classes[classes >= 0])
        if clash.any():
            raise DataError(f"The post '{posts.ids[held[clash][0]]}' has two labels in the split set '{split_set}'.")
        labels[held] = classes[classes >= 0]
        rows[split] = held
    concordant = concordance(posts, task)
    natural = kept.setting or split_set
    if setting == "A" and natural != "A":
        rows = {split: held[concordant[held] != 0] for split, held in rows.items()}
    if setting == "B" and natural != "B":
        rows, labels = _add_discordant(posts, task, rows, labels, concordant, target)
    fold = Fold("", rows["train"], rows["dev"], rows["test"])
    return Protocol(
        task=task,
        setting=setting or natural,
        split=f"official {split_set} ({kept.where})",
        labels=labels,
        concordant=concordant,
        folds=lambda seed: [fold],
        notes=_picked(posts, task, files) if target == "pair" else (),
        target=target,
    )


def _picked(posts: Posts, task: Task, files: Mapping[str, SplitRows]) -> tuple[str, ...]:
    """A note where the files give discordant pairs one label: it is one of the two, picked at random."""
    count = 0
    for file in files.values():
        if {"text", "image"} <= set(file.sides):
            sides = (task.labels(file.sides[side]) for side in ("text", "image"))
            count += sum(text != image for text, image in zip(*sides, strict=True))
    if not count:
        return ()
    return (
        f"text and photo of {count:,} pairs are labelled differently, and the files' one label is a random pick of the "
        "two; --target text or image takes a side's own",
    )


def concordance(posts: Posts, task: Task) -> np.ndarray:
    """int8 per post: 1 where text and image labels agree, 0 where not; -1 where they are not labelled apart."""
    by = posts.labels[task.source]
    if not {"text", "image"} <= set(by):
        return np.full(len(posts), -1, dtype=np.int8)
    pairs = zip(task.labels(by["text"]), task.labels(by["image"]), strict=True)
    return np.array([int(text == image) for text, image in pairs], dtype=np.int8)


def _add_discordant(
    posts: Posts, task: Task, rows: dict[str, np.ndarray], labels: np.ndarray, concordant: np.ndarray, target: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Setting B (Abavisani et al. 2020, 4.2): discordant pairs join train; dev and test keep agreed pairs only.

    A pair joins when its tweet is in neither dev nor test, also of the files as they are. Its label is that of the
    `target`; the pair's is the text's, or the image's where the text's class takes no part in the task.
    """
    if "text" not in posts.labels[task.source]:
        raise UsageError(f"Setting B needs text and image labels, and the task '{task.name}' has one of them.")
    held_out = {posts.groups[row] for split in ("dev", "test") for row in rows[split]}
    rows = {s: held if s == "train" else held[concordant[held] != 0] for s, held in rows.items()}
    known = set(rows["train"].tolist())
    index = {name: position for position, name in enumerate(task.classes)}
    labels = labels.copy()
    joining = []
    by = posts.labels[task.source]
    for row in np.flatnonzero(concordant == 0).tolist():
        own = ("text", "image") if target == "pair" else (target,)
        label = next(filter(None, (task.label(by[side][row]) for side in own)), "")
        if label and row not in known and posts.groups[row] not in held_out:
            labels[row] = index[label]
            joining.append(row)
    return {**rows, "train": np.concatenate([rows["train"], np.array(joining, dtype=np.int64)])}, labels
