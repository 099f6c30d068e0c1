"""From a drawn scene to the bytes of a photograph: light, grain, framing, JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pipeline.sample import scenes

JPEG_QUALITY = 85

_RUIN: dict[str, float] = {
    "severe_damage": 0.9,
    "mild_damage": 0.5,
    "little_or_no_damage": 0.12,
    "dont_know_or_cant_judge": 0.4,
}


def photograph(rng: np.random.Generator, hazard: str, label: str, clear: bool, damage: str) -> Image.Image:
    """An RGB image of 160 x 120 (some 120 x 120) pixels.

    It shows the scene of the humanitarian class `label` when `clear`, else one that fits every class.
    `damage` is a damage class, or "nan" where none was judged.
    """
    scene = scenes.CLEAR[label] if clear else scenes.VAGUE[int(rng.integers(len(scenes.VAGUE)))]
    ruin = float(np.clip(_RUIN.get(damage, 0.5) + rng.normal(0.0, 0.08), 0.0, 1.0))
    return _develop(rng, scene(rng, hazard, ruin).reduce(2))


def jpeg_bytes(image: Image.Image) -> bytes:
    """`image` as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _develop(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Mirroring, a square crop now and then, exposure, contrast, colour cast and grain."""
    pixels = np.asarray(image, dtype=np.float32)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    if rng.random() < 0.15:
        pixels = pixels[:, 20:140]
    pixels = (pixels - 128) * float(rng.uniform(0.75, 1.1)) + 128
    pixels = pixels * float(rng.uniform(0.8, 1.15)) + rng.normal(0.0, 6.0, 3).astype(np.float32)
    pixels = pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * float(rng.uniform(2.0, 9.0))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
