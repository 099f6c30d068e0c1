"""A split that a file gives: which post is in which part (`crisis audit --fix` writes such files)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cache import files
from pipeline.datasets.dataset import PARTS
from pipeline.datasets.frames import read_table
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError
from pipeline.protocols.drawn import by_column
from pipeline.protocols.protocol import Fold, Protocol

ID, PART = "post_id", "part"


def by_file(posts: Posts, protocol: Protocol, path: Path, split_seed: int | None) -> Protocol:
    """The labels of `protocol`, and the parts of the file: its columns `post_id` and `part` (train, dev or test). Posts
    that it does not name take no part; a missing dev part is drawn as from a table's split column.
    """
    columns = read_table(path, "--split-file").columns
    for name in (ID, PART):
        if name not in columns:
            raise UsageError(f"The split file '{path}' needs the columns {ID} and {PART}; it has {', '.join(columns)}.")
    parts = dict(zip(columns[ID], columns[PART], strict=True))
    if len(parts) != len(columns[ID]):
        raise DataError(f"The split file '{path}' names a post twice.")
    unknown = [post for post in parts if post not in posts.row_of]
    if unknown:
        raise DataError(
            f"The split file '{path}' names {len(unknown)} posts that are not in the dataset, such as '{unknown[0]}': "
            "its ids are those of another dataset or another --id-column."
        )
    named: Sequence[str] = [parts.get(post, "") for post in posts.ids]
    found = by_column(replace(posts, splits=named), protocol, split_seed)
    words = found.split.replace("the table's split column", f"the split file {path.name}")
    return replace(found, setting="split file", split=words)


def write_split(path: Path, posts: Posts, fold: Fold) -> None:
    """Write the fold as a split file, whole or not at all. Raises `UsageError` where the file is there already."""
    if path.exists():
        raise UsageError(f"'{path}' is there already; name another file, or delete it.")
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([ID, PART])
    for part in PARTS:
        writer.writerows([posts.ids[row], part] for row in getattr(fold, part).tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, table.getvalue().encode())
