"""Balance as the command line and the annotations say it, put into the terms of `classifiers.balance`."""

from __future__ import annotations

import re

import numpy as np

from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.errors import UsageError
from pipeline.protocols.choose import Protocol

SIDES = ("image", "text")
_WEIGHT = re.compile(r"(?P<name>.+?):\s*(?P<weight>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?:,|$)")


def class_weights(text: str, task: Task) -> str | dict[int, float]:
    """What `--class-weight` says: "none", "balanced", or CLASS:WEIGHT,... with the task's class names or numbers."""
    if text in ("none", "balanced"):
        return text
    weights: dict[int, float] = {}
    start = 0
    while start < len(text):
        # a class may have commas and colons in its name, so a weight ends where a comma or nothing follows
        found = _WEIGHT.match(text, start)
        if found is None:
            raise UsageError(f"--class-weight takes none, balanced or CLASS:WEIGHT,CLASS:WEIGHT, not '{text}'.")
        label = _label(found["name"].strip(), task)
        if label in weights:
            raise UsageError(f"--class-weight names the class '{task.classes[label]}' twice.")
        weights[label], start = float(found["weight"]), found.end()
    return weights


def _label(name: str, task: Task) -> int:
    if name in task.classes:
        return task.classes.index(name)
    if name.isdigit() and int(name) < len(task.classes):
        return int(name)
    classes = ", ".join(f"{index} {known}" for index, known in enumerate(task.classes))
    raise UsageError(f"The task '{task.name}' has no class '{name}' to weigh; it has {classes}.")


def discordant_rows(posts: Posts, protocol: Protocol, places: np.ndarray) -> dict[str, np.ndarray]:
    """Per side, the rows in the loaded arrays of the posts whose own label on that side is not the post's.

    `places` int64 [posts] gives a post's row, -1 for one that is not loaded. A side without a label agrees.
    """
    by = posts.labels.get(protocol.task.source, {})
    classes = np.array([*protocol.task.classes, ""], dtype=object)[protocol.labels]
    takes_part = (protocol.labels >= 0) & (places >= 0)
    found = {}
    for side in SIDES:
        if side in by:
            raw = np.array(by[side], dtype=object)
            own = np.array(protocol.task.labels(by[side]), dtype=object)
            found[side] = places[takes_part & (raw != "") & (own != classes)]
    return found
