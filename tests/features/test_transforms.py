"""Photos become the pixels that each library's own transform makes; what is not known is left to the library."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from features import CARDS, fingerprint, load
from features.device import layout, place
from features.encoders.transforms import LibraryTransform, Transform, of_processor, of_torchvision
from features.images import decode
from tests.features.tiny import photos, save_clip, seeded


def of_noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def normalised(transform: Transform, photo: Image.Image) -> np.ndarray:
    import torch

    return transform.tensor(transform.prepare(photo)[None], torch.nn.Linear(1, 1))[0].numpy()


def processors() -> dict[str, Any]:
    import transformers as t

    return {
        "bit": t.BitImageProcessor(
            size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}, resample=3, do_center_crop=True
        ),
        "clip": t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        "vit": t.ViTImageProcessor(size={"height": 32, "width": 48}),
    }


@pytest.mark.parametrize("name", ["bit", "clip", "vit"])
@settings(max_examples=12, deadline=None)
@given(width=st.integers(8, 300), height=st.integers(8, 300), seed=st.integers(0, 9))
def test_transformers_pixels_are_its_processors_to_the_last_level(
    name: str, width: int, height: int, seed: int
) -> None:
    processor = processors()[name]
    transform = of_processor(processor, "5")
    assert isinstance(transform, Transform)
    photo = of_noise(width, height, seed)
    expected = processor(images=photo, return_tensors="pt")["pixel_values"][0].numpy()
    # one 8-bit level is 0.013 or more after normalisation
    np.testing.assert_allclose(normalised(transform, photo), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["densenet121", "vit_tiny_patch16_224", "resnet10t"])
def test_timm_pixels_are_its_transforms_to_the_last_level(name: str) -> None:
    import timm.data

    config = timm.data.resolve_data_config(model=timm.create_model(name, pretrained=False))
    library = timm.data.create_transform(**config, is_training=False)
    transform = of_torchvision(library, {})
    assert isinstance(transform, Transform)
    for photo in (*photos(), of_noise(301, 77), of_noise(224, 224), of_noise(256, 431)):
        np.testing.assert_allclose(normalised(transform, photo), library(photo).numpy(), atol=1e-5)


def test_real_photos_give_dinov2_and_clip_their_own_pixels(shared: Path, tmp_path: Path) -> None:
    import open_clip
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(shared / "models/dinov2-small")
    dino = of_processor(processor, "5")
    _, library = open_clip.create_model_from_pretrained(f"local-dir:{save_clip(tmp_path)}")
    clip = of_torchvision(library, "")
    assert isinstance(dino, Transform)
    assert isinstance(clip, Transform)
    files = sorted((shared / "data/verification_corpus/images").iterdir())[::20]
    for photo in (decode(file.read_bytes()) for file in files):
        expected = processor(images=photo, return_tensors="pt")["pixel_values"][0].numpy()
        np.testing.assert_allclose(normalised(dino, photo), expected, atol=1e-5)
        np.testing.assert_allclose(normalised(clip, photo), library(photo).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
        {"size": {"shortest_edge": 24}},
        {"do_center_crop": False},
        {"do_pad": True, "pad_size": {"height": 64, "width": 64}},
        {"resample": 1},
    ],
)
def test_settings_that_we_do_not_know_are_left_to_the_library(change: dict[str, Any]) -> None:
    import transformers as t

    known: dict[str, Any] = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    processor = t.BitImageProcessor(**known, do_center_crop=True)
    for name, value in change.items():
        setattr(processor, name, value)
    found = of_processor(processor, "5")
    if isinstance(found, LibraryTransform):
        assert found.identity == {"library": "transformers 5 BitImageProcessor"}
        return
    photo = of_noise(90, 70)
    expected = processor(images=photo, return_tensors="pt")["pixel_values"][0].numpy()
    np.testing.assert_allclose(normalised(found, photo), expected, atol=1e-5)


def test_transform_that_does_otherwise_than_its_settings_say_is_left_to_the_library() -> None:
    import torch
    from torchvision import transforms as T

    class CenterCrop(torch.nn.Module):
        """Has the settings of the middle and cuts the corner."""

        size = (32, 32)

        def forward(self, photo: Image.Image) -> Image.Image:
            return photo.crop((0, 0, 32, 32))

    library = T.Compose([T.Resize(40), CenterCrop(), T.ToTensor()])
    found = of_torchvision(library, "corner")
    assert found.identity == {"library": "corner"}
    photo = of_noise(70, 50)
    np.testing.assert_array_equal(found.prepare(photo), library(photo).numpy())
    assert found.decode_size((4000, 3000)) is None


def test_fingerprint_follows_the_transform(tmp_path: Path) -> None:
    encoder: Any = load(CARDS["clip"], pretrained=str(save_clip(tmp_path)))
    marks = set()
    for change in ({}, {"draft": 0}, {"method": "bilinear"}, {"crop": (30, 30)}, {"mean": (0.5, 0.5, 0.5)}):
        encoder.identity["transform"] = dict(replace(encoder._pixels, **change).identity)
        marks.add(fingerprint(CARDS["clip"], encoder, precision="fp32", cleaner="raw").digest)
    assert len(marks) == 5


def large_jpeg(photo: Image.Image, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    photo.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((1600, 1200), (200, 150)),
        ((1604, 1200), (401, 300)),
        ((1602, 1200), (801, 600)),
        ((1601, 1200), (1601, 1200)),
        ((254, 254), (254, 254)),
        ((256, 256), (128, 128)),
        ((4000, 256), (2000, 128)),
    ],
)
def test_jpeg_is_decoded_small_but_never_below_twice_the_size_it_is_scaled_to(
    size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    transform = Transform((64,), (56, 56), "bicubic", "torch", (0.5,) * 3, (0.5,) * 3)
    data = large_jpeg(of_noise(50, 40), size)
    assert decode(data, transform.decode_size).size == decoded
    assert decode(data).size == decode(data, lambda whole: None).size == size
    assert transform.resized(decoded) == transform.resized(size)


def test_real_photos_decoded_small_keep_their_dinov2_vectors(shared: Path) -> None:
    """The photos are about 600 x 450, so their proportion to a model of 112 x 112 is that of large ones to 224."""
    encoder: Any = load(CARDS["dinov2"], pretrained=str(shared / "models/dinov2-small"))
    transform = Transform((112,), (112, 112), "bicubic", "torch", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    files = sorted((shared / "data/verification_corpus/images").glob("*.jpg"))[::6]
    pairs = [(decode(f.read_bytes()), decode(f.read_bytes(), transform.decode_size)) for f in files]
    pairs = [(whole, small) for whole, small in pairs if small.size != whole.size]
    assert len(pairs) >= 10
    vectors = []
    for photos_of in zip(*pairs, strict=True):
        batch = transform.tensor(np.stack([transform.prepare(photo) for photo in photos_of]), encoder._model)
        found = encoder._model(pixel_values=batch).last_hidden_state[:, 0].detach().numpy()
        vectors.append(found / np.linalg.norm(found, axis=1, keepdims=True))
    assert (vectors[0] * vectors[1]).sum(axis=1).min() >= 0.999


@pytest.mark.parametrize("name", ["densenet121", "resnet10t", "vgg11"])
def test_pixels_laid_out_channel_by_channel_give_equal_vectors(name: str) -> None:
    import timm
    import torch

    seeded()
    options: dict[str, Any] = {"densenet121": {"block_config": (1, 1, 1, 1)}, "vgg11": {"mlp_ratio": 1 / 64}}
    model = timm.create_model(name, pretrained=False, num_classes=0, **options.get(name, {})).eval()
    pixels = torch.rand(2, 3, 64 if name != "vgg11" else 224, 64 if name != "vgg11" else 224)
    with torch.no_grad():
        plain = model(pixels)
        model = place(model, "cpu")
        assert layout(model) == torch.channels_last
        found = model(pixels.to(memory_format=layout(model)))
    np.testing.assert_allclose(found.numpy(), plain.numpy(), atol=1e-5)


def test_transformer_keeps_its_layout() -> None:
    import torch
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    assert layout(place(ViTModel(config), "cpu")) == torch.contiguous_format
    assert layout(torch.nn.Linear(2, 2)) == torch.contiguous_format
