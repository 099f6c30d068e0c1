"""Which posts belong together, and what a dataset is called, where nobody says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.datasets.photos import by_content
from pipeline.datasets.posts import Posts


def grouped(posts: Posts, rows: Sequence[str]) -> Posts:
    """The posts in groups: those of the group column; where it is empty, posts that share a photo (byte for byte,
    whatever its path), a text or a row of the table (`rows`, "" for none).
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
    count = len(next(iter(shared.values())))
    node: dict[tuple[str, str], int] = {}
    ends: list[tuple[int, int]] = []
    for row, keys in enumerate(zip(*shared.values(), strict=True)):
        for kind, key in zip(shared, keys, strict=True):
            if key:
                ends.append((row, node.setdefault((kind, key), count + len(node))))
    return [f"group-{first + 1}" for first in first_linked(ends, count + len(node))[:count]]


def first_linked(links: Iterable[tuple[int, int]], count: int) -> list[int]:
    """For each of `count` nodes the first one of its connected component."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(list(links), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    component = connected_components(graph, directed=False)[1].tolist()
    first: dict[int, int] = {}
    return [first.setdefault(one, node) for node, one in enumerate(component)]


def slug(words: str) -> str:
    """A folder name for the cache from the words of a path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", words).strip("._") or "table"
