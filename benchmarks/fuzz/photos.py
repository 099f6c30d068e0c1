"""Photos of every format that is read, with bytes flipped, cut, doubled, zeroed and swapped."""

from __future__ import annotations

import io
import random
import time
from pathlib import Path

import numpy as np
from PIL import Image

from features.images import BadImage, decode

SECONDS = 5.0
"""No photo of this size may take longer."""
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "TGA", "HEIF")


class Trials:
    """Decodes a spoilt photo: it is an RGB photo, or a bad one with a reason."""

    def __init__(self, folder: Path) -> None:
        self._sound = list(sound_photos())

    def one(self, rng: random.Random) -> tuple[str, str]:
        kind, data = rng.choice(self._sound)
        spoilt = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            spoil(spoilt, rng)
        started = time.monotonic()
        try:
            image = decode(bytes(spoilt))
            outcome = "decoded" if image.mode == "RGB" and min(image.size) > 0 else "FAILED: not RGB"
        except BadImage as error:
            outcome = f"bad: {error.reason}"
        except BaseException as error:
            outcome, kind = "FAILED: raised", f"{kind}: {type(error).__name__}: {error}"
        if time.monotonic() - started > SECONDS:
            outcome = "FAILED: slow"
        return outcome, kind


def sound_photos() -> list[tuple[str, bytes]]:
    """A photo in each format, several for those with several ways of writing one."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((96, 72), Image.Resampling.BICUBIC)
    clear = photo.convert("RGBA")
    clear.putalpha(128)
    exif = Image.Exif()
    exif[0x0112] = 6
    written = [(kind, photo, {}) for kind in FORMATS]
    written += [
        ("JPEG", photo, {"progressive": True, "exif": exif}),
        ("PNG", clear, {"exif": exif}),
        ("PNG", photo.convert("P"), {}),
        ("PNG", Image.fromarray(rng.integers(0, 65536, (20, 30), dtype=np.uint16)), {}),
        ("GIF", photo, {"save_all": True, "append_images": [photo.rotate(90)] * 3}),
        ("WEBP", clear, {"lossless": True, "save_all": True, "append_images": [clear] * 2}),
        ("TIFF", photo, {"compression": "tiff_lzw"}),
        ("TIFF", Image.fromarray(rng.random((20, 30), dtype=np.float32)), {}),
        ("TIFF", photo.convert("CMYK"), {"compression": "jpeg"}),
        ("TGA", photo, {"compression": "tga_rle"}),
    ]
    if "HEIF" not in Image.SAVE:
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
        except ImportError:
            pass
    Image.init()
    found = []
    for kind, image, how in written:
        if kind in Image.SAVE:
            data = io.BytesIO()
            image.save(data, kind, **how)
            found.append((kind, data.getvalue()))
    return found


def spoil(data: bytearray, rng: random.Random) -> None:
    """One change, in place; most of them near the beginning, where a file says what it is."""
    if not data:
        return
    end = len(data) if rng.random() < 0.5 else min(len(data), 200)
    at = rng.randrange(end)
    how = rng.randrange(7)
    if how == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        data[at] = rng.choice((0, 0xFF, 0x7F, 0x80, 1))
    elif how == 2:
        del data[at:]
    elif how == 3:
        data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1"))
    elif how == 4:
        data[at:at] = data[at : at + rng.randint(1, 64)]
    elif how == 5:
        del data[at : at + rng.randint(1, 64)]
    else:
        data[at : at + 8] = rng.randbytes(8)
