"""Photos: what can be decoded is, first frame and all; what cannot becomes a reason, never a crash."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

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


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_is_turned_as_viewers_turn_it(orientation: int, kind: str) -> None:
    tag = Image.Exif()
    tag[0x0112] = orientation
    quality = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(gradient(), kind, exif=tag, **quality)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert shown.size == ((40, 30) if orientation < 5 else (30, 40))
    assert np.array_equal(pixels(decode(data)), pixels(shown))


def test_a_turned_photo_is_decoded_small_enough_for_its_own_sides() -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    data = encoded(gradient(size=(800, 400)), "JPEG", exif=tag)
    asked = []
    decoded = decode(data, lambda size: asked.append(size) or (100, 200))
    assert asked == [(400, 800)]
    assert decoded.size == (100, 200)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("notes", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", bytes(50)])
def test_notes_that_cannot_be_read_cost_nothing(notes: bytes) -> None:
    plain = encoded(gradient(), "JPEG")
    assert np.array_equal(pixels(decode(encoded(gradient(), "JPEG", exif=notes))), pixels(decode(plain)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB", "L"])
def test_what_is_transparent_is_white(mode: str) -> None:
    layer = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    layer.paste((0, 0, 0, 255), (0, 0, 10, 10))
    if mode in ("RGBA", "LA", "PA"):
        data = encoded(layer.convert(mode), "TIFF" if mode == "PA" else "PNG")
    else:
        # black ink on a background whose colour is declared transparent
        flat = Image.new("RGB", (20, 10), (7, 7, 7))
        flat.paste((0, 0, 0), (0, 0, 10, 10))
        flat = flat.quantize() if mode == "P" else flat.convert(mode)
        colour = flat.getpixel((15, 5))
        data = encoded(flat, "PNG", transparency=colour)
    shown = pixels(decode(data))
    assert shown[5, 5].tolist() == [0, 0, 0]
    assert shown[5, 15].tolist() == [255, 255, 255]


def test_half_transparent_is_laid_on_white() -> None:
    layer = Image.new("RGBA", (4, 4), (200, 0, 0, 128))
    red, green, _ = decode(encoded(layer, "PNG")).getpixel((1, 1))
    assert abs(red - (200 * 128 + 255 * 127) / 255) <= 1
    assert abs(green - 127) <= 1


@pytest.mark.parametrize(("scale", "kind"), [(1.0, np.float32), (255.0, np.float32), (65535.0, np.float32)])
def test_floating_point_greys_span_their_range(scale: float, kind: type) -> None:
    ramp = np.linspace(0, 1, 4096).reshape(64, 64)
    decoded = pixels(decode(encoded(Image.fromarray((ramp * scale).astype(kind)), "TIFF")))[..., 0]
    assert np.abs(decoded - ramp * 255).max() <= 1


def test_values_that_are_not_finite_are_black() -> None:
    odd = np.full((8, 8), 0.5, np.float32)
    odd[0, :3] = np.nan, np.inf, -np.inf
    decoded = pixels(decode(encoded(Image.fromarray(odd), "TIFF")))[..., 0]
    assert decoded[0, :3].tolist() == [0, 0, 0]
    assert abs(decoded[4, 4] - 128) <= 1


def test_one_pixel_does_not_change_how_the_others_are_shown() -> None:
    dim = np.full((16, 16), 200, np.uint16)
    other = dim.copy()
    other[0, 0] = 256
    first, second = (pixels(decode(encoded(Image.fromarray(one), "PNG"))) for one in (dim, other))
    assert np.abs(first - second).max() <= 1
    assert first.max() <= 1  # 200 of 65535 is black


def test_a_png_with_large_notes_is_a_good_photo() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", "history " * 200_000, zip=True)
    notes.add_text("Comment", "x" * 2_000_000, zip=True)
    plain = pixels(decode(encoded(gradient(), "PNG")))
    assert np.array_equal(pixels(decode(encoded(gradient(), "PNG", pnginfo=notes))), plain)
    assert np.array_equal(pixels(decode(encoded(gradient(), "PNG", icc_profile=bytes(1_500_000)))), plain)


def test_what_only_another_program_could_read_is_not_handed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("another program was started")

    monkeypatch.setattr("subprocess.check_call", never)
    monkeypatch.setattr("subprocess.Popen", never)
    data = encoded(gradient(), "EPS")
    with pytest.raises(BadImage, match="image undecodable"):
        decode(data)


def test_bombs_are_refused_before_they_are_decoded() -> None:
    grey = encoded(Image.new("L", (5000, 5000), 9), "JPEG", progressive=True)
    scan = grey[grey.rfind(b"\xff\xda") : -2]
    for bomb in (encoded(Image.new("L", (5000, 4000), 9), "JPEG2000"), grey[:-2] + scan * 100 + grey[-2:]):
        assert len(bomb) < 200_000
        with pytest.raises(BadImage, match="image too large"):
            decode(bomb)
    assert decode(grey).size == (5000, 5000)


def test_avif_and_the_first_frame_of_an_animated_webp() -> None:
    red, green = (Image.new("RGB", (64, 64), colour) for colour in ((255, 0, 0), (0, 255, 0)))
    moving = encoded(red, "WEBP", save_all=True, append_images=[green], lossless=True)
    for data in (moving, encoded(red, "AVIF")):
        assert np.abs(pixels(decode(data))[5, 5] - [255, 0, 0]).max() < 6


def test_heic_is_read_where_its_package_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra heic (pillow-heif) is not installed")
    heif.register_heif_opener()
    assert (
        np.abs(pixels(decode(encoded(Image.new("RGB", (64, 64), (255, 0, 0)), "HEIF")))[5, 5] - [255, 0, 0]).max() < 6
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 40)])
def test_tiny_photos(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("L", size, 77), "PNG")).size == size
