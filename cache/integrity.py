"""Finding rot: every byte of a cache file against its checksums, with the rows that are hit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache.errors import mend
from cache.header import skeleton_digest
from cache.stored import Image


@dataclass(frozen=True)
class Damage:
    """Dataset rows first..last (inclusive) of a table that are not what was written, with their post ids."""

    file: Path
    table: str
    first: int
    last: int
    first_id: str
    last_id: str

    def __str__(self) -> str:
        rows = f"rows {self.first} to {self.last} (posts {self.first_id} to {self.last_id})"
        return f"{self.file}: {rows} of '{self.table}' are damaged; {mend(self.file)}."


@dataclass
class Report:
    """What ``verify`` found. rows: rows looked at. sentences: damage that no row can be named for."""

    rows: int = 0
    damage: list[Damage] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every byte is what was written."""
        return not self.damage and not self.sentences

    def __str__(self) -> str:
        if self.ok:
            return f"{self.rows} rows are sound."
        return "\n".join([*self.sentences, *map(str, self.damage)])


def verify_images(images: Sequence[Image]) -> Report:
    """Check the bytes of open files against their checksums."""
    report = Report()
    for image in images:
        report.rows = max(report.rows, image.header.start + image.header.sizes.rows)
        if image.unreadable or skeleton_digest(image.buffer, image.header) != image.header.digest:
            report.sentences.append(
                f"{image.path}: ids, tables or metadata are damaged, so it is not read; {mend(image.path)}."
            )
        for path in image.header.tables:
            if not path.startswith("checksums/"):
                report.damage += _damage(image, path)
    return report


def _damage(image: Image, path: str) -> Iterator[Damage]:
    size = image.header.tables[path].shape[0]
    for low, high, rows in image.blocks(path, 0, size):
        if rows is None:
            first, last = rows_hit(image, path, low, high - 1)
            ids = image.array("posts/id")
            yield Damage(
                file=image.path,
                table=path,
                first=image.header.start + first,
                last=image.header.start + last,
                first_id=ids[first].decode("utf-8", "replace"),
                last_id=ids[last].decode("utf-8", "replace"),
            )


def rows_hit(image: Image, path: str, first: int, last: int) -> tuple[int, int]:
    """Rows of the posts behind entries first..last of a table; bytes of a caption blob map through its offsets, each of
    which ends one caption and begins the next.
    """
    end = image.header.sizes.rows - 1
    if path.endswith("/offsets"):
        first -= 1
    if path.startswith("captions/") and path.endswith("/blob"):
        offsets = image.array(path.removesuffix("blob") + "offsets")
        first, last = (int(row) - 1 for row in np.searchsorted(offsets, [first, last], "right"))
    return min(max(first, 0), end), min(max(last, first, 0), end)
