"""Any table of posts (CSV, TSV, Parquet, JSON Lines) with text and/or image columns (D7, D8)."""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.datasets.columns import Columns
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.posts import Posts
from pipeline.datasets.synthetic import is_marked, mark_synthetic
from pipeline.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas

__all__ = ["Columns", "Tabular", "read_posts"]

_GUESSES = {"text": ("text", "tweet_text"), "image": ("image_path", "image"), "label": ("label",)}
_ID_GUESSES = ("post_id", "id")


class Tabular(Dataset):
    name = "table"
    summary = "any CSV, TSV, Parquet or JSON Lines with text and/or image columns"

    def recognises(self, path: Path) -> bool:
        return path.is_file()

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        assert data is not None
        if data.is_dir():
            raise UsageError(f"'{data}' is a folder; --dataset table needs a file (.csv, .tsv, .parquet, .jsonl).")
        return replace(read_posts(data, columns, name), dataset=self)


def read_posts(path: Path, columns: Columns, name: str | None = None) -> Posts:
    """One row of the table is one post; image paths are relative to the table's folder.

    Ids that repeat are numbered ("ID#2"). Without a group column, posts that share a photo or a text are
    one group, so that no split can put them on both sides. Rows that a column `synthetic` marks come last, for train
    only. Raises `UsageError` for a column that is not there.
    """
    frame = read_frame(path)
    if frame.empty:
        raise DataError(f"'{path}' holds no rows.")
    have = list(frame.columns)

    def column(role: str, named: str | None) -> list[str] | None:
        if named is not None and named not in have:
            raise UsageError(f"'{path.name}' has no column '{named}' (--{role}-column); it has {', '.join(have)}.")
        chosen = named or next((guess for guess in _GUESSES.get(role, ()) if guess in have), None)
        return None if chosen is None else frame[chosen].tolist()

    texts, images = column("text", columns.text), column("image", columns.image)
    if texts is None and images is None:
        raise UsageError(
            f"'{path.name}' has neither a text nor an image column; name one with --text-column or "
            f"--image-column: it has {', '.join(have)}."
        )
    count = len(frame)
    empty = [""] * count
    labels = column("label", columns.label)
    groups = column("group", columns.group)
    ids, note = _ids(column("id", columns.id or next((g for g in _ID_GUESSES if g in have), None)), count)
    posts = Posts(
        name=name or _slug(path),
        root=path.parent,
        ids=ids,
        groups=_groups(groups, texts or empty, images or empty),
        texts=texts or empty,
        images=images or empty,
        events=column("event", columns.event) or empty,
        labels={} if labels is None else {columns.label or "label": {"pair": labels}},
        origin=f"table {path}",
        splits=column("split", columns.split) or (),
        knowledge=column("knowledge", columns.knowledge) or (),
        notes=(note,) if note else (),
    )
    return mark_synthetic(posts, [is_marked(cell) for cell in frame["synthetic"]]) if "synthetic" in have else posts


def read_frame(path: Path, flag: str = "--data") -> pandas.DataFrame:
    """Every cell as text, "" for a missing one; integers keep all their digits. `flag` is what named the file."""
    import pandas

    if not path.is_file():
        raise UsageError(f"There is no table '{path}' ({flag}).")
    suffix = path.suffix.lower()
    # without index_col=False a row that is longer than the header would shift every column
    text: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            if suffix == ".csv":
                return pandas.read_csv(path, **text)
            if suffix == ".tsv":
                return pandas.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, **text)
        if suffix in (".jsonl", ".ndjson"):
            return _read_json_lines(path)
        if suffix == ".parquet":
            return _as_text(pandas.read_parquet(path, dtype_backend="pyarrow"))
    except pandas.errors.ParserWarning as error:
        raise DataError(f"'{path}' has rows with more fields than its header; mend it or name every column.") from error
    except (ValueError, OSError) as error:
        cause = str(error).strip().splitlines()[0][:160]
        raise DataError(f"'{path}' could not be read as {suffix[1:].upper()}: {cause}.") from error
    raise UsageError(f"'{path.name}' is no table that can be read: use .csv, .tsv, .parquet or .jsonl.")


def _read_json_lines(path: Path) -> pandas.DataFrame:
    """One JSON object a line, read by itself: a column of mixed types must not turn integers into floats."""
    import pandas

    rows = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = {c: ["" if row.get(c) is None else str(row[c]) for row in rows] for c in columns}
    return pandas.DataFrame(cells, dtype=object)


def _as_text(frame: pandas.DataFrame) -> pandas.DataFrame:
    import pandas

    def cell(value: object) -> str:
        if value is None or value is pandas.NA or value != value:
            return ""
        return str(value)

    return pandas.DataFrame({str(c): [cell(v) for v in frame[c].tolist()] for c in frame.columns}, dtype=object)


def _ids(given: Sequence[str] | None, count: int) -> tuple[list[str], str]:
    """Unique post ids: the given ones with repeats numbered, and row numbers where there is none."""
    if given is None:
        return [f"row-{row}" for row in range(1, count + 1)], ""
    taken = set(given)
    seen: dict[str, int] = {}
    ids = []
    for row, post in enumerate(given, start=1):
        post = post or f"row-{row}"
        seen[post] = seen.get(post, 0) + 1
        unique = post
        while seen[post] > 1 and (unique := f"{post}#{seen[post]}") in taken:
            seen[post] += 1
        taken.add(unique)
        ids.append(unique)
    repeated = sum(unique not in seen for unique in ids)
    return ids, f"{repeated} ids repeat and were numbered (ID#2, ID#3, ...)" if repeated else ""


def _groups(given: Sequence[str] | None, texts: Sequence[str], images: Sequence[str]) -> list[str]:
    """The group column; where there is none, or it is empty, the posts that share a photo or a text."""
    if given is not None and all(given):
        return list(given)
    shared = _shared_groups(texts, images)
    return shared if given is None else [group or other for group, other in zip(given, shared, strict=True)]


def _shared_groups(texts: Sequence[str], images: Sequence[str]) -> list[str]:
    """Connected components of posts under "same text" and "same photo"; a component's name is its first row."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(texts)
    node: dict[tuple[str, str], int] = {}
    ends: list[tuple[int, int]] = []
    for row, keys in enumerate(zip(texts, images, strict=True)):
        for kind, key in zip(("text", "image"), keys, strict=True):
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
