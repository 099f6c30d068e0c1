"""A dataset in memory: one row per post, in columns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from pipeline.datasets.dataset import Dataset

COLUMNS = ("ids", "groups", "texts", "images", "events", "splits", "dates", "knowledge")
"""The fields of `Posts` with one entry per post (some may be empty altogether); `labels` and `synthetic` are apart."""


@dataclass(frozen=True)
class Posts:
    """The posts of one dataset; every list has one entry per post.

    `name` is the dataset's folder in the cache. `images` are paths relative to `root` ("" where a post
    has none). `events` and `dates` may be empty strings. `labels[source][modality]` holds raw labels as
    annotated ("" where there is none); modality is "text", "image" or "pair". `origin` says in words where the
    posts came from, `notes` what a user should know about them, and `flags` the command-line flags that name them.
    `knowledge` is a text about each post that its author did not write, an encyclopedia's, say. `synthetic` has the
    labels of the last posts, those that a model wrote: they stand behind all others and may only train. `dataset` knows
    their tasks and official splits.
    """

    name: str
    root: Path
    ids: Sequence[str]
    groups: Sequence[str]
    texts: Sequence[str]
    images: Sequence[str]
    events: Sequence[str]
    labels: Mapping[str, Mapping[str, Sequence[str]]]
    origin: str
    image_folders: tuple[Path, ...] = ()
    splits: Sequence[str] = ()
    notes: tuple[str, ...] = ()
    dates: Sequence[str] = field(default=())
    flags: str = ""
    knowledge: Sequence[str] = ()
    synthetic: Sequence[str] = ()
    dataset: Dataset = field(default=Dataset(), compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def real(self) -> int:
        """How many posts people wrote: the first ones."""
        return len(self) - len(self.synthetic)

    @cached_property
    def modalities(self) -> frozenset[str]:
        """The modalities that at least one post has; "joint" where both are there."""
        there = {m for m, column in (("image", self.images), ("text", self.texts)) if any(column)}
        return frozenset(there | {"joint"} if len(there) == 2 else there)

    @property
    def pair_labels(self) -> Sequence[str]:
        """The labels of whole posts; empty where there are none."""
        return next((by["pair"] for by in self.labels.values() if "pair" in by), ())

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Post id to row."""
        return {post: row for row, post in enumerate(self.ids)}

    @cached_property
    def _stems(self) -> Counter[str]:
        return Counter(PurePath(image).stem for image in set(self.images))

    def photo_names(self, image: str) -> tuple[str, ...]:
        """What files of others may call the photo: its path without the extension, with it, and, where no other photo
        has the same, its file name without the extension.
        """
        path = PurePath(image)
        names = (path.with_suffix("").as_posix(), path.as_posix())
        return (*names, path.stem) if self._stems[path.stem] == 1 else names

    @cached_property
    def _allowed(self) -> tuple[str, ...]:
        folders = (self.root, *self.image_folders)
        return tuple(os.path.join(os.path.realpath(folder), "") for folder in folders)

    def image_file(self, image: str) -> str | None:
        """The file of an entry of `images`, or None when it lies outside the dataset's folder.

        Neither an absolute path, nor "..", nor a link can lead out of it.
        """
        try:
            real = os.path.realpath(os.path.join(self.root, image))
        except ValueError:
            return None
        return real if real.startswith(self._allowed) else None

    def take(self, rows: Sequence[int]) -> Posts:
        """The posts of `rows`, in this order; synthetic ones must come behind all others."""

        def taken(column: Sequence[str]) -> Sequence[str]:
            return [column[row] for row in rows] if len(column) else column

        written = [row >= self.real for row in rows]
        if written != sorted(written):
            raise ValueError("Synthetic posts stand behind all others.")
        return self._with_columns(
            {name: taken(getattr(self, name)) for name in COLUMNS},
            {
                source: {modality: taken(column) for modality, column in by.items()}
                for source, by in self.labels.items()
            },
            synthetic=[self.synthetic[row - self.real] for row in rows if row >= self.real],
        )

    def concat(self, other: Posts) -> Posts:
        """These posts and behind them those of `other`, under the name of these; what one of the two lacks is "".

        Photos of `other` are found where they are, in its folders. Its ids and groups must be others than these.
        """
        if self.synthetic and other.real:
            raise ValueError("Synthetic posts stand behind all others.")

        def joined(one: Sequence[str], two: Sequence[str]) -> Sequence[str]:
            if not len(one) and not len(two):
                return ()
            return [*(one if len(one) else [""] * len(self)), *(two if len(two) else [""] * len(other))]

        columns = {name: joined(getattr(self, name), getattr(other, name)) for name in COLUMNS}
        folders = other.image_folders
        if other.root != self.root:
            folders = (other.root, *folders)
            theirs = [image and os.path.join(os.path.abspath(other.root), image) for image in other.images]
            columns["images"] = joined(self.images, theirs)
        labels: dict[str, dict[str, Sequence[str]]] = {}
        for source in dict.fromkeys([*self.labels, *other.labels]):
            one, two = self.labels.get(source, {}), other.labels.get(source, {})
            labels[source] = {m: joined(one.get(m, ()), two.get(m, ())) for m in dict.fromkeys([*one, *two])}
        return self._with_columns(
            columns,
            labels,
            synthetic=[*self.synthetic, *other.synthetic],
            image_folders=tuple(dict.fromkeys([*self.image_folders, *folders])),
            notes=(*self.notes, *other.notes),
        )

    def _with_columns(self, columns: Mapping[str, Any], labels: Mapping[str, Any], **others: Any) -> Posts:
        return replace(self, **columns, labels=labels, **others)

    def head(self, limit: int | None) -> Posts:
        """The first `limit` posts (all of them for None)."""
        return self if limit is None or limit >= len(self) else self.take(range(limit))
