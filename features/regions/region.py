"""Regions of photos: vectors and boxes of detected objects, supplied in files or made by a detector.

Shared by the models that read regions: LXMERT, and the Transformer captioner over detector regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

NAMES = "names"
"""Where a photo's `info` keeps the names under which a file of regions may know it, the most exact first."""

NO_REGIONS = "no region features"


@dataclass(frozen=True)
class Found:
    """Regions of one photo: `features` [r, F]; `boxes` [r, 4] as left, top, right, bottom, from 0 to 1 (or none)."""

    features: np.ndarray
    boxes: np.ndarray | None


class Regions(Protocol):
    """A source of regions. `count`: the most that a photo has; `width`: F; `boxed`: whether all have boxes."""

    count: int
    width: int
    boxed: bool
    identity: Mapping[str, Any]

    def find(self, image: Any) -> Found:
        """The regions of a decoded photo, one at least. Raises `BadImage` where there is none; safe in threads."""


def pack(found: Found, count: int) -> np.ndarray:
    """[count, F + 5] float32: per region its features, its box and a 1; rows of zeros after the last region."""
    rows, width = found.features.shape
    packed = np.zeros((count, width + 5), np.float32)
    packed[:rows, :width] = found.features
    if found.boxes is not None:
        packed[:rows, width : width + 4] = found.boxes
    packed[:rows, -1] = 1.0
    return packed


def unpack(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [n, r, F], boxes [n, r, 4] and mask [n, r] of packed photos, cut at the most regions that one has."""
    most = int(batch[:, :, -1].sum(axis=1).max())
    batch = batch[:, :most]
    return batch[:, :, :-5], batch[:, :, -5:-1], batch[:, :, -1]
