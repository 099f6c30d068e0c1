"""The journal of a synthesis: one line of JSON per event, each on the medium before the next is begun."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache import files
from pipeline.errors import DataError, UsageError

FORMAT = 1


class Journal:
    """What was made and dropped so far, and the file that says so; a context manager.

    `posts` are the accepted posts in order, `dropped` counts drafts per reason, `attempts` is the number of drafts
    used up per (pattern, "text" or "image"), and `listed` how many posts the table has held.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Open or begin the journal. A torn last line, which a kill can leave, is cut off; the rest must be whole.

        Raises `UsageError` when it was begun with other settings, `DataError` when it cannot be read.
        """
        self.path = path
        self.posts: list[dict[str, Any]] = []
        self.dropped: Counter[str] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.listed = 0
        begun = self._load(settings)
        self._stream = path.open("ab")
        if not begun:
            self._append({"kind": "begin", "format": FORMAT, "settings": dict(settings)})
            files.sync_folder(path.parent)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def post(self, entry: Mapping[str, Any]) -> None:
        """Commit one accepted post; `entry` has its "row", "pattern" and the two attempts it came from."""
        self._take({"kind": "post", **entry})

    def drop(self, pattern: str, what: str, attempt: int, reason: str) -> None:
        """Commit that a draft was used up, and why."""
        self._take({"kind": "dropped", "pattern": pattern, "what": what, "attempt": attempt, "reason": reason})

    def table(self, posts: int) -> None:
        """Commit that the table on disk holds the first `posts` posts: one that is missing there was taken out."""
        if posts != self.listed:
            self._take({"kind": "table", "posts": posts})

    def _take(self, entry: dict[str, Any]) -> None:
        self._append(entry)
        self._count(entry)

    def _append(self, entry: dict[str, Any]) -> None:
        self._stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _count(self, entry: dict[str, Any]) -> None:
        if entry["kind"] == "post":
            self.posts.append(entry)
            for what in ("text", "image"):
                self._used(entry["pattern"], what, entry[f"{what}_attempt"])
        elif entry["kind"] == "dropped":
            self.dropped[f"{entry['what']}: {entry['reason']}"] += 1
            self._used(entry["pattern"], entry["what"], entry["attempt"])
        elif entry["kind"] == "table":
            self.listed = entry["posts"]

    def _used(self, pattern: str, what: str, attempt: int) -> None:
        self.attempts[pattern, what] = max(self.attempts[pattern, what], attempt + 1)

    def _load(self, settings: Mapping[str, Any]) -> bool:
        """Whether the file holds a journal already; its entries are counted."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return False
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)
        lines = data[:whole].splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._compare(entry["settings"], settings)
                else:
                    self._count(entry)
            except (ValueError, KeyError, TypeError):
                raise DataError(f"{self.path} is damaged in line {number}; begin anew in another --output.") from None
        return bool(lines)

    def _compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in now:
            if before.get(name) != now[name]:
                raise UsageError(
                    f"'{self.path.parent}' was begun with another {name} ({before.get(name)}, not {now[name]}); take "
                    "another --output, or the same settings to go on."
                )
