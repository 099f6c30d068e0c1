"""Any table of posts with text and/or image columns: CSV, TSV, JSON, Parquet or an Excel workbook."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crisis_registry import did_you_mean
from pipeline.datasets.columns import ROLES, Columns
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.frames import DELIMITERS, Table, read_table
from pipeline.datasets.grouping import grouped, slug
from pipeline.datasets.labels import settled
from pipeline.datasets.posts import Posts
from pipeline.datasets.synthetic import is_marked, mark_synthetic
from pipeline.errors import DataError, UsageError

__all__ = ["Columns", "Tabular", "read_posts"]

_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+\d{2,}")
_LONG = re.compile(r"\d{16,}")
_EXACT = 15
"""Digits of a number that a spreadsheet keeps."""


class Tabular(Dataset):
    name = "table"
    summary = "any CSV, TSV, JSON (Lines), Parquet or Excel file with text and/or image columns"

    def recognises(self, path: Path) -> bool:
        return path.is_file()

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        assert data is not None
        if data.is_dir():
            raise UsageError(f"'{data}' is a folder; --dataset table needs a file (.csv, .tsv, .parquet, .jsonl).")
        return replace(read_posts(data, columns, name), dataset=self)


def read_posts(path: Path, columns: Columns, name: str | None = None) -> Posts:
    """One row of the table is one post; image paths are relative to the table's folder, or to `columns.image_root`.

    Ids that repeat are numbered ("ID#2"). Without a group column, posts that share a photo or a text are one group, so
    that no split can put them on both sides; so are the posts of a row with several photos. Rows that a column
    `synthetic` marks come last, for train only. Raises `UsageError` for a column that is not there and `DataError` for
    ids that a spreadsheet has spoilt.
    """
    table = read_table(path, text=columns.format)
    if not table.columns or not any(table.columns.values()):
        raise DataError(f"'{path}' holds no rows.")
    have = list(table.columns)
    found = _found(path, columns, have)
    cells, note = _one_photo_a_row(table, found.get("image"), columns.image_separator)
    notes = [*table.notes, note]
    role = {one: cells[found[one]] for one in ROLES if one in found}
    rows = cells[_ROW]
    empty = [""] * len(rows)
    texts, images = role.get("text", empty), role.get("image", empty)
    ids, note = _ids(path, role.get("id"), rows, found.get("id", ""))
    notes += [note, *columns.notes(found, have)]
    labels: dict[str, dict[str, Sequence[str]]] = {}
    if "label" in found:
        pair, said = settled(role["label"], columns.clean_labels)
        labels = {found["label"]: {"pair": pair}}
        notes += said
    posts = Posts(
        name=name or slug(f"{path.resolve().parent.name}-{path.stem}"),
        root=_image_root(path, columns.image_root),
        ids=ids,
        groups=role.get("group", empty),
        texts=texts,
        images=images,
        events=role.get("event", empty),
        labels=labels,
        origin=f"table {path}",
        splits=role.get("split", ()),
        knowledge=role.get("knowledge", ()),
        notes=tuple(filter(None, notes)),
    )
    posts = grouped(posts, rows if len(set(rows)) < len(rows) else empty)
    return mark_synthetic(posts, [is_marked(cell) for cell in cells["synthetic"]]) if "synthetic" in have else posts


def _found(path: Path, columns: Columns, have: Sequence[str]) -> dict[str, str]:
    """The column of each role, all of them there."""
    found = columns.found(have)
    for role, name in found.items():
        if name not in have:
            near = did_you_mean(name, have)
            raise UsageError(f"'{path.name}' has no column '{name}'{near} (--{role}-column); it has {', '.join(have)}.")
    if "text" not in found and "image" not in found:
        raise UsageError(
            f"'{path.name}' has neither a text nor an image column; name one with --text-column or "
            f"--image-column: it has {', '.join(have)}."
        )
    return found


def _image_root(path: Path, root: Path | None) -> Path:
    if root is not None and not root.is_dir():
        raise UsageError(f"There is no folder '{root}' (--image-root).")
    return root or path.parent


_ROW = "\0row"
"""The column that says which row of the file a post stands in; no column of a file has this name."""


def _one_photo_a_row(table: Table, image: str | None, separator: str | None) -> tuple[dict[str, list[str]], str]:
    """The columns, with a row for each photo of a cell that names several; and what to say of it."""
    columns = {**table.columns, _ROW: [str(row) for row in range(1, len(next(iter(table.columns.values()))) + 1)]}
    if separator is None:
        return columns, ""
    if image is None:
        raise UsageError("--image-separator needs an image column; name it with --image-column.")
    separator = DELIMITERS.get(separator, separator)
    if not separator:
        raise UsageError("--image-separator needs at least one character, such as ';'.")
    photos = [[part.strip() for part in cell.split(separator) if part.strip()] or [""] for cell in columns[image]]
    times = [row for row, several in enumerate(photos) for _ in several]
    result = {name: [cells[row] for row in times] for name, cells in columns.items()}
    result[image] = [photo for several in photos for photo in several]
    split = sum(len(several) > 1 for several in photos)
    return (
        result,
        f"{split:,} rows have several photos: a post for each (ID#1, ID#2, ...), all in one group" if split else "",
    )


def _ids(path: Path, given: Sequence[str] | None, rows: Sequence[str], column: str) -> tuple[list[str], str]:
    """The post ids: the given ones, or row numbers; what a row with several photos is called is numbered."""
    note = "" if given is None else _spoilt(path, given, column)
    names = (
        [f"row-{row}" for row in rows]
        if given is None
        else [one or f"row-{row}" for one, row in zip(given, rows, strict=True)]
    )
    count, seen = Counter(rows), Counter[str]()
    for at, row in enumerate(rows):
        if count[row] > 1:
            seen[row] += 1
            names[at] = f"{names[at]}#{seen[row]}"
    unique, repeated = _distinct(names)
    return unique, "; ".join(filter(None, (repeated, note)))


def _spoilt(path: Path, ids: Sequence[str], column: str) -> str:
    """Refuses ids of which a spreadsheet has left a few digits; says it of those that it may have rounded."""
    for row, post in enumerate(ids, start=1):
        if _SCIENTIFIC.fullmatch(post.strip()):
            raise DataError(
                f"'{path.name}' has ids in scientific notation, such as '{post}' in row {row} of '{column}': Excel has "
                "cut their digits, and different posts have one id. Take the file as it was before Excel, or import it "
                "there with this column as text and save it anew; or name another column with --id-column."
            )
    long = [post for post in ids if _LONG.fullmatch(post)]
    if len(long) > 1 and all(not post[_EXACT:].strip("0") for post in long):
        return f"all long ids of '{column}' end in zeros, as where Excel has rounded them: posts may share an id"
    return ""


def _distinct(given: Sequence[str]) -> tuple[list[str], str]:
    """Unique post ids: the given ones with repeats numbered."""
    taken = set(given)
    seen: dict[str, int] = {}
    ids = []
    for post in given:
        seen[post] = seen.get(post, 0) + 1
        unique = post
        while seen[post] > 1 and (unique := f"{post}#{seen[post]}") in taken:
            seen[post] += 1
        taken.add(unique)
        ids.append(unique)
    repeated = sum(unique not in seen for unique in ids)
    return ids, f"{repeated} ids repeat and were numbered (ID#2, ID#3, ...)" if repeated else ""
