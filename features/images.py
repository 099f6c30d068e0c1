"""Reading one photo: bytes in, an 8-bit RGB image out, or the reason why not."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image

Size = tuple[int, int]
DecodeSize = Callable[[Size], Size | None]

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM", "ICO", "TGA")
"""What is decoded at all. Pillow knows more, some of which start other programs (EPS: Ghostscript). JPEG includes the
multi-picture files of phones; HEIF needs the package pillow-heif (the extra `heic`)."""

MAX_PIXELS = 89_478_485
"""Photos with more pixels are refused before decoding (Pillow's own bound for decompression bombs)."""

MAX_JPEG2000_PIXELS = 1 << 24
"""The same for JPEG 2000, whose decoder takes 37 bytes of memory a pixel."""

MAX_SCAN_PIXELS = 2_000_000_000
"""Pixels times scans of a progressive JPEG: each scan passes over the whole photo, at about 3e9 pixels a second."""

MAX_ASPECT = 50
"""Photos longer than this many times their width are refused: transforms that scale the shorter edge up would
make gigabytes of a sliver."""

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""The orientations that exchange width and height."""

_PNG = b"\x89PNG\r\n\x1a\n"
_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""PNG chunks that hold no pixels, but may hold more text or profile than Pillow agrees to read."""

# the bound is checked here, before decoding; a warning beside it would only be noise
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# photos are full of broken EXIF; what of it is needed is read with care below
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class BadImage(Exception):
    """The photo cannot be used; `reason` is "image undecodable" or "image too large".

    `passing`: it may be fine another time (it could not be read, it changed meanwhile, memory ran out).
    """

    def __init__(self, reason: str, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


def decode(data: bytes, least: DecodeSize | None = None) -> Image.Image:
    """The first frame of an encoded image as 8-bit RGB, as a viewer shows it, whatever its file name said it was:
    turned as its EXIF says, what is transparent on white.

    `least` says, of its (width, height), how small a JPEG may be decoded: at 1/2, 1/4 or 1/8 of its size, where that is
    no less (None: at its own).

    A decoder may fail in any way on hostile bytes, so every failure becomes `BadImage`, never a crash
    of the batch. Nothing is decoded that is not one of `FORMATS`, nor from a file whose header announces more than
    `MAX_PIXELS` pixels, or a side more than `MAX_ASPECT` times the other.
    """
    try:
        with Image.open(io.BytesIO(_without_notes(data)), formats=_formats()) as image:
            _refuse_bombs(image, data)
            turned = _orientation(image) in _TURNED
            shown = image.size[::-1] if turned else image.size
            if least is not None and image.format == "JPEG" and (size := least(shown)) is not None:
                image.draft(None, size[::-1] if turned else size)
            image.load()
            return _turned(_to_rgb(image), _orientation(image))
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage("image too large") from None
    except MemoryError:
        raise BadImage("image too large", passing=True) from None
    except Exception:
        raise BadImage("image undecodable") from None


def blank() -> Image.Image:
    """The white stand-in that `--on-error blank` puts where a photo cannot be read."""
    return Image.new("RGB", (224, 224), (255, 255, 255))


@functools.cache
def _formats() -> list[str]:
    """Those of `FORMATS` that this Pillow reads, HEIF among them where the package for it is installed."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def _refuse_bombs(image: Image.Image, data: bytes) -> None:
    width, height = image.size
    most = MAX_JPEG2000_PIXELS if image.format == "JPEG2000" else MAX_PIXELS
    if width * height > most or max(width, height) > MAX_ASPECT * min(width, height):
        raise BadImage("image too large")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") * width * height > MAX_SCAN_PIXELS:
        raise BadImage("image too large")


def _without_notes(data: bytes) -> bytes:
    """The bytes of a PNG without its texts and colour profile; any other file, and a broken one, as it is."""
    if not data.startswith(_PNG):
        return data
    kept, start, noted = [_PNG], len(_PNG), False
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if kind in _NOTES:
            noted = True
        else:
            kept.append(data[start:end])
        start = end
    return b"".join(kept) if noted else data


def _orientation(image: Image.Image) -> int:
    """EXIF's number, 1 (upright) where there is none or it cannot be read: a sound photo is not lost to its notes."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return found if found in _METHODS else 1


_METHODS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    method = _METHODS[orientation]
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Grey values of more than 8 bits, black to white over the range that their kind has; not finite: black."""
    values = np.asarray(image, dtype=np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    white = _white(image, float(values.max(initial=0.0)))
    return Image.fromarray((values.clip(0, white) * np.float32(255.0 / white) + 0.5).astype(np.uint8)).convert("RGB")


def _white(image: Image.Image, brightest: float) -> float:
    """The value that is white: of 16 bits their greatest; of floating point 1, or 255 or 65535 where values go so far;
    of others, for which there is no rule, the brightest.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return 65535.0
    if image.mode == "F":
        # a little above is an overshoot of the processing before, not another scale
        return next((scale for scale in (1.0, 255.0, 65535.0) if brightest <= 1.5 * scale), brightest)
    return max(brightest, 1.0)
