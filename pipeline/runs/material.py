"""What a set of fits is made from: posts, and the cached views of those of them that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.text import bare
from pipeline.datasets.posts import Posts
from pipeline.inputs.hashing import NO_HASH
from pipeline.protocols.choose import Protocol
from pipeline.runs.sources import Source
from pipeline.runs.views import Views, load_views
from pipeline.runs.visibility import ALL_VISIBLE, Visibility, VisibleViews


@dataclass(frozen=True)
class Material:
    """Loaded once and shared by all fits of a command; `load_material` makes it.

    posts: the whole dataset.
    rows: int64 [n], the posts whose views are loaded; the "loaded rows" 0..n-1 elsewhere are places in this array.
    sources: the views, each in its cache file.
    views: their arrays [n, ...] and which posts are usable in all of them.
    visibility: which views a head sees in training and in asking.
    """

    posts: Posts
    rows: np.ndarray
    sources: Sequence[Source]
    views: Views
    visibility: Visibility = ALL_VISIBLE

    @cached_property
    def visible(self) -> VisibleViews:
        """The arrays as heads see them. Raises `UsageError` where the views do not fit the setting."""
        return self.visibility.apply(self.views.arrays)

    @cached_property
    def contents(self) -> dict[str, np.ndarray]:
        """Of what the views were made from, in words, int64 [posts]: posts with an equal number have the same; -1 where
        a post is not loaded or has none. Photos are the same byte for byte, texts in what they say.
        """
        modalities = {source.modality for source in self.sources}
        found: dict[str, np.ndarray] = {}
        if modalities & {"text", "joint"}:
            found["text"] = numbered([bare(text) for text in self.posts.texts])
        if "image" in self.views.digests:
            photos = np.full(len(self.posts), -1, dtype=np.int64)
            photos[self.rows] = numbered([digest.tobytes() for digest in self.views.digests["image"]], NO_HASH)
            found["photo"] = photos
        return found

    @cached_property
    def places(self) -> np.ndarray:
        """int64 [posts]: each post's loaded row, -1 for one that is not loaded or not usable."""
        places = np.full(len(self.posts), -1, dtype=np.int64)
        places[self.rows] = np.where(self.views.usable, np.arange(len(self.rows)), -1)
        return places


def numbered(values: Sequence[str] | Sequence[bytes], nothing: str | bytes = "") -> np.ndarray:
    """int64 [n]: a number for each distinct value, -1 for `nothing`."""
    numbers: dict[str | bytes, int] = {nothing: -1}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def load_material(
    posts: Posts, protocols: Sequence[Protocol], sources: Sequence[Source], visibility: Visibility = ALL_VISIBLE
) -> Material:
    """The views of all posts that one of the `protocols` labels; raises as `load_views` and `Material.visible`."""
    rows = np.flatnonzero(np.any([protocol.labels >= 0 for protocol in protocols], axis=0))
    return Material(posts, rows, sources, load_views(posts, sources, rows, visibility.missing == "absent"), visibility)
