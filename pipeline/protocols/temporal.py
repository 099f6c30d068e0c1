"""Settings of time: train on the past, test on an event of another kind (Abavisani et al. 2020, 4.2, setting C)."""

from __future__ import annotations

import numpy as np

from pipeline.datasets.dataset import Temporal
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.errors import DataError
from pipeline.protocols.drawn import DEV_SHARE, divide_rows, drawn_by
from pipeline.protocols.official import concordance
from pipeline.protocols.protocol import Fold, Protocol


def temporal(posts: Posts, task: Task, setting: str, asked: Temporal, split_seed: int | None) -> Protocol:
    """The agreed pairs of the events of `setting`: train has those dated before the first post of the tested event, dev
    is a share of them, drawn by group, and test is the tested event. Raises `DataError` where a part is empty.
    """
    index = {name: position for position, name in enumerate(task.classes)}
    agreed = concordance(posts, task)
    sides = posts.labels[task.source]
    raw = sides["text"] if "text" in sides else next(iter(sides.values()))
    labels = np.array([index.get(label, -1) for label in task.labels(raw)], dtype=np.int64)
    labels[agreed == 0] = -1
    events, dates = np.array(posts.events, dtype=object), np.array(posts.dates, dtype=object)
    labelled = labels >= 0
    test = np.flatnonzero(labelled & (events == asked.tested))
    began = min((date for date in dates[events == asked.tested] if date), default="")
    before = labelled & np.isin(events, asked.trained)
    train = np.flatnonzero(before & (dates != "") & (dates < began))
    for name, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise DataError(f"Setting {setting} has no labelled and dated post in {name}.")

    def folds(seed: int) -> list[Fold]:
        rest, dev = divide_rows(posts, train, DEV_SHARE, seed if split_seed is None else split_seed, by_group=True)
        return [Fold("", rest, dev, test)]

    late = int(before.sum()) - len(train)
    return Protocol(
        task=task,
        setting=setting,
        split=f"{' + '.join(asked.trained)} before {began}, tested on {asked.tested}, dev: {DEV_SHARE:.0%} of train by "
        f"group ({drawn_by(split_seed)})",
        labels=labels,
        concordant=agreed,
        folds=folds,
        notes=(f"{late:,} posts of the train events are no earlier than {began} and take no part",) if late else (),
    )
