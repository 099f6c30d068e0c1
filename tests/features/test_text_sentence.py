"""A folder in the layout of sentence-transformers is read as its authors read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import CARDS, FeatureError, load
from features.encoders.sentence import SentenceSettings, settings_of
from tests.features.tiny import TEXTS, save_text_model


def in_layout(folder: Path, pooling: dict[str, Any], **settings: Any) -> Path:
    """A tiny BERT with the files of sentence-transformers around it."""
    save_text_model(folder, "bert")
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "2_Normalize").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **pooling}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, **settings}))
    return folder


POOLINGS: list[tuple[dict[str, Any], str | None]] = [
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "text/cls"),
    ({"pooling_mode_mean_tokens": True}, "text/mean"),
    ({"pooling_mode": "cls"}, "text/cls"),
    ({"pooling_mode": "lasttoken"}, "text/last"),
    ({"pooling_mode_max_tokens": True}, None),
    ({"pooling_mode": ["cls", "mean"]}, None),
]


@pytest.mark.parametrize(("pooling", "view"), POOLINGS)
def test_settings_are_those_of_the_files(pooling: dict[str, Any], view: str | None, tmp_path: Path) -> None:
    folder = in_layout(tmp_path, pooling, do_lower_case=True)
    assert settings_of(str(folder), None) == SentenceSettings(view, 16, True)


def test_prompt_that_the_authors_put_first_is_put_first(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = in_layout(tmp_path, {"pooling_mode_mean_tokens": True})
    said = {"prompts": {"query": "help: ", "passage": "water: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    assert settings_of(str(folder), None).prompt == "help: "
    encoder = load(CARDS["bert"], pretrained=str(folder))
    assert encoder.identity["prompt"] == "help: "
    found = encoder.encode_texts(TEXTS)["text/mean"]
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), wanted, atol=1e-5)


def with_dense(folder: Path, activation: str, bias: bool = True) -> Path:
    """Two layers behind the pooled vector, saved as sentence-transformers saves them."""
    import torch
    from safetensors.torch import save_file

    in_layout(folder, {"pooling_mode_cls_token": True})
    torch.manual_seed(3)
    modules = json.loads((folder / "modules.json").read_text())
    for at, (wide, narrow) in enumerate([(32, 16), (16, 8)], start=3):
        (folder / f"{at}_Dense").mkdir()
        said = {"in_features": wide, "out_features": narrow, "bias": bias, "activation_function": activation}
        (folder / f"{at}_Dense" / "config.json").write_text(json.dumps(said))
        tensors = {"linear.weight": torch.randn(narrow, wide)} | ({"linear.bias": torch.randn(narrow)} if bias else {})
        save_file(tensors, folder / f"{at}_Dense" / "model.safetensors")
        kind = "sentence_transformers.models.Dense"
        modules.insert(-1, {"idx": at, "name": str(at), "path": f"{at}_Dense", "type": kind})
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.mark.parametrize(
    ("activation", "bias"),
    [("torch.nn.modules.activation.Tanh", True), ("torch.nn.modules.linear.Identity", False)],
)
def test_layers_behind_the_pooled_vector_are_those_of_the_library(activation: str, bias: bool, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = with_dense(tmp_path, activation, bias)
    encoder = load(CARDS["bert"], pretrained=str(folder))
    assert encoder.default_views == {"text": "text/sentence"}
    assert encoder.views["text/sentence"] == (8,)
    found = encoder.encode_texts(TEXTS)["text/sentence"]
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), wanted, atol=1e-5)


def test_layer_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    folder = with_dense(tmp_path, "my_module.Activation")
    with pytest.raises(FeatureError, match=r"'3_Dense' .* is of a kind that is not known here"):
        load(CARDS["bert"], pretrained=str(folder))


def test_folder_without_such_files_states_nothing(tmp_path: Path) -> None:
    assert settings_of(str(save_text_model(tmp_path, "bert")), None) == SentenceSettings()


def test_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (in_layout(tmp_path, {}) / "modules.json").write_text("[{")
    with pytest.raises(FeatureError, match=r"'modules.json' of .* cannot be read"):
        settings_of(str(tmp_path), None)


def test_no_file_outside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    folder = in_layout(tmp_path / "inside", {})
    (tmp_path / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    (folder / "modules.json").write_text(json.dumps([{"path": "..", "type": "x.Pooling"}]))
    assert settings_of(str(folder), None).view is None


@pytest.mark.parametrize(("pooling", "view"), POOLINGS[:3])
def test_default_view_equals_what_sentence_transformers_computes(
    pooling: dict[str, Any], view: str, tmp_path: Path
) -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = in_layout(tmp_path, pooling)
    encoder = load(CARDS["bert"], pretrained=str(folder))
    assert encoder.default_views.get("text", "text/mean") == view
    found = encoder.encode_texts(TEXTS)[view]
    wanted = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), wanted, atol=1e-5)


def test_real_sentence_encoder_equals_sentence_transformers(minilm: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    encoder = load(CARDS["bert"], pretrained=str(minilm))
    assert encoder.text_limit == 256
    texts = ["flood in the city", "#help! the bridge is out ...", "water " * 400]
    found = encoder.encode_texts(texts)["text/mean"]
    wanted = library.SentenceTransformer(str(minilm), device="cpu").encode(texts)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), wanted, atol=1e-5)
