"""Balance as the command line and the annotations say it, put into the terms of `classifiers.balance`."""

from __future__ import annotations

import math
import re

import numpy as np

from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.errors import UsageError
from pipeline.protocols.choose import Protocol

SIDES = ("image", "text")
_WEIGHT = re.compile(r"\s*:\s*(?P<weight>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?:,\s*|$)")
_FORM = "--class-weight takes none, balanced or CLASS:WEIGHT,CLASS:WEIGHT"


def class_weights(text: str, task: Task) -> str | dict[int, float]:
    """What `--class-weight` says: "none", "balanced", or CLASS:WEIGHT,... with the task's class names or numbers."""
    if text in ("none", "balanced"):
        return text
    weights: dict[int, float] = {}
    rest = text.strip()
    while rest:
        label, said, rest = _first_weight(rest, task)
        if label in weights:
            raise UsageError(f"--class-weight names the class '{task.classes[label]}' twice.")
        weights[label] = _number(said)
    if not weights:
        raise UsageError(f"{_FORM}, not '{text}'.")
    return weights


def _first_weight(text: str, task: Task) -> tuple[int, str, str]:
    """The class that `text` begins with, its weight as it stands there, and what comes after it.

    A class may have commas and colons in its name, and begin as another does: the longest name that fits is meant. What
    is no name may be a class's number.
    """
    for name in sorted(task.classes, key=len, reverse=True):
        found = _WEIGHT.match(text, len(name)) if text.startswith(name) else None
        if found is not None:
            return task.classes.index(name), found["weight"], text[found.end() :]
    found = _WEIGHT.search(text)
    if found is None:
        raise UsageError(f"{_FORM}, not '{text}'.")
    name = text[: found.start()].strip()
    if name.isdecimal() and int(name) < len(task.classes):
        return int(name), found["weight"], text[found.end() :]
    classes = ", ".join(f"{index} {known}" for index, known in enumerate(task.classes))
    raise UsageError(f"The task '{task.name}' has no class '{name}' to weigh; it has {classes}.")


def _number(said: str) -> float:
    try:
        weight = float(said)
    except ValueError:
        weight = math.nan
    if not (weight > 0 and math.isfinite(weight)):
        raise UsageError(f"--class-weight takes weights above 0, not '{said}'.")
    return weight


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
