"""Who trains and who tests: official split sets, settings, and seeded splits of a table (D3, D8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crisis_registry import did_you_mean
from pipeline.datasets import crisismmd
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS, Task, table_task, task_named
from pipeline.errors import DataError, UsageError
from pipeline.protocols.train_only import add_to_train

SETTINGS = ("A", "B")
DRAWN = ("group", "event", "random")
TEST_SHARE = 0.25
DEV_SHARE = 0.15

_SPLIT_WORDS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}


@dataclass(frozen=True)
class Fold:
    """Row numbers (int64) of one train/dev/test division; `name` is the held-out event, or "" for the only fold."""

    name: str
    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """One task under one way of splitting: class index per post (-1: takes no part) and the folds of a seed.

    `concordant` is per post: 1 where text and image labels agree, 0 where not, -1 where unknown.
    """

    task: Task
    setting: str
    split: str
    labels: np.ndarray
    concordant: np.ndarray
    folds: Callable[[int], list[Fold]]
    notes: tuple[str, ...] = ()


def choose_protocol(
    posts: Posts,
    *,
    task: str | None = None,
    split_set: str | None = None,
    setting: str | None = None,
    split: str | None = None,
    split_seed: int | None = None,
    test_event: str | None = None,
) -> Protocol:
    """The protocol that the flags ask for; every default that was chosen is in its `split` and `notes`.

    It is made of the posts that people wrote; synthetic ones then join train. Raises `DataError` when there are only
    synthetic ones.
    """
    if posts.synthetic:
        if not posts.real:
            raise DataError("Every post is synthetic, and such posts may only train: add them to real ones.")
        real = choose_protocol(
            posts.head(posts.real),
            task=task,
            split_set=split_set,
            setting=setting,
            split=split,
            split_seed=split_seed,
            test_event=test_event,
        )
        return add_to_train(posts, real)
    if setting is not None and setting not in SETTINGS:
        raise UsageError(f"There is no setting '{setting}'; choose one of {', '.join(SETTINGS)}.")
    if split is not None and split not in DRAWN:
        raise UsageError(f"There is no split '{split}'; choose one of {', '.join(DRAWN)}.")
    if test_event is not None and split not in (None, "event"):
        raise UsageError(f"--test-event holds out an event; it does not go with --split {split}.")
    if test_event is not None:
        split = "event"
    if posts.labelled_per_modality:
        protocol = _official(posts, task, split_set, setting)
        if split is not None:
            protocol = _drawn(posts, protocol, split, split_seed, test_event)
    else:
        if split_set or setting:
            raise UsageError("--splits and --setting belong to CrisisMMD; a table is split with --split.")
        protocol = _table(posts, task)
        if posts.splits and split is None:
            protocol = _by_column(posts, protocol, split_seed)
        else:
            protocol = _drawn(posts, protocol, split or "group", split_seed, test_event)
    if split_seed is not None and "official" in protocol.split:
        raise UsageError("--split-seed belongs to a drawn split (--split group, event or random), not an official one.")
    return replace(protocol, notes=protocol.notes + _warnings(posts, protocol))


def _official(posts: Posts, task_name: str | None, split_set: str | None, setting: str | None) -> Protocol:
    task = task_named(task_name or "informative")
    if task.source not in posts.labels:
        raise UsageError(f"The annotations have no label columns for the task '{task.name}'.")
    if split_set is not None and split_set not in crisismmd.SPLIT_FOLDERS:
        raise UsageError(f"There is no split set '{split_set}'; choose one of {', '.join(crisismmd.SPLIT_FOLDERS)}.")
    if split_set is None:
        split_set = _set_of_setting(posts, setting) or crisismmd.default_split_set(posts, task)
    if task.name == "humanitarian" and split_set in ("settingA", "settingB"):
        # these files hold no not_humanitarian rows: they are made for the five classes of 002
        task = TASKS["humanitarian-002"]
    files = crisismmd.read_splits(posts, split_set, task.source)
    labels = np.full(len(posts), -1, dtype=np.int64)
    index = {name: position for position, name in enumerate(task.classes)}
    rows: dict[str, np.ndarray] = {}
    for split, file in files.items():
        classes = np.array([index.get(label, -1) for label in task.labels(file.labels)], dtype=np.int64)
        held = np.array(file.rows, dtype=np.int64)[classes >= 0]
        clash = (labels[held] >= 0) & (labels[held] != classes[classes >= 0])
        if clash.any():
            raise DataError(f"The post '{posts.ids[held[clash][0]]}' has two labels in the split set '{split_set}'.")
        labels[held] = classes[classes >= 0]
        rows[split] = held
    concordant = _concordance(posts, task)
    natural = {"agreed": "A", "settingA": "A", "settingB": "B"}.get(split_set, split_set)
    if setting == "A" and natural != "A":
        rows = {split: held[concordant[held] != 0] for split, held in rows.items()}
    if setting == "B" and natural != "B":
        rows, labels = _add_discordant(posts, task, rows, labels, concordant)
    fold = Fold("", rows["train"], rows["dev"], rows["test"])
    return Protocol(
        task=task,
        setting=setting or natural,
        split=f"official {split_set} ({crisismmd.SPLIT_FOLDERS[split_set]})",
        labels=labels,
        concordant=concordant,
        folds=lambda seed: [fold],
    )


def _set_of_setting(posts: Posts, setting: str | None) -> str | None:
    """The published files of a setting, where they are there; None leaves the choice to the default."""
    if setting is None:
        return None
    published = f"setting{setting}"
    return published if crisismmd.split_folder(posts, published) else None


def _concordance(posts: Posts, task: Task) -> np.ndarray:
    by = posts.labels[task.source]
    if not {"text", "image"} <= set(by):
        return np.full(len(posts), -1, dtype=np.int8)
    pairs = zip(task.labels(by["text"]), task.labels(by["image"]), strict=True)
    return np.array([int(text == image) for text, image in pairs], dtype=np.int8)


def _add_discordant(
    posts: Posts, task: Task, rows: dict[str, np.ndarray], labels: np.ndarray, concordant: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Setting B (Abavisani et al. 2020, 4.2): discordant pairs join train; dev and test keep agreed pairs only.

    A pair joins when its tweet is in neither dev nor test; its label is the text's, or the image's where the
    text's class takes no part in the task.
    """
    if "text" not in posts.labels[task.source]:
        raise UsageError(f"Setting B needs text and image labels, and the task '{task.name}' has one of them.")
    rows = {s: held if s == "train" else held[concordant[held] != 0] for s, held in rows.items()}
    held_out = {posts.groups[row] for split in ("dev", "test") for row in rows[split]}
    known = set(rows["train"].tolist())
    index = {name: position for position, name in enumerate(task.classes)}
    labels = labels.copy()
    joining = []
    by = posts.labels[task.source]
    for row in np.flatnonzero(concordant == 0).tolist():
        label = task.label(by["text"][row]) or task.label(by["image"][row])
        if label and row not in known and posts.groups[row] not in held_out:
            labels[row] = index[label]
            joining.append(row)
    return {**rows, "train": np.concatenate([rows["train"], np.array(joining, dtype=np.int64)])}, labels


