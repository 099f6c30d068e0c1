"""Reading one photo: bytes in, an 8-bit RGB image out, or the reason why not."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

MAX_PIXELS = 89_478_485
"""Photos with more pixels are refused before decoding (Pillow's own bound for decompression bombs)."""


class BadImage(Exception):
    """The photo cannot be used; `reason` is "image undecodable" or "image too large"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(data: bytes) -> Image.Image:
    """The first frame of an encoded image as 8-bit RGB, whatever its file name said it was.

    A decoder may fail in any way on hostile bytes, so every failure becomes `BadImage`, never a crash
    of the batch. Nothing is decoded from a file whose header announces more than `MAX_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            # the bound is checked here, by us, and not by a warning
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BadImage("image too large")
                image.load()
                return _to_rgb(image)
    except BadImage:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise BadImage("image too large") from None
    except Exception:
        raise BadImage("image undecodable") from None


def blank() -> Image.Image:
    """The white stand-in that `--on-error blank` puts where a photo cannot be read."""
    return Image.new("RGB", (224, 224), (255, 255, 255))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # a plain convert would clip everything above 255 to white
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values.clip(0, top) * (255.0 / top)).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
