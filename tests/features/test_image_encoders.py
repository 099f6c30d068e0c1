"""Pooled, penultimate and token views of image encoders equal what the library computes by its own means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import CARDS, FeatureError, load
from tests.features.tiny import TEXTS, photos, save_clip, seeded


def both_ways(encoder: Any) -> dict[str, np.ndarray]:
    """Views of the photos one by one, checked against a batch of all of them and the declared shapes."""
    prepared = [encoder.prepare(photo) for photo in photos()]
    alone = [encoder.encode_images(one[None]) for one in prepared]
    together = encoder.encode_images(np.stack(prepared))
    for name, values in together.items():
        assert values.shape[1:] == tuple(encoder.views[name])
        np.testing.assert_allclose(np.concatenate([one[name] for one in alone]), values, atol=1e-4)
    assert set(together) == set(encoder.views) - {n for n in encoder.views if n.startswith("text/")}
    return together


def timm_folder(folder: Path, name: str, **options: Any) -> Path:
    import timm

    seeded()
    model = timm.create_model(name, pretrained=False, **options)
    timm.models.save_for_hf(model, folder, safe_serialization=True, model_args=options)
    return folder


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {"img_size": 64, "depth": 2}),
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "embed_dim": 24, "num_heads": (1, 1, 2, 2)}),
        ("densenet121", {"block_config": (1, 1, 1, 1)}),
    ],
)
def test_timm_views_are_the_librarys_own(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    import timm
    import torch

    folder = timm_folder(tmp_path, name, **options)
    encoder = load(CARDS["timm"], pretrained=str(folder), options={"tokens": True})
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    found = both_ways(encoder)
    with torch.no_grad():
        pixels = encoder.pixels(np.stack([encoder.prepare(photo) for photo in photos()]))
        answer = model.get_classifier()(torch.from_numpy(found["image/penultimate"]))
        np.testing.assert_allclose(answer.numpy(), model(pixels).numpy(), atol=1e-5)
        features = model.forward_features(pixels).numpy()
    if name.startswith("vit"):
        features = features[:, 1:]
    elif not name.startswith("swin"):
        features = features.transpose(0, 2, 3, 1)
    flat = features.reshape(len(features), -1, features.shape[-1])
    np.testing.assert_allclose(found["image/tokens"], flat, atol=1e-5)
    np.testing.assert_allclose(found["image/pooled"], flat.mean(axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "width", "pooled"),
    [("densenet121", 1024, 1024), ("densenet201", 1920, 1920), ("vgg16", 4096, 512), ("resnet152", 2048, 2048)],
)
def test_the_four_networks_of_the_sources_load_whole(name: str, width: int, pooled: int, tmp_path: Path) -> None:
    import timm
    import torch

    seeded()
    # the inner layer of VGG's classifier is the one part that is made smaller: alone it is 400 MB
    options = {"mlp_ratio": 1 / 64} if name == "vgg16" else {}
    model = timm.create_model(name, pretrained=False, num_classes=2, **options)
    # random weights shrink from layer to layer; batches of noise set what the norms divide by
    model.train()(torch.randn(2, 3, 64, 64))
    model.pretrained_cfg |= {"input_size": (3, 64, 64), "crop_pct": 1.0}
    timm.models.save_for_hf(model.half(), tmp_path, safe_serialization=True, model_args=options)
    encoder = load(CARDS["timm"], pretrained=str(tmp_path), options={"tokens": True})
    assert encoder.views == {"image/penultimate": (width,), "image/pooled": (pooled,), "image/tokens": (4, pooled)}
    library = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    batch = np.stack([encoder.prepare(photo) for photo in photos(3)])
    together, alone = encoder.encode_images(batch), encoder.encode_images(batch[1:2])
    with torch.no_grad():
        features = library.forward_features(encoder.pixels(batch))
        penultimate = library.forward_head(features, pre_logits=True)
    np.testing.assert_allclose(together["image/tokens"], features.flatten(2).mT.numpy(), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(together["image/pooled"], features.mean((2, 3)).numpy(), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(together["image/penultimate"], penultimate.numpy(), atol=1e-5, rtol=1e-5)
    for view, values in alone.items():
        np.testing.assert_allclose(values[0], together[view][1], atol=1e-4)
        assert np.abs(together[view][0] - together[view][1]).max() > 1e-6


def test_clip_pooled_vectors_are_those_the_projection_reads(tmp_path: Path) -> None:
    import open_clip
    import torch

    folder = save_clip(tmp_path)
    encoder = load(CARDS["clip"], pretrained=str(folder), options={"tokens": True})
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    images, texts = both_ways(encoder), encoder.encode_texts(TEXTS)

    def unit(array: np.ndarray) -> np.ndarray:
        return array / np.linalg.norm(array, axis=1, keepdims=True)

    with torch.no_grad():
        visual, words = model.visual.proj.numpy(), model.text_projection.numpy()
        pixels = encoder.pixels(np.stack([encoder.prepare(photo) for photo in photos()]))
        _, patches = model.visual._pool(model.visual.transformer(model.visual._embeds(pixels)))
    np.testing.assert_allclose(unit(images["image/pooled"] @ visual), images["image/projected"], atol=1e-5)
    np.testing.assert_allclose(unit(texts["text/pooled"] @ words), texts["text/projected"], atol=1e-5)
    np.testing.assert_allclose(images["image/tokens"], patches.numpy(), atol=1e-5)
    ends = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS).argmax(dim=1).tolist()
    for row, end in enumerate(ends):
        np.testing.assert_allclose(texts["text/tokens"][row, end], texts["text/pooled"][row], atol=1e-6)
        assert texts["text/mask"][row].tolist() == [1.0] * (end + 1) + [0.0] * (76 - end)
        assert not texts["text/tokens"][row, end + 1 :].any()
    for row, text in enumerate(TEXTS):
        for name, values in encoder.encode_texts([text]).items():
            np.testing.assert_allclose(values[0], texts[name][row], atol=1e-4)


def test_clip_answers_several_threads_at_once_as_it_answers_one(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    encoder: Any = load(CARDS["clip"], pretrained=str(save_clip(tmp_path)), options={"tokens": True})
    batches = [np.stack([encoder.prepare(photo)] * 3) for photo in photos()] * 4
    alone = [encoder.encode_images(batch) | encoder.encode_texts(TEXTS[:2]) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda batch: encoder.encode_images(batch) | encoder.encode_texts(TEXTS[:2]), batches))
    for one, other in zip(alone, at_once, strict=True):
        assert set(one) == set(other)
        for name, values in one.items():
            np.testing.assert_allclose(other[name], values, atol=1e-5)


def test_clip_reads_two_segments_as_one_text(tmp_path: Path) -> None:
    encoder = load(CARDS["clip"], pretrained=str(save_clip(tmp_path)))
    pair, text = encoder.encode_texts([("flood", "a photo")]), encoder.encode_texts(["flood a photo"])
    np.testing.assert_array_equal(pair["text/projected"], text["text/projected"])


def test_dinov2_tokens_are_the_patches_behind_the_mean(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, BitImageProcessor, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    seeded()
    config = Dinov2WithRegistersConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14, num_register_tokens=3
    )
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(tmp_path)
    encoder = load(CARDS["dinov2"], pretrained=str(tmp_path), options={"tokens": True})
    found = both_ways(encoder)
    with torch.no_grad():
        pixels = encoder.pixels(np.stack([encoder.prepare(photo) for photo in photos()]))
        hidden = AutoModel.from_pretrained(tmp_path).eval()(pixel_values=pixels).last_hidden_state.numpy()
    assert hidden.shape[1] == 1 + 3 + 4
    np.testing.assert_allclose(found["image/cls"], hidden[:, 0], atol=1e-5)
    np.testing.assert_allclose(found["image/tokens"], hidden[:, 4:], atol=1e-5)
    np.testing.assert_allclose(found["image/mean"], hidden[:, 4:].mean(axis=1), atol=1e-5)


def test_option_that_a_family_does_not_have_is_one_sentence() -> None:
    with pytest.raises(FeatureError, match="'classic' has no option 'tokens'; it has none"):
        load(CARDS["classic"], options={"tokens": True})
