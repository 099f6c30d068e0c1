"""Near-copies: texts by shared runs of characters, photos by a perceptual hash."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xxhash
from PIL import Image

from pipeline.datasets.photos import coarse_signs, small_grey

SHINGLE = 5
TEXT_LIMIT = 0.6
"""Texts whose sets of character 5-grams have at least this Jaccard similarity are near-copies."""

PHOTO_LIMIT = 8
"""Photos whose 64-bit hashes differ in at most this many bits are near-copies."""

HASH_SIDE, HASH_KEEP = 32, 8
FLAT = 2.0
"""An image whose grey values have a smaller standard deviation (of 0 to 255) shows nothing."""

_LINKS = re.compile(r"\S*://\S*|www\.\S+|@\w+")


def normalised(text: str) -> str:
    """Case, accents' encoding, links, handles, punctuation and white space taken out of a comparison."""
    plain = _LINKS.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(re.sub(r"[\W_]+", " ", plain).split())


def shingles(text: str) -> np.ndarray:
    """uint64, sorted and distinct: the hashes of all character 5-grams of a normalised text; of the whole, if short."""
    plain = normalised(text)
    grams = {plain[i : i + SHINGLE] for i in range(max(1, len(plain) - SHINGLE + 1))} if plain else set()
    return np.sort(np.fromiter((xxhash.xxh3_64_intdigest(g.encode()) for g in grams), np.uint64, len(grams)))


class Texts:
    """A growing set of texts that answers how near a new one is to the nearest, exactly (no sketch)."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._exact: set[str] = set()
        sets = []
        for text in texts:
            plain = normalised(text)
            if plain and plain not in self._exact:
                self._exact.add(plain)
                sets.append(shingles(text))
        self._sizes = np.array([len(one) for one in sets], dtype=np.int64)
        grams = np.concatenate([np.empty(0, np.uint64), *sets])
        order = np.argsort(grams, kind="stable")
        self._grams = grams[order]
        self._owner = np.repeat(np.arange(len(sets)), self._sizes)[order]
        self._added: list[np.ndarray] = []

    def add(self, text: str) -> None:
        self._exact.add(normalised(text))
        self._added.append(shingles(text))

    def is_copy(self, text: str) -> bool:
        """Whether a text of the set is the same, normalised."""
        return normalised(text) in self._exact

    def nearest(self, text: str) -> float:
        """The greatest Jaccard similarity (0 to 1) of the sets of 5-grams to any text of the set."""
        own = shingles(text)
        if not len(own):
            return 0.0
        best = 0.0
        if len(self._grams):
            first, last = np.searchsorted(self._grams, own, "left"), np.searchsorted(self._grams, own, "right")
            owners = np.concatenate([self._owner[a:b] for a, b in zip(first, last, strict=True)])
            shared = np.bincount(owners, minlength=len(self._sizes))
            best = float((shared / (self._sizes + len(own) - shared)).max())
        for other in self._added:
            common = len(np.intersect1d(own, other, assume_unique=True))
            best = max(best, common / (len(own) + len(other) - common))
        return best


def photo_hash(image: Image.Image) -> np.uint64:
    """The signs of a photo's lowest 8 x 8 frequencies (`coarse_signs`) at 32 x 32 pixels, as 64 bits."""
    bits = coarse_signs(small_grey(image, HASH_SIDE), HASH_KEEP)
    return np.uint64(np.packbits(bits).view(">u8")[0])


def is_flat(image: Image.Image) -> bool:
    """Whether there is nothing to see, such as the black image a safety checker leaves."""
    return float(np.asarray(image.convert("L"), dtype=np.float64).std()) < FLAT


class Photos:
    """A growing set of photo hashes that answers how far the nearest is."""

    def __init__(self, hashes: Sequence[Any] | np.ndarray = ()) -> None:
        self._known = np.unique(np.asarray(hashes, dtype=np.uint64))
        self._added: list[np.uint64] = []

    def add(self, one: np.uint64 | int) -> None:
        self._added.append(np.uint64(one))

    def nearest(self, one: np.uint64) -> int:
        """Differing bits (0 to 64) to the nearest photo of the set; 65 where it is empty."""
        known = np.concatenate([self._known, np.array(self._added, dtype=np.uint64)])
        if not len(known):
            return 65
        differing = np.unpackbits((known ^ one).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1)
        return int(differing.min())
