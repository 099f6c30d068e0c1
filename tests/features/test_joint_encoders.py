"""Encoders of photo and text together equal their library's own forward, whatever the company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import CARDS, FeatureError, load
from tests.features.tiny import SMALL, TEXTS, generative_tokenizer, photos, seeded, spread, wordpiece_tokenizer
from tests.features.tiny_captioners import blip2_config, save_blip, save_blip2


def everything(encoder: Any, rows: slice) -> dict[str, np.ndarray]:
    batch = np.stack([encoder.prepare(photo) for photo in photos()[rows]])
    found: dict[str, np.ndarray] = {}
    if "image" in encoder.modalities:
        found |= encoder.encode_images(batch) | encoder.encode_texts(TEXTS[rows])
    return found | encoder.encode_pairs(batch, TEXTS[rows])


def both_ways(encoder: Any) -> dict[str, np.ndarray]:
    together = everything(encoder, slice(0, 5))
    assert {name: values.shape[1:] for name, values in together.items()} == encoder.views
    for row in range(5):
        for name, values in everything(encoder, slice(row, row + 1)).items():
            np.testing.assert_allclose(values[0], together[name][row], atol=1e-4, err_msg=name)
    return together


def save_vilt(folder: Path) -> None:
    import transformers as t

    tokenizer = wordpiece_tokenizer()
    seeded()
    config = t.ViltConfig(vocab_size=len(tokenizer), image_size=64, patch_size=16, max_position_embeddings=40, **SMALL)
    spread(t.ViltModel(config)).save_pretrained(folder)
    images = t.ViltImageProcessor(size={"shortest_edge": 64}, size_divisor=16)
    t.ViltProcessor(images, tokenizer).save_pretrained(folder)


def test_vilt_equals_the_librarys_forward(tmp_path: Path) -> None:
    import torch
    import transformers as t

    save_vilt(tmp_path)
    encoder = load(CARDS["vilt"], pretrained=str(tmp_path))
    model, processor = t.ViltModel.from_pretrained(tmp_path).eval(), t.ViltProcessor.from_pretrained(tmp_path)
    expected, shapes = [], set()
    for photo, text in zip(photos(), TEXTS, strict=True):
        inputs = processor(photo, text, truncation=True, max_length=40, return_tensors="pt")
        shapes.add(tuple(inputs["pixel_values"].shape[2:]))
        with torch.no_grad():
            expected.append(model(**inputs).pooler_output[0].numpy())
    assert len(shapes) > 1
    np.testing.assert_allclose(both_ways(encoder)["joint/pooled"], np.stack(expected), atol=1e-5)


def test_blip2_with_a_language_model_equals_the_librarys_forward(tmp_path: Path) -> None:
    import torch
    import transformers as t

    encoder = load(CARDS["blip2"], pretrained=str(save_blip2(tmp_path)))
    found = both_ways(encoder)
    model, processor = t.Blip2Model.from_pretrained(tmp_path).eval(), t.AutoProcessor.from_pretrained(tmp_path)
    for row, (photo, text) in enumerate(zip(photos(), TEXTS, strict=True)):
        pixels = processor.image_processor(images=photo, return_tensors="pt")["pixel_values"]
        words = processor.tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
        queries = torch.full((1, 4), model.config.image_token_index)
        ids = torch.cat([queries, words["input_ids"]], dim=1)
        with torch.no_grad():
            whole = model(pixel_values=pixels, input_ids=ids, output_hidden_states=True)
            asked = model.get_qformer_features(pixel_values=pixels)
            asked = getattr(asked, "last_hidden_state", asked)
            vision = model.get_image_features(pixel_values=pixels).pooler_output[0]
            alone = model.get_text_features(words["input_ids"], words["attention_mask"]).last_hidden_state[0]
        pairs = whole.language_model_outputs.hidden_states[-1][0, 4:]
        expected = {
            "image/vision": vision,
            "image/qformer": asked[0].mean(dim=0),
            "text/mean": alone.mean(dim=0),
            "text/last": alone[-1],
            "joint/mean": pairs.mean(dim=0),
            "joint/last": pairs[-1],
        }
        assert set(expected) == set(found)
        for name, vector in expected.items():
            np.testing.assert_allclose(found[name][row], vector.numpy(), atol=1e-5, rtol=1e-5, err_msg=name)


def test_blip2_with_an_encoder_decoder_reads_photo_and_words_with_its_encoder(tmp_path: Path) -> None:
    import torch
    import transformers as t

    found = both_ways(load(CARDS["blip2"], pretrained=str(save_blip2(tmp_path, t5=True))))
    assert set(found) == set(CARDS["blip2"].views)
    model, processor = (
        t.Blip2ForConditionalGeneration.from_pretrained(tmp_path).eval(),
        t.AutoProcessor.from_pretrained(tmp_path),
    )
    for row, (photo, text) in enumerate(zip(photos(), TEXTS, strict=True)):
        pixels = processor.image_processor(images=photo, return_tensors="pt")["pixel_values"]
        words = processor.tokenizer(text, truncation=True, max_length=128, return_tensors="pt")["input_ids"]
        ids = torch.cat([torch.full((1, 4), model.config.image_token_index), words], dim=1)
        start = torch.tensor([[256]])
        with torch.no_grad():
            whole = model(pixel_values=pixels, input_ids=ids, decoder_input_ids=start)
            alone = model.language_model.encoder(input_ids=words).last_hidden_state[0]
        pairs = whole.language_model_outputs.encoder_last_hidden_state[0, 4:]
        expected = {"text/mean": alone.mean(0), "joint/mean": pairs.mean(0), "joint/last": pairs[-1]}
        for name, vector in expected.items():
            np.testing.assert_allclose(found[name][row], vector.numpy(), atol=1e-5, rtol=1e-5, err_msg=name)


def test_blip2_for_retrieval_equals_the_librarys_forward(tmp_path: Path) -> None:
    import torch
    import transformers as t

    tokenizer = wordpiece_tokenizer()
    config = blip2_config(generative_tokenizer(("<image>",)))
    config.image_token_index = None
    config.qformer_config.vocab_size = len(tokenizer)
    config.qformer_config.use_qformer_text_input = True
    seeded()
    spread(t.Blip2ForImageTextRetrieval(config)).save_pretrained(tmp_path)
    t.Blip2Processor(t.BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(tmp_path)
    found = both_ways(load(CARDS["blip2"], pretrained=str(tmp_path)))
    model = t.Blip2ForImageTextRetrieval.from_pretrained(tmp_path).eval()
    images = t.BlipImageProcessor.from_pretrained(tmp_path)
    for row, (photo, text) in enumerate(zip(photos(), TEXTS, strict=True)):
        pixels = images(images=photo, return_tensors="pt")["pixel_values"]
        words = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        given = {"pixel_values": pixels, "input_ids": words["input_ids"], "attention_mask": words["attention_mask"]}
        with torch.no_grad():
            contrast = model(**given)
            match = model(**given, use_image_text_matching_head=True)
            answer = model.itm_head(torch.from_numpy(found["joint/qformer"][row]))
        np.testing.assert_allclose(found["image/projected"][row], contrast.image_embeds[0].mean(0).numpy(), atol=1e-5)
        np.testing.assert_allclose(found["text/projected"][row], contrast.text_embeds[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(answer.numpy(), match.logits_per_image[0].numpy(), atol=1e-4)


def test_another_architecture_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="not a BLIP2"):
        load(CARDS["blip2"], pretrained=str(save_blip(tmp_path)))
