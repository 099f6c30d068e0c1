"""Knowledge texts in a file beside the dataset, such as an encyclopedia's on what a post speaks of."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from pipeline.datasets.frames import read_table
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError
from pipeline.log import say

_IDS = ("post_id", "id")
_TEXTS = ("text", "tweet_text")


def with_knowledge(posts: Posts, path: Path | None) -> Posts:
    """`posts` with the knowledge texts of a table in a file; posts that it does not name have "".

    A column `post_id` (or `id`), or else `text`, says which posts a row is for; the column `knowledge` holds what is
    known, or the only other column there is. Raises `UsageError` for other columns and for a file that names none of
    the posts, `DataError` where two rows are for the same post or text.
    """
    if path is None:
        return posts
    table = read_table(path, "--knowledge")
    have = list(table.columns)
    key = next((name for name in (*_IDS, *_TEXTS) if name in have), None)
    others = [name for name in have if name != key]
    value = "knowledge" if "knowledge" in others else others[0] if len(others) == 1 else None
    if key is None or value is None:
        raise UsageError(
            f"'{path.name}' needs a column post_id or text, and a column knowledge (--knowledge); it has "
            f"{', '.join(have)}."
        )
    known: dict[str, str] = {}
    for name, text in zip(table.columns[key], table.columns[value], strict=True):
        if name in known:
            raise DataError(f"'{path.name}' has two rows for the {key} '{name[:60]}'; keep one (--knowledge).")
        known[name] = text
    names = posts.ids if key in _IDS else posts.texts
    texts = [known.get(name, "") for name in names]
    found = sum(name in known for name in names)
    if not found:
        raise UsageError(f"'{path.name}' names none of the posts of '{posts.name}' by {key} (--knowledge).")
    say(f"Knowledge: {path}, for {found:,} of {len(posts):,} posts")
    for note in table.notes:
        say(f"  note: {note}")
    return replace(
        posts,
        knowledge=texts,
        notes=(*posts.notes, *(f"knowledge: {note}" for note in table.notes)),
        flags=f"{posts.flags} --knowledge {shlex.quote(str(path))}".strip(),
    )
