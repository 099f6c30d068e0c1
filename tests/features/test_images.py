"""Photos: what can be decoded is, first frame and all; what cannot becomes a reason, never a crash."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from features import images
from features.images import BadImage, decode


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    ramp = np.linspace(0, 255, size[0] * size[1], dtype=np.uint8).reshape(size[1], size[0])
    return Image.fromarray(np.stack([ramp, ramp[::-1], 255 - ramp], axis=2)).convert(mode)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = gradient(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert decode(data).mode == "RGB"
    assert decode(data).size == image.size


def test_sixteen_bit_grey_keeps_its_shades() -> None:
    shades = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    decoded = np.asarray(decode(encoded(Image.fromarray(shades), "PNG")))[..., 0]
    assert np.abs(decoded.astype(float) - shades / 257.0).max() <= 1.0


def test_animated_gif_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode(buffer.getvalue()).getpixel((3, 3)) == (255, 0, 0)


def test_truncated_empty_and_text_files_are_undecodable() -> None:
    jpeg = encoded(gradient(), "JPEG")
    for data in (jpeg[: len(jpeg) // 2], b"", b"<html>not found</html>", jpeg[:10]):
        with pytest.raises(BadImage, match="image undecodable"):
            decode(data)


def test_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000

    def never(self: Image.Image, *_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", never)
    with pytest.raises(BadImage, match="image too large"):
        decode(bomb)
    assert images.MAX_PIXELS < 20_000 * 20_000


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_anything_but_bad_image(data: st.DataObject) -> None:
    whole = bytearray(encoded(gradient(), data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(whole)).mode == "RGB"
    except BadImage as bad:
        assert bad.reason in ("image undecodable", "image too large")


def test_sliver_that_would_be_scaled_to_gigabytes_is_too_large() -> None:
    with pytest.raises(BadImage, match="image too large"):
        decode(encoded(Image.new("L", (3, 4000)), "PNG"))
