"""Finding and reading the dataset a command asks for."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

from pipeline.datasets.columns import Columns
from pipeline.datasets.dataset import Dataset, SplitRows, SplitSet
from pipeline.datasets.posts import COLUMNS, Posts
from pipeline.datasets.registry import DATASETS, GOOD_NAME, recognised
from pipeline.datasets.synthetic import add_synthetic
from pipeline.errors import DataError, UsageError
from pipeline.log import say

LONGEST_NAME = 1024
"""Bytes of an id or a group: what a cache file has room for."""
LONGEST_TEXT = 1_000_000
"""Characters; what is longer is not the text of a post."""

__all__ = ["DATASETS", "Columns", "Dataset", "Posts", "SplitRows", "SplitSet", "open_dataset"]


def open_dataset(
    dataset: str | None,
    data: Path | None,
    columns: Columns | None = None,
    *,
    name: str | None = None,
    cache: Path = Path("artifacts/cache"),
    synthetic: Path | None = None,
) -> Posts:
    """The posts that `--dataset` and `--data` ask for, saying on standard error which they are; behind them the
    accepted ones of the folder `synthetic`.

    Without either: `CRISIS_DATA`, else data/CrisisMMD_v2.0 here, else the embedded sample, which is drawn
    beside the `cache` when it is not there yet.
    """
    if dataset is not None:
        DATASETS[dataset]
    if name is not None and not GOOD_NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot name a dataset; use letters, digits, '.', '_' and '-' (--name).")
    dataset, data = _found(dataset, data)
    columns = columns or Columns()
    kind = DATASETS[dataset]
    posts = kind.read(data, columns, name, cache)
    _check(posts, dataset)
    posts = replace(posts, name=name or posts.name, dataset=kind, flags=_flags(dataset, data, columns, name))
    if synthetic is not None:
        posts = replace(
            add_synthetic(posts, synthetic), flags=f"{posts.flags} {shlex.join(['--synthetic', str(synthetic)])}"
        )
    say(f"Dataset: {posts.origin}, {len(posts):,} posts")
    for note in posts.notes:
        say(f"  note: {note}")
    return posts


def _found(dataset: str | None, data: Path | None) -> tuple[str, Path | None]:
    """Which dataset, and where its data is (None: it makes its own)."""
    kinds = [dataset] if dataset is not None else [name for name, one in DATASETS.own.items() if one.needs_data]
    if data is None and os.environ.get("CRISIS_DATA") and DATASETS[kinds[0]].needs_data:
        data = Path(os.environ["CRISIS_DATA"])
    if data is not None:
        return dataset or recognised(data), data
    for kind in kinds:
        usual = DATASETS[kind].default_data()
        if usual is not None or not DATASETS[kind].needs_data:
            return kind, usual
    if dataset is not None:
        raise UsageError(f"The dataset '{dataset}' needs --data PATH (or the environment variable CRISIS_DATA).")
    return "sample", None


def _check(posts: Posts, dataset: str) -> None:
    """What every later step counts on, whoever wrote the dataset."""
    if not GOOD_NAME.fullmatch(posts.name):
        raise DataError(f"The dataset '{dataset}' calls its posts '{posts.name}', which cannot name a folder (--name).")
    columns = {name: getattr(posts, name) for name in COLUMNS}
    columns |= {f"labels of {source} ({m})": column for source, by in posts.labels.items() for m, column in by.items()}
    needed = ("ids", "groups", "texts", "images", "events")
    for name, column in columns.items():
        if len(column) != len(posts) and (len(column) or name in needed):
            raise DataError(f"The dataset '{dataset}' has {len(posts)} posts, but {len(column)} {name}.")
    for what, column, most in (("id", posts.ids, LONGEST_NAME), ("group", posts.groups, LONGEST_NAME)):
        if max(map(len, column), default=0) * 4 > most:
            for row, value in enumerate(column, start=1):
                if (size := len(value.encode("utf-8", "replace"))) > most:
                    raise DataError(f"The {what} of post {row} has {size:,} bytes; there is room for {most:,}.")
    longest = max(range(len(posts)), key=lambda row: len(posts.texts[row]), default=0)
    if len(posts) and len(posts.texts[longest]) > LONGEST_TEXT:
        size = len(posts.texts[longest])
        raise DataError(
            f"The text of post '{posts.ids[longest]}' has {size:,} characters; at most {LONGEST_TEXT:,} are read."
        )
    if len(posts.row_of) != len(posts):
        raise DataError(f"The dataset '{dataset}' has an id twice; ids must differ.")


def _flags(dataset: str, data: Path | None, columns: Columns, name: str | None) -> str:
    """The flags that name this dataset again, for the commands that messages tell a user to run."""
    words = ["--dataset", dataset]
    words += ["--data", str(data)] if data is not None else []
    words += ["--name", name] if name else []
    return shlex.join([*words, *columns.flags()])
