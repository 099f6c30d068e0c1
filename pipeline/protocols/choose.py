"""The protocol that a user's flags ask for, of whatever dataset."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from crisis_registry import did_you_mean
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.errors import DataError, UsageError
from pipeline.protocols.drawn import DRAWN, by_column, drawn
from pipeline.protocols.given import by_file
from pipeline.protocols.official import OFFICIAL, concordance, official, split_set_for
from pipeline.protocols.protocol import Fold, Protocol
from pipeline.protocols.target import TARGETS, labels_of, target_for
from pipeline.protocols.temporal import temporal
from pipeline.protocols.train_only import add_to_train

SETTINGS = (*OFFICIAL, "C1", "C2", "C3")

__all__ = ["DRAWN", "SETTINGS", "TARGETS", "Fold", "Protocol", "choose_protocol"]


def choose_protocol(
    posts: Posts,
    *,
    task: str | None = None,
    split_set: str | None = None,
    setting: str | None = None,
    split: str | None = None,
    split_seed: int | None = None,
    test_event: str | None = None,
    split_file: Path | None = None,
    target: str | None = None,
    modalities: Collection[str] = (),
) -> Protocol:
    """The protocol that the flags ask for; every default that was chosen is in its `split`, `target` and `notes`.
    `modalities` are those of the views that a head is to see.

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
            split_file=split_file,
            target=target,
            modalities=modalities,
        )
        return add_to_train(posts, real)
    if split is not None and split not in DRAWN:
        raise UsageError(f"There is no split '{split}'{did_you_mean(split, DRAWN)}; choose one of {', '.join(DRAWN)}.")
    if test_event is not None and split not in (None, "event"):
        raise UsageError(f"--test-event holds out an event; it does not go with --split {split}.")
    if split_file is not None and (split or test_event):
        raise UsageError("--split-file gives the parts; leave out --split and --test-event.")
    if test_event is not None:
        split = "event"
    found = _task(posts, task)
    _check_setting(posts, setting, split_set or split or split_file)
    whose = target_for(posts, found, target, modalities)
    in_time = posts.dataset.temporal_settings(posts).get(setting or "")
    chosen = None if in_time else split_set_for(posts, found, split_set, setting)
    if in_time is not None:
        instead = in_time.instead.get(found.name)
        protocol = temporal(posts, _task(posts, instead) if instead else found, str(setting), in_time, split_seed)
    elif chosen is not None:
        instead = posts.dataset.split_sets(posts)[chosen].instead.get(found.name)
        protocol = official(posts, _task(posts, instead) if instead else found, chosen, setting, whose)
        if split is not None:
            protocol = drawn(posts, protocol, split, split_seed, test_event)
    else:
        protocol = _undivided(posts, found, whose)
        if posts.splits and split is None and split_file is None:
            protocol = by_column(posts, protocol, split_seed)
        elif split_file is None:
            protocol = drawn(posts, protocol, split or "group", split_seed, test_event)
    if split_file is not None:
        protocol = by_file(posts, protocol, split_file, split_seed)
    if split_seed is not None and "official" in protocol.split:
        raise UsageError("--split-seed belongs to a drawn split (--split group, event or random), not an official one.")
    return protocol


def _check_setting(posts: Posts, setting: str | None, split: object) -> None:
    if setting is None or setting in OFFICIAL:
        return
    temporal_settings = posts.dataset.temporal_settings(posts)
    if setting not in SETTINGS:
        near = did_you_mean(setting, SETTINGS)
        raise UsageError(f"There is no setting '{setting}'{near}; choose one of {', '.join(SETTINGS)}.")
    if setting not in temporal_settings:
        raise UsageError("--setting belongs to CrisisMMD; a table is split with --split.")
    if split is not None:
        raise UsageError(f"Setting {setting} is a split of its own; leave out --splits, --split and --split-file.")


def _task(posts: Posts, name: str | None) -> Task:
    """The task `name` of the dataset, or its usual one."""
    tasks = posts.dataset.tasks(posts)
    if not posts.labels:
        raise UsageError("These posts have no label; name the column of a table with --label-column.")
    if name is None:
        name = next(iter(tasks))
    if name not in tasks:
        words = "a table's task is its label column" if "pair" in posts.labels.get(next(iter(tasks)), {}) else "choose"
        raise UsageError(f"There is no task '{name}'{did_you_mean(name, tasks)}; {words}: {', '.join(tasks)}.")
    task = tasks[name]
    if task.source not in posts.labels:
        raise UsageError(f"The annotations have no label columns for the task '{task.name}'.")
    if len(task.classes) < 2:
        raise UsageError(
            f"The column '{task.source}' holds {len(task.classes)} distinct labels; a task needs at least two."
        )
    return task


def _undivided(posts: Posts, task: Task, target: str) -> Protocol:
    """Every post that has a label of the task, in no fold yet."""
    index = {name: position for position, name in enumerate(task.classes)}
    raw = labels_of(posts, task, target)
    labels = np.array([index.get(label, -1) for label in task.labels(raw)], dtype=np.int64)
    return Protocol(task, "", "", labels, concordance(posts, task), folds=lambda seed: [], target=target)
