"""Synthetic posts on disk (`synthetic.csv` with its images), and how they join a dataset: for train, and only there."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xxhash

from cache import files
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError

TABLE = "synthetic.csv"
COLUMNS = (
    "post_id",
    "text",
    "image_path",
    "text_label",
    "image_label",
    "label",
    "pattern",
    "event",
    "synthetic",
    "accepted",
    "prompt",
    "text_model",
    "image_model",
    "seed",
)
NEEDED = ("post_id", "text", "image_path", "text_label", "image_label", "label", "synthetic")

_YES = {"", "1", "1.0", "true", "yes", "y"}
_NO = {"0", "0.0", "false", "no", "n"}
_TRAIN = ("", "train")

Row = Mapping[str, str]


def read_table(path: Path) -> list[dict[str, str]]:
    """All rows of a `synthetic.csv`, also struck ones, as they stand. Raises `DataError` for what is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{path}' could not be read as CSV: {str(error)[:160]}.") from error
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise DataError(
            f"'{path}' has no column {', '.join(missing)}: keep the header that `crisis data synthesize` wrote, and "
            "commas between the fields."
        )
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"'{path}' line {number} has more or fewer fields than its header.")
    return rows


def is_struck(row: Row) -> bool:
    """Whether a reader wrote 0 (or no, false) into `accepted`. Raises `DataError` for what is neither yes nor no."""
    said = row.get("accepted", "").strip().lower()
    if said not in _YES | _NO:
        raise DataError(f"'{said}' in the column accepted of the synthetic post '{row['post_id']}' is neither 1 nor 0.")
    return said in _NO


def is_marked(value: str) -> bool:
    """Whether a cell of a column `synthetic` says yes."""
    return value.strip().lower() in _YES - {""}


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the table, whole or not at all; columns of the rows beyond `COLUMNS` follow after them."""
    columns = list(dict.fromkeys([*COLUMNS, *(column for row in rows for column in row)]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    files.write_whole(path, text.getvalue().encode())


def add_synthetic(posts: Posts, folder: Path) -> Posts:
    """`posts` with the accepted synthetic posts of `folder` behind them, marked, in train only.

    Raises `UsageError` where there is no table, `DataError` for rows that are not marked synthetic, that stand in dev
    or test, that repeat, or that have the id of a post of the dataset.
    """
    path = folder / TABLE
    if not path.is_file():
        raise UsageError(f"'{folder}' holds no {TABLE}; make one with: crisis data synthesize --output {folder}")
    rows = [row for row in read_table(path) if not is_struck(row)]
    if not rows:
        raise DataError(f"'{path}' holds no accepted post; leave --synthetic out or make some.")
    _check(rows, posts, path)
    count = len(rows)
    blank = [""] * count
    ids = [row["post_id"] for row in rows]
    content = "\0".join("\0".join(row.values()) for row in rows)
    digest = xxhash.xxh3_64_hexdigest(content.encode())
    made = Posts(
        name=posts.name,
        root=Path(os.path.abspath(folder)),
        ids=ids,
        groups=ids,
        texts=[row["text"] for row in rows] if any(posts.texts) else blank,
        # a dataset without photos stays one: otherwise its own posts would all lack theirs
        images=[row["image_path"] for row in rows] if any(posts.images) else blank,
        events=[row.get("event", "") for row in rows],
        labels={source: {m: _labels(rows, m) for m in by} for source, by in posts.labels.items()},
        origin=posts.origin,
        splits=["train"] * count if posts.splits else (),
        synthetic=[row["label"] for row in rows],
        notes=(f"{count} synthetic posts ({folder.name}, {digest[:8]}) are mixed into train",),
    )
    return posts.concat(made)


def mark_synthetic(posts: Posts, marked: Sequence[bool]) -> Posts:
    """`posts` of a table whose own column says which are synthetic: these come last, as `Posts.synthetic` wants it.

    Raises `DataError` where the split column puts one into dev or test.
    """
    if not any(marked):
        return posts
    for post, split, one in zip(posts.ids, posts.splits or [""] * len(posts), marked, strict=True):
        if one:
            _refuse_held_out(post, split)
    order = np.argsort(np.asarray(marked), kind="stable").tolist()
    by_label = next(iter(posts.labels.values()), {})
    labels = by_label.get("pair", [""] * len(posts))
    count = sum(marked)
    return replace(
        posts.take(order),
        synthetic=[labels[row] for row in order[len(order) - count :]],
        notes=(*posts.notes, f"{count} posts are marked synthetic and are in train only"),
    )


def _check(rows: Sequence[Row], posts: Posts, path: Path) -> None:
    seen: set[str] = set()
    for row in rows:
        post = row["post_id"]
        if not is_marked(row["synthetic"]):
            raise DataError(f"The post '{post}' in '{path}' is not marked synthetic; this file is for such posts only.")
        _refuse_held_out(post, row.get("split", ""))
        if not post or post in seen:
            raise DataError(f"'{path}' names the post '{post}' twice." if post else f"'{path}' has a post without id.")
        if post in posts.row_of:
            raise DataError(f"The synthetic post '{post}' has the id of a post of '{posts.name}'; give it another.")
        seen.add(post)


def _refuse_held_out(post: str, split: str) -> None:
    if split.strip().lower() not in _TRAIN:
        raise DataError(
            f"The synthetic post '{post}' stands in '{split}': such posts may only train; say train or leave it out."
        )


def _labels(rows: Sequence[Row], modality: str) -> list[str]:
    return [row["label" if modality == "pair" else f"{modality}_label"] for row in rows]
