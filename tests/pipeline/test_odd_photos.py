"""Odd photos amid a batch, through a real transform and several passes at once: each costs its own row and no other."""

from __future__ import annotations

import io
import os
import socket
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache import FeatureFile, Status
from features import CARDS, load
from features.images import decode
from pipeline.extraction.extract import Options, extract
from tests.features.tiny import SMALL, seeded
from tests.pipeline.support import make_posts


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(width)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def announcing(data: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.fixture
def tiny_vit(tmp_path: Path) -> Path:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    seeded()
    ViTModel(ViTConfig(image_size=32, patch_size=8, **SMALL)).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def test_every_odd_photo_costs_its_own_row_only(
    tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel

    monkeypatch.setattr("pipeline.extraction.lanes.lanes", lambda device: (2, 1))
    folder = tmp_path / "data" / "images"
    posts = make_posts(tmp_path / "data", count=10, photos=1)
    plain = jpeg(Image.fromarray(noise(60, 40)))
    gif = io.BytesIO()
    frames = [Image.fromarray(noise(50 + i, 40)).resize((50, 40)).quantize() for i in range(3)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    deep = io.BytesIO()
    Image.fromarray(noise(70, 50, 2).view(np.uint16)[..., 0]).save(deep, "PNG")
    files = {
        "plain.jpg": plain,
        "huge.jpg": announcing(plain, 20_000, 20_000),
        "cmyk.jpg": jpeg(Image.fromarray(noise(60, 44, 4), "CMYK")),
        "deep.png": deep.getvalue(),
        "animated.gif": gif.getvalue(),
        "corrupt.jpg": plain[: len(plain) // 2],
        "empty.jpg": b"",
        "sliver.jpg": jpeg(Image.fromarray(noise(3, 400))),
        "grey.jpg": jpeg(Image.fromarray(noise(60, 44)).convert("L")),
        "large.jpg": jpeg(Image.fromarray(noise(40, 30)).resize((1600, 1200))),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    posts = replace(posts, images=[f"images/{name}" for name in files])
    encoder = load(CARDS["dinov2"], pretrained=str(tiny_vit))
    result = extract(posts, CARDS["dinov2"], encoder, tmp_path / "cache", Options(batch_size=3), "")
    assert result.bad == {"image too large": 2, "image undecodable": 2}
    bad = dict(result.bad_posts)
    names = dict(zip(posts.ids, files, strict=True))
    assert {names[post] for post in bad} == {"huge.jpg", "sliver.jpg", "corrupt.jpg", "empty.jpg"}
    with FeatureFile.open(result.file) as file:
        found = file.take("image/cls", file.rows_of(posts.ids))
    model, processor = AutoModel.from_pretrained(tiny_vit).eval(), AutoImageProcessor.from_pretrained(tiny_vit)
    for row, (name, data) in enumerate(files.items()):
        if posts.ids[row] in bad:
            assert np.isnan(found[row]).all()
            continue
        photo = decode(data, encoder.decode_size)
        assert photo.size == ((200, 150) if name == "large.jpg" else decode(data).size)
        with torch.no_grad():
            expected = model(**processor(images=photo, return_tensors="pt")).last_hidden_state[0, 0].numpy()
        np.testing.assert_allclose(found[row], expected, atol=1e-5, err_msg=name)


def test_what_is_not_an_ordinary_file_is_never_waited_for(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=5, photos=1)
    folder = tmp_path / "data" / "images"
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / "socket.jpg"))
        images = ["images/0.png", *(f"images/{name}.jpg" for name in ("pipe", "folder", "loop", "socket"))]
        posts = replace(posts, images=images, texts=[""] * 5)
        result = extract(
            posts, CARDS["classic"], load(CARDS["classic"]), tmp_path / "cache", Options(), "crisis extract"
        )
    with FeatureFile.open(result.file) as file:
        reasons = [Status(int(code)).reason for code in file.status_of("image")]
    assert reasons == ["ok", "image undecodable", "image missing", "image undecodable", "image undecodable"]
