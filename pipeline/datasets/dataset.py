"""The base class of datasets: what one must be able to do, with an answer for all but reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.datasets.tasks import Task, label_task

if TYPE_CHECKING:
    from pipeline.datasets.columns import Columns
    from pipeline.datasets.posts import Posts

PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class SplitSet:
    """An official way to divide a dataset: `where` says what it is kept in. `setting` is the one ("A" or "B") that its
    files already keep to; `instead` maps the name of a task to the one that its files are made for.
    """

    name: str
    where: str
    setting: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Temporal:
    """A setting of time: train on posts of the events `trained` that are older than every post of the event `tested`.
    `instead` maps the name of a task to the one that the setting is made for.
    """

    trained: tuple[str, ...]
    tested: str
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitRows:
    """One part of an official split: row numbers into the posts, and the raw label each row has there; in `sides` the
    label of each row's "text" and "image" where the split says them.
    """

    rows: Sequence[int]
    labels: Sequence[str]
    sides: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Dataset:
    """A kind of dataset, which reads posts and knows their tasks and official splits.

    One of ours is a file in this folder and a line in `registry.py`. Anybody else's is a class derived from this one:
    `--dataset my_file:MyDataset` finds it in `my_file.py` of the working folder or in any module that can be imported,
    and an installed package names it as an entry point of the group `crisis.datasets`, under the name that
    `--dataset` takes. It is called without arguments.

    `name` is what its posts are called in the cache unless `--name` says otherwise, and `summary` one line for
    `crisis data ls`. Only `read` must be written. Posts remember their dataset, so all else is asked of it later.
    """

    name: str = ""
    summary: str = ""
    needs_data: bool = True
    """Whether `read` must be given a path: `--data`, `CRISIS_DATA` or `default_data()`."""

    def recognises(self, path: Path) -> bool:
        """Whether `--data PATH` without `--dataset` means this dataset. It must be quick: a look at names."""
        return False

    def default_data(self) -> Path | None:
        """Where the data is when nobody says; None where it has no usual place or is not there."""
        return None

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        """The posts in `data`, which is a path wherever `needs_data` is set; ids are unique strings.

        `columns` are the flags about columns, `name` is `--name`, and `cache` the folder of the features, beside which
        something may be kept. Raise `pipeline.errors.UsageError` for a path that is wrong and `DataError` for data that
        is, each with one sentence.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is read.")

    def tasks(self, posts: Posts) -> Mapping[str, Task]:
        """The tasks by name, the usual one first: here each label column, with the labels that occur as classes."""
        found = {source: label_task(source, whole_labels(posts, source)) for source in posts.labels}
        several = {source: task for source, task in found.items() if len(task.classes) > 1}
        return several or found

    def split_sets(self, posts: Posts) -> Mapping[str, SplitSet]:
        """The official split sets by name, also those that are not on this disk."""
        return {}

    def split_sources(self, posts: Posts, split_set: str) -> Sequence[str]:
        """The label sources that the split set divides; none where it is not on this disk."""
        return ()

    def default_split_set(self, posts: Posts, task: Task, setting: str | None = None) -> str | None:
        """The split set of `task` (in `setting`) when nobody names one; None: parts come from a column or are drawn."""
        return None

    def temporal_settings(self, posts: Posts) -> Mapping[str, Temporal]:
        """The settings of time by name."""
        return {}

    def read_split(self, posts: Posts, split_set: str, source: str) -> Mapping[str, SplitRows]:
        """The parts "train", "dev" and "test" of a split set, each row with its raw label of `source`."""
        raise NotImplementedError(f"{type(self).__name__} has no split sets.")


def whole_labels(posts: Posts, source: str) -> Sequence[str]:
    """One raw label per post: the pair's, or else the text's, or else the image's."""
    by = posts.labels[source]
    if "pair" in by:
        return by["pair"]
    there = [by[modality] for modality in ("text", "image") if modality in by]
    return [next((label for label in labels if label), "") for labels in zip(*there, strict=True)]
