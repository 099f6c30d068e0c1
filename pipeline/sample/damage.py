"""Image files that are broken on purpose, or whole but not what their name says."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

from pipeline.sample.photos import JPEG_QUALITY, jpeg_bytes

_KINDS_FROM = 50
_POSTS_PER_KIND = 25


def _truncated(image: Image.Image) -> bytes:
    whole = jpeg_bytes(image)
    return whole[: len(whole) // 2]


def _png(image: Image.Image) -> bytes:
    return _saved(image, "PNG")


def _animated_gif(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    frames = [image.rotate(angle) for angle in (90, 180)]
    image.save(buffer, "GIF", save_all=True, append_images=frames, duration=200, loop=0)
    return buffer.getvalue()


def _cmyk(image: Image.Image) -> bytes:
    return _saved(image.convert("CMYK"), "JPEG")


def _grey(image: Image.Image) -> bytes:
    return _saved(image.convert("L"), "JPEG")


def _saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=JPEG_QUALITY)
    return buffer.getvalue()


UNREADABLE: dict[str, Callable[[Image.Image], bytes] | None] = {
    "truncated JPEG": _truncated,
    "missing file": None,
    "zero-byte file": lambda image: b"",
    "text file named .jpg": lambda image: b"this is no image, only a line of text\n",
}
"""What was done to a file that no decoder can read, and how; None leaves the file out."""

UNUSUAL: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG named .jpg": _png,
    "animated GIF named .jpg": _animated_gif,
    "CMYK JPEG": _cmyk,
    "greyscale JPEG": _grey,
}
"""What is odd about a file that every decoder reads, and how it is made."""


def kinds_for(posts: int) -> list[str]:
    """The kinds a sample of `posts` rows holds, once each: none below 50 rows, all from 200."""
    if posts < _KINDS_FROM:
        return []
    in_turn = [kind for pair in zip(UNREADABLE, UNUSUAL, strict=True) for kind in pair]
    first = ["truncated JPEG", "missing file"]
    return (first + [kind for kind in in_turn if kind not in first])[: posts // _POSTS_PER_KIND]