def _table(posts: Posts, task_name: str | None) -> Protocol:
    if not posts.labels:
        raise UsageError("This table has no label column; name it with --label-column.")
    source = next(iter(posts.labels))
    if task_name not in (None, source):
        raise UsageError(f"A table's task is its label column '{source}'; leave --task out or name that column.")
    task = table_task(source, posts.pair_labels)
    index = {name: position for position, name in enumerate(task.classes)}
    labels = np.array([index.get(label, -1) for label in posts.pair_labels], dtype=np.int64)
    unknown = np.full(len(posts), -1, dtype=np.int8)
    return Protocol(task, "", "", labels, unknown, folds=lambda seed: [])


def _by_column(posts: Posts, protocol: Protocol, split_seed: int | None) -> Protocol:
    """The table's own split column; a missing dev part is drawn from train by group, per seed or by `split_seed`."""
    said = [_SPLIT_WORDS.get(value.strip().lower(), "") for value in posts.splits]
    labelled = protocol.labels >= 0
    part = {s: np.flatnonzero(np.array([one == s for one in said]) & labelled) for s in ("train", "dev", "test")}
    for name in ("train", "test"):
        if not len(part[name]):
            raise UsageError(f"The split column marks no labelled row as '{name}' (train, dev or val, test).")
    words = "the table's split column"
    if not len(part["dev"]):
        words += f", dev drawn by group ({_drawn_by(split_seed)})"
    elif split_seed is not None:
        raise UsageError(
            "--split-seed belongs to a drawn split, and the table's split column draws nothing; leave it out."
        )

    def folds(seed: int) -> list[Fold]:
        if len(part["dev"]):
            return [Fold("", part["train"], part["dev"], part["test"])]
        train, dev = _divide(posts, part["train"], DEV_SHARE, seed if split_seed is None else split_seed, by_group=True)
        return [Fold("", train, dev, part["test"])]

    lost = int((labelled & np.array([one == "" for one in said])).sum())
    notes = (
        (f"{lost} labelled posts are in no part: the split column says neither train, dev nor test",) if lost else ()
    )
    return replace(protocol, setting="split column", split=words, folds=folds, notes=notes)


