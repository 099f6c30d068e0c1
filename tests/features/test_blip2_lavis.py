"""BLIP2 through salesforce-lavis: its own feature extractor on a tiny random model; skipped where lavis is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import CARDS, FeatureError, load
from features.encoders.blip2_lavis import LavisEncoder
from tests.features.tiny import photos

pytest.importorskip("lavis", reason="salesforce-lavis lives in an environment of its own")


def tiny(folder: Path) -> Any:
    """lavis's own Blip2Qformer, its parts put together by hand: its constructor can only download."""
    import torch
    from lavis.models.blip2_models.blip2_qformer import Blip2Qformer
    from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel
    from lavis.models.eva_vit import VisionTransformer
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "flood", "help", "water", "in", "the", "city"]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    config.encoder_width, config.add_cross_attention, config.cross_attention_freq, config.query_length = 32, True, 1, 4
    model = Blip2Qformer.__new__(Blip2Qformer)
    torch.nn.Module.__init__(model)
    model.visual_encoder = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, use_mean_pooling=False
    )
    model.ln_vision = torch.nn.LayerNorm(32)
    model.Qformer = BertLMHeadModel(config)
    model.query_tokens = torch.nn.Parameter(torch.randn(1, 4, 32))
    model.vision_proj, model.text_proj = torch.nn.Linear(32, 8), torch.nn.Linear(32, 8)
    model.tokenizer = BertTokenizer(folder / "vocab.txt")
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def test_views_are_lavis_own_features_whatever_the_company(tmp_path: Path) -> None:
    import torch
    from lavis.processors.blip_processors import BlipCaptionProcessor, BlipImageEvalProcessor

    model, images, texts = tiny(tmp_path), BlipImageEvalProcessor(image_size=32), BlipCaptionProcessor()
    encoder = LavisEncoder(model, images, texts, {}, "cpu")
    said = ["Flood in the city", "help", "water water water help", "the CITY!", "unknown words"]
    batch = np.stack([encoder.prepare(photo) for photo in photos()])
    together = {**encoder.encode_images(batch), **encoder.encode_texts(said), **encoder.encode_pairs(batch, said)}
    assert {name: values.shape[1:] for name, values in together.items()} == encoder.views
    for row, (photo, text) in enumerate(zip(photos(), said, strict=True)):
        samples = {"image": images(photo)[None], "text_input": [texts(text)]}
        with torch.no_grad():
            image, word = (model.extract_features(samples, mode=mode) for mode in ("image", "text"))
            joint = model.extract_features(samples, mode="multimodal")
        expected = {
            "image/qformer": image.image_embeds.mean(1),
            "image/projected": image.image_embeds_proj.mean(1),
            "text/cls": word.text_embeds[:, 0],
            "text/projected": word.text_embeds_proj[:, 0],
            "joint/qformer": joint.multimodal_embeds.mean(1),
        }
        for name, vector in expected.items():
            np.testing.assert_allclose(together[name][row], vector[0].numpy(), atol=1e-4, err_msg=name)


def tiny_loader(folder: Path, asked: list[tuple[str, str]], **_: Any) -> Any:
    from lavis.processors.blip_processors import BlipCaptionProcessor, BlipImageEvalProcessor

    def load_tiny(name: str, model_type: str, is_eval: bool, device: str) -> Any:
        asked.append((name, model_type))
        return tiny(folder), {"eval": BlipImageEvalProcessor(image_size=32)}, {"eval": BlipCaptionProcessor()}

    return load_tiny


@pytest.mark.parametrize("kind", ["pretrain", "pretrain_vitL", "coco"])
def test_every_model_type_of_lavis_can_be_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr("lavis.models.load_model_and_preprocess", tiny_loader(tmp_path, asked))
    encoder = load(CARDS["blip2_lavis"], pretrained=kind)
    assert asked == [("blip2_feature_extractor", kind)]
    assert set(encoder.views) == set(CARDS["blip2_lavis"].views)
    assert encoder.identity["weights"]["id"] == f"blip2_feature_extractor/{kind}"
    with pytest.raises(FeatureError, match="choose pretrain, pretrain_vitL, coco"):
        load(CARDS["blip2_lavis"], pretrained="pretrain_opt2.7b")
    with pytest.raises(FeatureError, match="no revisions"):
        load(CARDS["blip2_lavis"], revision="abc")


def test_precision_is_that_of_the_vision_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lavis.models.load_model_and_preprocess", tiny_loader(tmp_path, []))
    found = {}
    for precision in ("fp32", "bf16"):
        encoder = load(CARDS["blip2_lavis"], precision=precision)
        batch = np.stack([encoder.prepare(photo) for photo in photos()])
        found[precision] = {**encoder.encode_images(batch), **encoder.encode_texts(["Flood", "help"])}
    full, half = found["fp32"], found["bf16"]
    np.testing.assert_array_equal(full["text/cls"], half["text/cls"])
    one, other = full["image/qformer"], half["image/qformer"]
    assert not np.array_equal(one, other)
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.99


def test_base_does_not_need_what_lavis_forbids() -> None:
    import transformers

    import features

    assert transformers.__version__.startswith("4.2")
    assert features.CARDS["blip2_lavis"].extra == "lavis"
    assert sys.modules.get("open_clip") is None
