"""Views are named for what they are, and the default is the one that the authors of an architecture use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.architectures_text import TEXTS, documented, save
from features import CARDS, FeatureError, load
from tests.features.tiny import SMALL, spread

MASKED = {"text/cls", "text/mean"}
CAUSAL = {"text/last", "text/mean"}
POOLED = {"text/cls", "text/mean", "text/pooler"}
FAMILIES: dict[str, tuple[set[str], str]] = {
    "bert": (POOLED, "text/mean"),
    "roberta": (POOLED, "text/mean"),
    "xlm-roberta": (POOLED, "text/mean"),
    "camembert": (POOLED, "text/mean"),
    "albert": (POOLED, "text/mean"),
    "mpnet": (POOLED, "text/mean"),
    "electra": (MASKED, "text/mean"),
    "distilbert": (MASKED, "text/mean"),
    "deberta-v2": (MASKED, "text/mean"),
    "modernbert": (MASKED, "text/mean"),
    "squeezebert": (POOLED, "text/mean"),
    "convbert": (MASKED, "text/mean"),
    "fnet": (POOLED, "text/mean"),
    "canine": (POOLED, "text/mean"),
    "xlnet": (MASKED, "text/cls"),
    "dpr": ({"text/pooler"}, "text/pooler"),
    "gpt2": (CAUSAL, "text/last"),
    "gpt_neo": (CAUSAL, "text/last"),
    "opt": (CAUSAL, "text/last"),
    "llama": (CAUSAL, "text/last"),
    "mistral": (CAUSAL, "text/last"),
    "mixtral": (CAUSAL, "text/last"),
    "qwen2": (CAUSAL, "text/last"),
    "bloom": (CAUSAL, "text/last"),
    "mamba": (CAUSAL, "text/last"),
    "rwkv": (CAUSAL, "text/last"),
    "llava": (CAUSAL, "text/last"),
    "t5": ({"text/mean"}, "text/mean"),
    "mt5": ({"text/mean"}, "text/mean"),
    "longt5": ({"text/mean"}, "text/mean"),
    "bart": ({"text/mean"}, "text/mean"),
    "mbart": ({"text/mean"}, "text/mean"),
    "pegasus": ({"text/mean"}, "text/mean"),
    "marian": ({"text/mean"}, "text/mean"),
    "m2m_100": ({"text/mean"}, "text/mean"),
    "fsmt": ({"text/mean"}, "text/mean"),
    "clip": ({"text/last", "text/mean", "text/pooler"}, "text/pooler"),
    "clip_text_model": ({"text/last", "text/mean", "text/pooler"}, "text/pooler"),
    "siglip": ({"text/mean", "text/pooler"}, "text/pooler"),
    "siglip2": ({"text/mean", "text/pooler"}, "text/pooler"),
    "flava": (POOLED, "text/cls"),
    "chinese_clip": (MASKED, "text/cls"),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_family_has_its_views_and_each_equals_the_librarys(kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = save(kind, tmp_path).eval()
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    views, default = FAMILIES[kind]
    assert set(encoder.views) == views
    assert encoder.default_views.get("text", "text/mean") == default
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    found = encoder.encode_texts(TEXTS)
    for row, text in enumerate(TEXTS):
        wanted = documented(model, tokenizer, text, encoder.text_limit or 0)
        assert views <= set(wanted)
        for view in views:
            scale = np.abs(wanted[view]).max()
            np.testing.assert_allclose(found[view][row] / scale, wanted[view] / scale, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("vit", "reads no texts"),
        ("whisper", "reads no texts"),
        ("imagegpt", "reads no texts"),
        ("layoutlmv2", ""),
        ("bros", "bbox"),
        ("vilt", "pixel_values"),
        ("reformer", "draws at random"),
        ("mra", "whatever stands beside it"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(kind: str, reason: str, tmp_path: Path) -> None:
    try:
        save(kind, tmp_path)
    except ImportError as error:
        pytest.skip(f"transformers cannot build it here ({type(error).__name__})")
    with pytest.raises(FeatureError, match=reason) as caught:
        load(CARDS["bert"], pretrained=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_class_token_at_the_end_is_read_there(tmp_path: Path) -> None:
    """XLNet's own tokenizer writes text, separator, class token."""
    import torch
    import transformers as t
    from tokenizers import processors

    from benchmarks.architectures_text import tiny_tokenizer

    model = spread(t.XLNetModel(t.XLNetConfig(vocab_size=100, d_model=32, n_layer=2, n_head=2, d_inner=64)))
    model.save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [SEP] [CLS]", special_tokens=[("[CLS]", 1), ("[SEP]", 3)]
    )
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path)
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    assert encoder.default_views == {"text": "text/cls"}
    found = encoder.encode_texts(list(TEXTS))
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        np.testing.assert_allclose(found["text/cls"][row], hidden[-1], atol=1e-4)
        np.testing.assert_allclose(found["text/mean"][row], hidden.mean(axis=0), atol=1e-4)


