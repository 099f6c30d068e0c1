"""Views of vision encoders are named for what they are, and equal what each architecture's own code computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers as t
from timm.models._hub import save_for_hf

from features import CARDS, FeatureError, load
from tests.features.tiny import SMALL, photos, spread

V = {"image_size": 32, "patch_size": 8, **SMALL}
TEXT = {"vocab_size": 12, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, **SMALL}
WINDOWS = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1]}


def square(side: int = 32) -> Any:
    return t.ViTImageProcessor(size={"height": side, "width": side})


def save(folder: Path, model: Any, processor: Any) -> str:
    spread(model, 0.2).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def vectors(encoder: Any) -> dict[str, np.ndarray]:
    return encoder.encode_images(np.stack([encoder.prepare(photo) for photo in photos()]))


# the model, the part that reads photos, tokens in front of and behind the patches, views, the default one
KINDS: dict[str, tuple[Callable[[], Any], str, int, int, tuple[str, ...], str]] = {
    "vit": (lambda: t.ViTModel(t.ViTConfig(**V)), "", 1, 0, ("cls", "mean"), "cls"),
    "dinov2": (lambda: t.Dinov2Model(t.Dinov2Config(**V)), "", 1, 0, ("cls", "mean"), "cls"),
    "dinov2 with registers": (
        lambda: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(num_register_tokens=3, **V)),
        "",
        4,
        0,
        ("cls", "mean"),
        "cls",
    ),
    "deit": (lambda: t.DeiTModel(t.DeiTConfig(**V)), "", 2, 0, ("cls", "mean"), "cls"),
    "yolos": (
        lambda: t.YolosModel(t.YolosConfig(**{**V, "image_size": [32, 32]}, num_detection_tokens=5)),
        "",
        1,
        5,
        ("cls", "mean"),
        "cls",
    ),
    "beit": (lambda: t.BeitModel(t.BeitConfig(**V)), "", 1, 0, ("cls", "mean", "pooler"), "pooler"),
    "ijepa": (lambda: t.IJepaModel(t.IJepaConfig(**V)), "", 0, 0, ("mean",), "mean"),
    "siglip": (lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**V)), "", 0, 0, ("mean", "pooler"), "pooler"),
    "aimv2": (lambda: t.Aimv2VisionModel(t.Aimv2VisionConfig(**V)), "", 0, 0, ("mean", "pooler"), "pooler"),
    "swin": (lambda: t.SwinModel(t.SwinConfig(**WINDOWS)), "", 0, 0, ("mean", "pooler"), "pooler"),
    "swinv2": (lambda: t.Swinv2Model(t.Swinv2Config(**WINDOWS)), "", 0, 0, ("mean", "pooler"), "pooler"),
    "convnext": (
        lambda: t.ConvNextModel(t.ConvNextConfig(num_stages=2, **STAGES)),
        "",
        0,
        0,
        ("mean", "pooler"),
        "pooler",
    ),
    "resnet": (
        lambda: t.ResNetModel(t.ResNetConfig(embedding_size=16, **STAGES)),
        "",
        0,
        0,
        ("mean", "pooler"),
        "pooler",
    ),
    "poolformer": (
        lambda: t.PoolFormerModel(t.PoolFormerConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])),
        "",
        0,
        0,
        ("mean",),
        "mean",
    ),
    "whole siglip": (
        lambda: t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=V)),
        "vision_model",
        0,
        0,
        ("mean", "pooler"),
        "pooler",
    ),
    "whole clip": (
        lambda: t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config=V)),
        "vision_model",
        1,
        0,
        ("cls", "mean", "pooler"),
        "pooler",
    ),
    "whole blip": (
        lambda: t.BlipModel(t.BlipConfig(text_config=TEXT, vision_config=V)),
        "vision_model",
        1,
        0,
        ("cls", "mean", "pooler"),
        "pooler",
    ),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_views_are_those_of_the_architecture(kind: str, tmp_path: Path) -> None:
    make, part, leading, trailing, names, default = KINDS[kind]
    model, processor = make(), square()
    folder = save(tmp_path, model, processor)
    encoder = load(CARDS["dinov2"], pretrained=folder)
    assert set(encoder.views) == {f"image/{name}" for name in names}
    assert {**CARDS["dinov2"].default_views, **encoder.default_views} == {"image": f"image/{default}"}
    found = vectors(encoder)
    tower = getattr(model, part) if part else model
    for row, photo in enumerate(photos()):
        with torch.no_grad():
            said = tower(pixel_values=processor(images=photo, return_tensors="pt")["pixel_values"])
        hidden = said.last_hidden_state[0]
        if hidden.ndim == 3:
            hidden = hidden.flatten(1).T
        wanted = {"mean": hidden[leading : len(hidden) - trailing].mean(dim=0), "cls": hidden[0]}
        if "pooler" in names:
            wanted["pooler"] = said.pooler_output[0].flatten()
        for name in names:
            np.testing.assert_allclose(found[f"image/{name}"][row], wanted[name].numpy(), atol=2e-4, rtol=1e-4)


def test_a_masked_autoencoder_sees_every_patch(tmp_path: Path) -> None:
    model = t.ViTMAEModel(t.ViTMAEConfig(**V))
    folder = save(tmp_path, model, square())
    encoder = load(CARDS["dinov2"], pretrained=folder, options={"tokens": True})
    found = vectors(encoder)
    assert encoder.views["image/tokens"] == (16, 32)
    model.config.mask_ratio = 0.0
    for row, photo in enumerate(photos()):
        with torch.no_grad():
            pixels = square()(images=photo, return_tensors="pt")["pixel_values"]
            hidden = model(pixel_values=pixels, noise=torch.arange(16.0)[None]).last_hidden_state[0]
        np.testing.assert_allclose(found["image/cls"][row], hidden[0].numpy(), atol=1e-4)
        np.testing.assert_allclose(found["image/tokens"][row], hidden[1:].numpy(), atol=1e-4)


@pytest.mark.parametrize("whole", [False, True])
def test_siglip2_reads_photos_in_their_proportions(whole: bool, tmp_path: Path) -> None:
    vision = {"patch_size": 8, "num_patches": 16, **SMALL}
    model = (
        t.Siglip2Model(t.Siglip2Config(text_config=TEXT, vision_config=vision))
        if whole
        else t.Siglip2VisionModel(t.Siglip2VisionConfig(**vision))
    )
    processor = t.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    encoder = load(CARDS["dinov2"], pretrained=save(tmp_path, model, processor))
    assert encoder.default_views == {"image": "image/pooler"}
    found = vectors(encoder)
    tower = model.vision_model if whole else model
    for row, photo in enumerate(photos()):
        given = processor(images=photo, return_tensors="pt")
        with torch.no_grad():
            said = tower(**given)
        seen = given["pixel_attention_mask"][0].bool()
        np.testing.assert_allclose(found["image/pooler"][row], said.pooler_output[0].numpy(), atol=1e-4)
        mean = said.last_hidden_state[0][seen].mean(dim=0)
        np.testing.assert_allclose(found["image/mean"][row], mean.numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["detr", "vit"])
def test_photos_of_other_shapes_run_with_their_like(kind: str, tmp_path: Path) -> None:
    """No patch is padding, so that nothing depends on the company."""
    size = {"shortest_edge": 64, "longest_edge": 96}
    processor = t.DetrImageProcessor(size=size, do_pad=False)
    sizes = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = (
        t.DetrModel(t.DetrConfig(d_model=32, encoder_layers=1, decoder_layers=1, num_queries=4, **sizes))
        if kind == "detr"
        else t.ResNetModel(t.ResNetConfig(embedding_size=16, **STAGES))
    )
    encoder = load(CARDS["dinov2"], pretrained=save(tmp_path, model, processor))
    batch = np.stack([encoder.prepare(photo) for photo in photos()])
    together = encoder.encode_images(batch)
    for row, photo in enumerate(photos()):
        alone = encoder.encode_images(batch[row : row + 1])
        with torch.no_grad():
            said = model(pixel_values=processor(images=photo, return_tensors="pt")["pixel_values"])
        hidden = said.encoder_last_hidden_state[0] if kind == "detr" else said.last_hidden_state[0].flatten(1).T
        for found in (together["image/mean"][row], alone["image/mean"][0]):
            np.testing.assert_allclose(found, hidden.mean(dim=0).numpy(), atol=2e-4, rtol=1e-3)


def test_photos_of_another_size_than_the_model_are_one_sentence(tmp_path: Path) -> None:
    folder = save(tmp_path, t.ViTModel(t.ViTConfig(**{**V, "image_size": 64})), square(32))
    with pytest.raises(FeatureError, match="cannot be used with these weights"):
        load(CARDS["dinov2"], pretrained=folder)


def test_timm_models_without_one_feature_map_keep_their_penultimate_vector(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("coat_tiny", pretrained=False).eval()
    save_for_hf(model, tmp_path)
    encoder = load(CARDS["timm"], pretrained=str(tmp_path))
    assert set(encoder.views) == {"image/penultimate"}
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.no_grad():
        features = model.forward_features(transform(photos(1)[0])[None])
        wanted = model.forward_head(features, pre_logits=True)
    found = encoder.encode_images(encoder.prepare(photos(1)[0])[None])["image/penultimate"]
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    with pytest.raises(FeatureError, match="no token view"):
        load(CARDS["timm"], pretrained=str(tmp_path), options={"tokens": True})


def test_timm_models_of_grey_photos_are_one_sentence(tmp_path: Path) -> None:
    save_for_hf(timm.create_model("test_resnet", pretrained=False, in_chans=1), tmp_path)
    with pytest.raises(FeatureError, match="channels"):
        load(CARDS["timm"], pretrained=str(tmp_path))


@pytest.mark.parametrize("damage", ["lost", "renamed", "reshaped"])
def test_timm_weights_that_do_not_fit_are_refused(damage: str, tmp_path: Path) -> None:
    """Without its classifier timm itself reads them leniently."""
    from safetensors.torch import load_file, save_file

    save_for_hf(timm.create_model("test_resnet", pretrained=False), tmp_path, safe_serialization=True)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    name = next(name for name in state if name.startswith("layer1") and name.endswith("conv1.weight"))
    tensor = state.pop(name)
    if damage == "renamed":
        state[f"net.{name}"] = tensor
    if damage == "reshaped":
        state[name] = tensor[:, :1].contiguous()
    save_file(state, file)
    with pytest.raises(FeatureError, match=name if damage != "reshaped" else "could not be loaded"):
        load(CARDS["timm"], pretrained=str(tmp_path))