def _drawn_by(split_seed: int | None) -> str:
    return "each seed draws its own" if split_seed is None else f"drawn with seed {split_seed}"


def _drawn(posts: Posts, protocol: Protocol, split: str, split_seed: int | None, test_event: str | None) -> Protocol:
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
        words = f"{split}: {TEST_SHARE:.0%} of {unit} test, {DEV_SHARE:.0%} dev, {_drawn_by(split_seed)}"

    def folds(seed: int) -> list[Fold]:
        seed = seed if split_seed is None else split_seed
        if split != "event":
            rest, test = _divide(posts, labelled, TEST_SHARE, seed, by_group)
            train, dev = _divide(posts, rest, DEV_SHARE / (1 - TEST_SHARE), seed, by_group)
            return [Fold("", train, dev, test)]
        result = []
        event_of = np.array(posts.events, dtype=object)[labelled]
        for event in events:
            test = labelled[event_of == event]
            # a group with posts of this event and of others is left out of train and dev
            tested = {posts.groups[row] for row in test}
            rest = np.array([r for r in labelled[event_of != event] if posts.groups[r] not in tested], dtype=np.int64)
            result.append(Fold(event, *_divide(posts, rest, DEV_SHARE, seed, by_group=True), test))
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


def _divide(posts: Posts, rows: np.ndarray, share: float, seed: int, by_group: bool) -> tuple[np.ndarray, np.ndarray]:
    """(rest, share) of `rows`, whole groups together, both sorted."""
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

    groups = [posts.groups[row] for row in rows] if by_group else None
    if len(set(groups) if groups is not None else rows) < 2:
        raise UsageError(f"{len(rows)} posts in fewer than two groups cannot be split.")
    splitter = (GroupShuffleSplit if by_group else ShuffleSplit)(n_splits=1, test_size=share, random_state=seed)
    rest, held = next(splitter.split(rows, groups=groups))
    return rows[np.sort(rest)], rows[np.sort(held)]


def _warnings(posts: Posts, protocol: Protocol) -> tuple[str, ...]:
    """What makes the figures of this protocol less than they seem (of the first seed's folds, where it draws)."""
    notes = []
    for fold in protocol.folds(0):
        when = f" when '{fold.name}' is held out" if fold.name else ""
        train = {posts.groups[row] for row in fold.train}
        for name, part in (("dev", fold.dev), ("test", fold.test)):
            shared = len(train & {posts.groups[row] for row in part})
            if shared:
                notes.append(
                    f"{shared} groups (tweets) are in both train and {name}{when}: {name} figures are optimistic"
                )
        unseen = set(protocol.labels[np.concatenate([fold.dev, fold.test])]) - set(protocol.labels[fold.train])
        names = [protocol.task.classes[c] for c in sorted(unseen)]
        if names:
            notes.append(f"never seen in train{when}, so always missed in dev and test: {', '.join(names)}")
    return tuple(notes)
