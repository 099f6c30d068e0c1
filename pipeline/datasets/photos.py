"""Photos that are the same whatever their paths, or look it: one uploaded twice must not be trained on and tested."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.datasets.posts import Posts

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

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


def coarse_signs(grey: np.ndarray, kept: int) -> np.ndarray:
    """bool [kept * kept], the coarse structure of a photo: of the cosine transform of its grey values [side, side] the
    lowest kept x kept coefficients, each above their median or not (pHash, Zauner 2010, 3.2.1). Scaling, recompression
    and brightness change few of them.
    """
    import numpy as np
    from scipy.fft import dctn

    low = dctn(grey, norm="ortho")[:kept, :kept].ravel()
    # the first one is the mean brightness, which says nothing about structure
    return np.asarray(low > np.median(low[1:]))


def small_grey(image: Image.Image, side: int) -> np.ndarray:
    """float64 [side, side], the grey values of a photo, each the mean of what it covers."""
    import numpy as np
    from PIL import Image as images

    return np.asarray(image.convert("L").resize((side, side), images.Resampling.BOX), dtype=np.float64)
