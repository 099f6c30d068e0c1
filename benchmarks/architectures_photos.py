"""The photos that architectures are tried with, and how near two vectors must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

NEAR = 2e-2
"""How far two vectors may be apart, as a share of the largest number in them. Where a photo is scaled by another
library than the processor's, a few of its pixels are one of 255 grey levels away, and large random weights make much of
that.
"""


def photos() -> list[Image.Image]:
    """Two photos of different shapes and contents."""
    rng = np.random.default_rng(3)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(2)]
    sizes = ((160, 120), (130, 150))
    return [
        Image.fromarray(one).resize(size, Image.Resampling.BICUBIC) for one, size in zip(coarse, sizes, strict=True)
    ]


def encoded(encoder: Any) -> Mapping[str, np.ndarray]:
    """What `encoder` gives of the photos, as extraction asks for it."""
    views: Mapping[str, np.ndarray] = encoder.encode_images(np.stack([encoder.prepare(photo) for photo in photos()]))
    return views


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest difference, as a share of the largest number."""
    return float(np.abs(found - wanted).max()) / max(float(np.abs(wanted).max()), 1e-6)


def judged(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], default: str) -> tuple[str, str]:
    """ "works" or "failed": whether the views that both have are equal, and at least one is."""
    common = sorted(found.keys() & wanted.keys())
    if not common:
        return "failed", f"nothing to compare: {', '.join(found)}"
    for view in common:
        if found[view].shape != wanted[view].shape:
            return "failed", f"{view} has the shape {found[view].shape} and not {wanted[view].shape}"
        if not (far := apart(found[view], wanted[view])) <= NEAR:
            return "failed", f"{view} is {far:.2g} away from the library's"
    return "works", f"{', '.join(common)} (default {default})"
