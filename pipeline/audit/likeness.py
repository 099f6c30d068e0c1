"""What makes two posts alike, kind by kind: a split must not have alike posts on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.text import bare
from pipeline.audit.near import near_photos
from pipeline.datasets.photos import by_content
from pipeline.datasets.posts import Posts

CONTENT = ("text", "photo", "near photo")
"""The kinds that lie in what a post holds, and not in what its dataset says of it."""

Likenesses = Mapping[str, Sequence[str]]
"""Per kind a key for each post: posts with an equal key are alike, "" is like no other."""


def likenesses(posts: Posts, *, near: bool = True) -> Likenesses:
    """The keys of all posts for each kind of likeness: "group", posts of one group (tweet); "text", equal texts, links,
    handles, retweet headers, case and punctuation aside; "photo", equal photos, byte for byte; and, only with `near`
    (which decodes every photo), "near photo", photos that look the same: scaled, compressed or brightened anew.

    Photos that are not there, or cannot be read, are like no other.
    """
    photos = by_content(posts)
    exact: dict[str, Sequence[str]] = {
        "group": posts.groups,
        "text": [bare(text) for text in posts.texts],
        "photo": photos,
    }
    return {**exact, "near photo": near_photos(posts, photos)} if near else exact
