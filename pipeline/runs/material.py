"""What a set of fits is made from: posts, and the cached views of those of them that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.datasets.posts import Posts
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
    def places(self) -> np.ndarray:
        """int64 [posts]: each post's loaded row, -1 for one that is not loaded or not usable."""
        places = np.full(len(self.posts), -1, dtype=np.int64)
        places[self.rows] = np.where(self.views.usable, np.arange(len(self.rows)), -1)
        return places


def load_material(
    posts: Posts, protocols: Sequence[Protocol], sources: Sequence[Source], visibility: Visibility = ALL_VISIBLE
) -> Material:
    """The views of all posts that one of the `protocols` labels; raises as `load_views` and `Material.visible`."""
    rows = np.flatnonzero(np.any([protocol.labels >= 0 for protocol in protocols], axis=0))
    return Material(posts, rows, sources, load_views(posts, sources, rows), visibility)
