"""Whose label a post has: the pair's, or that of one of its sides, where text and photo were labelled apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from crisis_registry import did_you_mean
from pipeline.datasets.dataset import SplitRows, whole_labels
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.errors import UsageError

TARGETS = ("text", "image", "pair")


def target_for(posts: Posts, task: Task, target: str | None, modalities: Collection[str]) -> str:
    """The target that is asked for; else, for views of one modality, its own where the task has labels of it (Farah
    2025, 3.5.1; Abavisani et al. 2020, 4.2), and the pair's in all other cases.

    Raises `UsageError` for a target that the task has no labels of.
    """
    there = {*posts.labels[task.source], "pair"}
    if target is None:
        # a caption is what a model sees in the photo
        sides = {"image" if modality == "caption" else modality for modality in modalities}
        return next(iter(sides)) if len(sides) == 1 and sides <= there else "pair"
    if target not in TARGETS:
        near = did_you_mean(target, TARGETS)
        raise UsageError(f"There is no target '{target}'{near}; choose one of {', '.join(TARGETS)}.")
    if target not in there:
        raise UsageError(f"The task '{task.name}' has no labels of its own for a post's {target}; leave out --target.")
    return target


def labels_of(posts: Posts, task: Task, target: str) -> Sequence[str]:
    """The raw label of every post."""
    return whole_labels(posts, task.source) if target == "pair" else posts.labels[task.source][target]


def labels_in(posts: Posts, task: Task, file: SplitRows, target: str) -> Sequence[str]:
    """The raw label of every row of a split file. Where its two sides agree, they have the label of the pair, which may
    be finer than what the file says of a side.
    """
    if target == "pair":
        return file.labels
    by = posts.labels[task.source]
    sides = {side: file.sides.get(side) or [by[side][row] for row in file.rows] for side in by}
    if {"text", "image"} <= set(sides):
        return [
            label if text == image else own
            for label, text, image, own in zip(file.labels, sides["text"], sides["image"], sides[target], strict=True)
        ]
    return sides[target]
