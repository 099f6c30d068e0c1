"""A folder of photos, of texts, or of both: what a table would say is read off the names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath

from pipeline.datasets.columns import Columns
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.encoding import decoded
from pipeline.datasets.grouping import grouped, slug
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError

PHOTOS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".jp2", ".ppm", ".pgm", ".ico", ".tga",
)  # fmt: skip
TEXTS = (".txt",)
TABLES = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".gz"}
LABEL = "folder"
"""The label of posts that lie in several subfolders: the first folder of their path."""
LARGEST_TEXT = 1 << 20
"""Bytes; what is longer is no post."""
_LOOKED_AT = 2000


class Folder(Dataset):
    name = "folder"
    summary = "a folder of photos and/or .txt files; equal names are one post, subfolders are labels"

    def recognises(self, path: Path) -> bool:
        """Photos or texts, and no table, which would say more of them."""
        found = {_suffix(name) for name in islice(_names(path), _LOOKED_AT)} if path.is_dir() else set()
        return bool(found & {*PHOTOS, *TEXTS}) and not found & TABLES

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        assert data is not None
        said = columns.flags()
        if said:
            raise UsageError(f"'{data}' is a folder of files and has no columns; leave out {said[0]}.")
        return replace(read_folder(data, name), dataset=self)


def read_folder(folder: Path, name: str | None = None) -> Posts:
    """Every photo and every text below `folder`, in the order of their names; hidden files are passed over.

    A photo and a text whose paths differ in their suffix alone are one post. Its id is that path, and where there are
    two subfolders or more the first is its label. Posts of equal photos or texts are one group. Raises `UsageError` for
    a folder without any of them, `DataError` for a text that cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder '{folder}' (--data).")
    photos: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for path in sorted(_names(folder)):
        stem = PurePath(path).with_suffix("").as_posix()
        if _suffix(path) in PHOTOS:
            photos.setdefault(stem, []).append(path)
        elif _suffix(path) in TEXTS:
            texts[stem] = path
    if not photos and not texts:
        raise UsageError(f"'{folder}' holds no photos and no .txt files.")
    # two photos may differ in their suffix alone: a text goes with each
    rows = [
        (path if len(some) > 1 else stem, path, texts.get(stem, "")) for stem, some in photos.items() for path in some
    ]
    rows += [(stem, "", path) for stem, path in texts.items() if stem not in photos]
    rows.sort()
    ids, images, files = (list(column) for column in zip(*rows, strict=True))
    kinds = [one.partition("/")[0] if "/" in one else "" for one in ids]
    several = len(set(kinds) - {""}) > 1
    empty = [""] * len(rows)
    read = {path: _text(folder, path) for path in texts.values()}
    posts = Posts(
        name=name or slug(folder.resolve().name),
        root=folder,
        ids=ids,
        groups=empty,
        texts=[read.get(path, "") for path in files],
        images=images,
        events=empty,
        labels={LABEL: {"pair": kinds}} if several else {},
        origin=f"folder {folder}",
        notes=tuple(_notes(images, files, kinds if several else ())),
    )
    return grouped(posts, empty)


def _notes(images: Sequence[str], files: Sequence[str], kinds: Sequence[str]) -> Iterator[str]:
    both = sum(bool(image and file) for image, file in zip(images, files, strict=True))
    photos, texts = sum(map(bool, images)), sum(map(bool, files))
    yield f"{photos:,} photos, {texts:,} texts, {both:,} posts with both"
    if kinds:
        yield f"labels ({LABEL}): {', '.join(sorted(set(kinds) - {''})[:10])}"


def _names(folder: Path) -> Iterator[str]:
    """The files below `folder`, relative to it, in no order; unreadable folders and links to folders are left."""
    for place, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith(".")]
        below = PurePath(os.path.relpath(place, folder))
        yield from ((below / name).as_posix() for name in names if not name.startswith("."))


def _suffix(path: str) -> str:
    return PurePath(path).suffix.lower()


def _text(folder: Path, path: str) -> str:
    """The file's text without the space around it."""
    file = folder / path
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_TEXT:
            raise DataError(f"'{file}' is no text of a post: it is longer than {LARGEST_TEXT:,} bytes, or no file.")
        return decoded(file.read_bytes())[0].strip()
    except (OSError, ValueError) as error:
        raise DataError(f"The text '{file}' cannot be read: {error}.") from error
