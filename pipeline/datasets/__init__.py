"""Finding and reading the dataset a command asks for."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

from pipeline.datasets import crisismmd
from pipeline.datasets import tabular as table
from pipeline.datasets.posts import Posts
from pipeline.datasets.synthetic import add_synthetic
from pipeline.datasets.tabular import Columns
from pipeline.errors import UsageError
from pipeline.log import say

DATASETS = {
    "crisismmd": "CrisisMMD v2.0 as distributed: a folder with annotations/, data_image/ and split folders",
    "table": "any CSV, TSV, Parquet or JSON Lines with text and/or image columns",
    "sample": "the embedded sample, drawn on first use: a small corpus of CrisisMMD's shape",
}

SAMPLE_POSTS = 1200
_DEFAULT_DATA = Path("data/CrisisMMD_v2.0")


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
    if dataset is not None and dataset not in DATASETS:
        raise UsageError(f"There is no dataset '{dataset}'; choose one of {', '.join(DATASETS)}.")
    if name is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise UsageError(f"'{name}' cannot name a dataset; use letters, digits, '.', '_' and '-' (--name).")
    if data is None and dataset != "sample":
        data = _default_data(dataset)
    if dataset is None:
        dataset = "sample" if data is None else "table" if data.is_file() else "crisismmd"
    columns = columns or Columns()
    posts = _read(dataset, data, columns, name, cache)
    posts = replace(posts, flags=_flags(dataset, data, columns, name))
    if synthetic is not None:
        posts = replace(
            add_synthetic(posts, synthetic), flags=f"{posts.flags} {shlex.join(['--synthetic', str(synthetic)])}"
        )
    say(f"Dataset: {posts.origin}, {len(posts):,} posts")
    for note in posts.notes:
        say(f"  note: {note}")
    return posts


def _flags(dataset: str, data: Path | None, columns: Columns, name: str | None) -> str:
    """The flags that name this dataset again, for the commands that messages tell a user to run."""
    words = ["--dataset", dataset]
    words += ["--data", str(data)] if data is not None else []
    words += ["--name", name] if name else []
    for role, column in vars(columns).items():
        words += [f"--{role}-column", column] if column else []
    return shlex.join(words)


def _default_data(dataset: str | None) -> Path | None:
    if os.environ.get("CRISIS_DATA"):
        return Path(os.environ["CRISIS_DATA"])
    if dataset in (None, "crisismmd") and _DEFAULT_DATA.is_dir():
        return _DEFAULT_DATA
    if dataset is None:
        return None
    raise UsageError(f"The dataset '{dataset}' needs --data PATH (or the environment variable CRISIS_DATA).")


def _read(dataset: str, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
    if dataset == "table":
        assert data is not None
        if data.is_dir():
            raise UsageError(f"'{data}' is a folder; --dataset table needs a file (.csv, .tsv, .parquet, .jsonl).")
        return table.read_posts(data, columns, name)
    if dataset == "crisismmd":
        assert data is not None
        return crisismmd.read_posts(data, name or "crisismmd")
    folder = data or draw_sample(cache)
    return replace(crisismmd.read_posts(folder, name or "sample"), origin=f"the sample corpus in {folder}")


def draw_sample(cache: Path) -> Path:
    """The embedded sample's folder, drawn on first use: beside a folder called cache, else inside it."""
    from pipeline.sample import make_sample

    folder = (cache.parent if cache.name == "cache" else cache) / "sample"
    make_sample(folder, posts=SAMPLE_POSTS)
    return folder
