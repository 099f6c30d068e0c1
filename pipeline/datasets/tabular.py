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
from pipeline.datasets.labels import settled
from pipeline.datasets.photos import by_content
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
        name=name or _slug(path),
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
    posts = _grouped(posts, rows if len(set(rows)) < len(rows) else empty)
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


def _grouped(posts: Posts, rows: Sequence[str]) -> Posts:
    """The posts in groups: those of the group column; where it is empty, posts that share a photo (byte for byte,
    whatever its path), a text or a row of the table.
    """
    photos = by_content(posts)
    twice = len(set(posts.images)) - len(set(photos))
    if not all(posts.groups):
        shared = _shared_groups(text=posts.texts, image=photos, row=rows)
        groups = [group or other for group, other in zip(posts.groups, shared, strict=True)]
        note = f"{twice} photos are the same as another under another path; their posts are one group"
        return replace(posts, groups=groups, notes=(*posts.notes, note) if twice else posts.notes)
    of_photo: dict[str, set[str]] = {}
    for photo, group in zip(photos, posts.groups, strict=True):
        of_photo.setdefault(photo, set()).add(group)
    apart = sum(len(groups) > 1 for photo, groups in of_photo.items() if photo)
    note = f"{apart} photos are in several groups of the group column, so a split can have them on both sides"
    return replace(posts, notes=(*posts.notes, note)) if apart else posts


def _shared_groups(**shared: Sequence[str]) -> list[str]:
    """Connected components of posts with an equal value in any of these, unless it is ""; named by their first row."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(next(iter(shared.values())))
    node: dict[tuple[str, str], int] = {}
    ends: list[tuple[int, int]] = []
    for row, keys in enumerate(zip(*shared.values(), strict=True)):
        for kind, key in zip(shared, keys, strict=True):
            if key:
                ends.append((row, node.setdefault((kind, key), count + len(node))))
    size = count + len(node)
    links = np.array(ends, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(size, size))
    component = connected_components(graph, directed=False)[1][:count]
    first: dict[int, int] = {}
    return [f"group-{first.setdefault(int(c), row) + 1}" for row, c in enumerate(component)]


def _slug(path: Path) -> str:
    """A folder name for the cache from the table's own and its folder's name."""
    words = f"{path.resolve().parent.name}-{path.stem}"
    return re.sub(r"[^A-Za-z0-9._-]+", "_", words).strip("._") or "table"
