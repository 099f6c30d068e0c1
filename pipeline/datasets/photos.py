"""Photos that are the same whatever their paths: a photo that was uploaded twice must not be trained on and tested."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from pipeline.datasets.posts import Posts

_BLOCK = 1 << 20


def by_content(posts: Posts) -> list[str]:
    """For each post the first path of the table that holds the same photo, byte for byte; "" where it has none.

    Only files of equal size are read. A photo that is not there, or cannot be read, is like no other.
    """
    by_size: dict[int, list[tuple[str, str]]] = {}
    for image in dict.fromkeys(filter(None, posts.images)):
        file = posts.image_file(image)
        size = -1 if file is None else _size(file)
        if file is not None and size > 0:
            by_size.setdefault(size, []).append((image, file))
    first: dict[str, str] = {}
    for alike in by_size.values():
        if len(alike) > 1:
            seen: dict[bytes, str] = {}
            for image, file in alike:
                first[image] = seen.setdefault(_digest(file) or image.encode(), image)
    return [first.get(image, image) for image in posts.images]


def _size(file: str) -> int:
    """Bytes of an ordinary file, -1 for anything else."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _digest(file: str) -> bytes | None:
    digest = hashlib.blake2b(digest_size=32)
    try:
        with Path(file).open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()