def test_pooler_that_the_weights_lack_is_no_view(tmp_path: Path) -> None:
    import transformers as t

    from benchmarks.architectures_text import tiny_tokenizer

    spread(t.BertModel(t.BertConfig(vocab_size=100, **SMALL), add_pooling_layer=False)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert set(load(CARDS["bert"], pretrained=str(tmp_path)).views) == MASKED


def test_encoder_saved_without_its_decoder_is_read(tmp_path: Path) -> None:
    import torch
    import transformers as t

    from benchmarks.architectures_text import tiny_tokenizer

    sizes = {"vocab_size": 100, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    model = spread(t.T5EncoderModel(t.T5Config(**sizes)))
    model.save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    found = load(CARDS["bert"], pretrained=str(tmp_path)).encode_texts(["help water"])["text/mean"][0]
    inputs = {"input_ids": tokenizer("help water", return_tensors="pt")["input_ids"]}
    with torch.no_grad():
        np.testing.assert_allclose(found, model(**inputs).last_hidden_state[0].mean(dim=0).numpy(), atol=1e-4)


def test_full_length_of_a_model_that_counts_from_its_padding_is_read(tmp_path: Path) -> None:
    """RoBERTa has positions for two tokens fewer than its configuration says, or more with another padding index."""
    import transformers as t

    from benchmarks.architectures_text import tiny_tokenizer

    for padding, limit in ((1, 62), (5, 58)):
        folder = tmp_path / str(padding)
        sizes: dict[str, Any] = {"vocab_size": 100, "max_position_embeddings": 64, "pad_token_id": padding, **SMALL}
        spread(t.RobertaModel(t.RobertaConfig(**sizes))).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        encoder = load(CARDS["bert"], pretrained=str(folder))
        assert encoder.text_limit == limit
        assert np.isfinite(encoder.encode_texts(["water " * 200])["text/mean"]).all()


@pytest.mark.parametrize("stated", [10**30, -1, None])
def test_tokenizer_without_a_limit_cuts_nothing_of_its_own(stated: int | None, tmp_path: Path) -> None:
    save("t5", tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("model_max_length", None)
    if stated is not None:
        config["model_max_length"] = stated
    path.write_text(json.dumps(config))
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    assert encoder.text_limit == 512
    assert encoder.tokenize(["water " * 300])[0].read.cut is False


@pytest.mark.parametrize(
    "kind", ["SiglipTextModel", "Siglip2TextModel", "CLIPTextModel", "CLIPTextModelWithProjection"]
)
def test_text_tower_that_was_saved_by_itself_is_read(kind: str, tmp_path: Path) -> None:
    import torch
    import transformers as t

    from benchmarks.architectures_text import tiny_tokenizer

    family = kind.removesuffix("Model").removesuffix("ModelWithProjection")
    marks = {"eos_token_id": 3, "bos_token_id": 1, "pad_token_id": 0}
    sizes: dict[str, Any] = {"vocab_size": 100, "max_position_embeddings": 16, "projection_dim": 8, **marks, **SMALL}
    model = spread(getattr(t, kind)(getattr(t, f"{family}Config")(**sizes)))
    model.save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(tmp_path)
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    assert encoder.default_views == {"text": "text/pooler"}
    found = encoder.encode_texts(list(TEXTS))["text/pooler"]
    fill = {"padding": "max_length"} if kind.startswith("Siglip") else {}
    for row, text in enumerate(TEXTS):
        tokens = tokenizer(text, truncation=True, max_length=16, return_tensors="pt", **fill)
        with torch.no_grad():
            said = getattr(model, "text_model", model)(input_ids=tokens["input_ids"])
        np.testing.assert_allclose(found[row], said.pooler_output[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["xlm", "flaubert"])
def test_begin_token_is_the_class_token_where_the_authors_say_so(kind: str, tmp_path: Path) -> None:
    import torch

    from benchmarks.architectures_text import tiny_tokenizer

    model = save(kind, tmp_path).eval()
    tokenizer = tiny_tokenizer()
    # <s> in front, </s> as class, separator and end
    tokenizer.bos_token, tokenizer.cls_token = "[CLS]", "[SEP]"
    tokenizer.save_pretrained(tmp_path)
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    assert encoder.default_views == {"text": "text/cls"}
    inputs = tokenizer("help water", return_tensors="pt")
    with torch.no_grad():
        hidden = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state[0]
    np.testing.assert_allclose(encoder.encode_texts(["help water"])["text/cls"][0], hidden[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["align", "altclip", "chinese_clip", "flava"])
def test_tower_whose_authors_project_its_class_token_gives_that(kind: str, tmp_path: Path) -> None:
    """What `get_text_features` projects is the default view."""
    import torch
    from transformers import AutoTokenizer

    model = save(kind, tmp_path).eval()
    encoder = load(CARDS["bert"], pretrained=str(tmp_path))
    assert encoder.default_views == {"text": "text/cls"}
    tokens = AutoTokenizer.from_pretrained(tmp_path)("help water", return_tensors="pt")
    inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        wanted = model.get_text_features(**inputs).pooler_output
        wanted = wanted[:, 0] if wanted.ndim == 3 else wanted
        found = torch.from_numpy(encoder.encode_texts(["help water"])["text/cls"])
        np.testing.assert_allclose(model.text_projection(found).numpy(), wanted.numpy(), rtol=1e-3, atol=1e-3)
