"""Photos that look the same: found by perceptual hashes, which scaling, compression and brightness hardly change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from pipeline.datasets.grouping import first_linked
from pipeline.datasets.photos import coarse_signs, small_grey
from pipeline.datasets.posts import Posts
from pipeline.log import is_quiet

if TYPE_CHECKING:
    from PIL import Image

SIDE = 64
"""Photos are compared at this many pixels a side ..."""
FREQUENCIES = 16
"""... by the signs of this many frequencies in each direction: 256 bits."""
NEAR = 56
"""Photos whose hashes differ in no more bits than this look the same. Of 3.8 million pairs of real photos
69 differed in 60 bits or less, every one the same picture scaled, tinted, captioned or framed anew; unlike ones differ
in about 128."""
FLAT = 2.0
"""Deviation of the grey values, of 255, below which a photo shows nothing by which it could be known again."""
_THREADS = 4
_BLOCK = 1024


def near_photos(posts: Posts, photos: Sequence[str]) -> list[str]:
    """For each post the first photo of its cluster of photos that look the same, "" where it has none.

    `photos` has for each post the path of its photo, one for all that are equal byte for byte (`by_content`). Clusters
    are the connected components of pairs whose hashes differ in at most `NEAR` bits.
    """
    paths = list(dict.fromkeys(filter(None, photos)))
    files = [posts.image_file(path) for path in paths]
    known = [(path, found) for path, found in zip(paths, _hashes(files), strict=True) if found is not None]
    if not known:
        return [""] * len(photos)
    first = first_linked(_pairs(np.stack([found for _, found in known])), len(known))
    key = {path: known[one][0] for (path, _), one in zip(known, first, strict=True)}
    return [key.get(photo, "") for photo in photos]


def perceptual_hash(image: Image.Image) -> np.ndarray | None:
    """The signs, bool [256], of a photo's lowest 16 x 16 frequencies (`coarse_signs`) at 64 x 64 pixels. None for a
    photo that is one flat colour.
    """
    grey = small_grey(image, SIDE)
    return None if grey.std() < FLAT else coarse_signs(grey, FREQUENCIES)


def _hashes(files: Sequence[str | None]) -> Iterator[np.ndarray | None]:
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(_hash_of, files)
        yield from tqdm(
            found, total=len(files), unit="photo", desc="looking at photos", disable=is_quiet(), leave=False
        )


def _hash_of(file: str | None) -> np.ndarray | None:
    from features.images import BadImage, decode

    if file is None:
        return None
    try:
        return perceptual_hash(decode(Path(file).read_bytes(), lambda size: (SIDE, SIDE)))
    except (OSError, BadImage):
        return None


def _pairs(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """The pairs of rows of bool [n, 256] that differ in at most `NEAR` places, each once."""
    signs = np.where(hashes, 1, -1).astype(np.float32)
    least = hashes.shape[1] - 2 * NEAR
    for start in range(0, len(signs), _BLOCK):
        block = signs[start : start + _BLOCK]
        rows, columns = np.nonzero(block @ signs[start:].T >= least)
        for row, column in zip((rows + start).tolist(), (columns + start).tolist(), strict=True):
            if row < column:
                yield row, column
