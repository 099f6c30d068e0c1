"""Weights-free features. No download, no GPU; the embedded default and a baseline that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from features.card import Card
from features.encoders.encoder import Encoder
from features.text import Text, joined

_SIDE = 96
_GRID = 4
_ORIENTATIONS = 8
_HSV_BINS = (8, 3, 3)
_TEXT_BINS = 512


class Classic(Encoder):
    """Hashed words and character n-grams (text), colour, gradient and texture statistics (image).

    `image/statistics` [552]: HSV histogram (72), means and deviations of RGB on a 4 x 4 grid (96),
    gradient orientations on a 4 x 4 grid (128), local binary patterns (256); shares and square roots, so
    that every entry lies in [0, 1]. `text/hashed` [1024]: word uni- and bigrams (512) and character
    3- to 5-grams inside words (512), each half of unit length.
    """

    modalities = ("image", "text")
    views = {"image/statistics": (552,), "text/hashed": (2 * _TEXT_BINS,)}
    identity = {"version": 1}

    def prepare(self, image: Image.Image) -> np.ndarray:
        """[96, 96, 3] uint8."""
        return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.uint8)

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"image/statistics": np.stack([_statistics(image) for image in batch])}

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        halves = [vectorizer.transform([joined(text) for text in texts]).toarray() for vectorizer in self._vectorizers]
        return {"text/hashed": np.concatenate(halves, axis=1).astype(np.float32)}

    def text_length(self, tokens: Any) -> int:
        return 0

    @cached_property
    def _vectorizers(self) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import HashingVectorizer

        return (
            HashingVectorizer(n_features=_TEXT_BINS, ngram_range=(1, 2), token_pattern=r"(?u)#?\w+"),
            HashingVectorizer(n_features=_TEXT_BINS, analyzer="char_wb", ngram_range=(3, 5)),
        )


CARD = Card(
    name="classic",
    summary="hashed words and characters; colour, gradient and texture statistics (no weights)",
    modalities=("image", "text"),
    default_views={"image": "image/statistics", "text": "text/hashed"},
    loader=Classic,
    licence="MIT (ours)",
    hub=False,
    views={"image/statistics": (552,), "text/hashed": (1024,)},
)


def _statistics(rgb: np.ndarray) -> np.ndarray:
    """[96, 96, 3] uint8 to [552] float32."""
    gray = rgb.astype(np.float32).mean(axis=2) / 255.0
    parts = [_hsv_histogram(rgb), _grid_colours(rgb), _gradients(gray), _binary_patterns(gray)]
    return np.concatenate(parts).astype(np.float32)


def _hsv_histogram(rgb: np.ndarray) -> np.ndarray:
    hsv = np.asarray(Image.fromarray(rgb).convert("HSV"), dtype=np.int64)
    hue, saturation, value = (hsv[..., c] * bins // 256 for c, bins in enumerate(_HSV_BINS))
    cell = (hue * _HSV_BINS[1] + saturation) * _HSV_BINS[2] + value
    return np.sqrt(np.bincount(cell.ravel(), minlength=int(np.prod(_HSV_BINS))) / cell.size)


def _grid_colours(rgb: np.ndarray) -> np.ndarray:
    cell = _SIDE // _GRID
    blocks = rgb.reshape(_GRID, cell, _GRID, cell, 3).astype(np.float32) / 255.0
    return np.concatenate([blocks.mean(axis=(1, 3)).ravel(), blocks.std(axis=(1, 3)).ravel()])


def _gradients(gray: np.ndarray) -> np.ndarray:
    down, right = np.gradient(gray)
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) % np.pi
    orientation = np.minimum((angle / np.pi * _ORIENTATIONS).astype(np.int64), _ORIENTATIONS - 1)
    block = np.arange(_SIDE) * _GRID // _SIDE
    cell = (block[:, None] * _GRID + block[None, :]) * _ORIENTATIONS + orientation
    bins = _GRID * _GRID * _ORIENTATIONS
    histogram = np.bincount(cell.ravel(), weights=strength.ravel(), minlength=bins)
    return np.sqrt(histogram / max(histogram.sum(), 1e-9))


def _binary_patterns(gray: np.ndarray) -> np.ndarray:
    """Local binary patterns: each inner pixel's eight neighbours compared with it, as a histogram of 256 codes."""
    centre = gray[1:-1, 1:-1]
    code = np.zeros(centre.shape, dtype=np.int64)
    ring = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    for bit, (row, column) in enumerate(ring):
        neighbour = gray[row : row + centre.shape[0], column : column + centre.shape[1]]
        code |= (neighbour > centre).astype(np.int64) << bit
    return np.sqrt(np.bincount(code.ravel(), minlength=256) / code.size)
