"""Every text encoder family equals its library's own forward, alone or in company, with one segment or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features import CARDS, load
from tests.features.tiny import TEXTS, save_text_model, wordpiece_tokenizer

KINDS = ("bert", "multilingual bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert")


@pytest.mark.parametrize("kind", KINDS)
def test_family_equals_the_librarys_forward_and_ignores_company(kind: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = save_text_model(tmp_path, kind)
    encoder = load(CARDS["bert"], pretrained=str(folder), options={"tokens": True})
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    pairs = [(text, f"a photo of water {i}") for i, text in enumerate(TEXTS)]
    for texts in (TEXTS, pairs):
        together = encoder.encode_texts(texts)
        for row, text in enumerate(texts):
            segments = text if isinstance(text, tuple) else (text,)
            tokens = tokenizer(*segments, return_tensors="pt", truncation=True, max_length=64)
            with torch.no_grad():
                hidden = model(**tokens).last_hidden_state[0].numpy()
            alone = encoder.encode_texts([text])
            length = len(hidden)
            np.testing.assert_allclose(alone["text/cls"][0], hidden[0], atol=1e-5)
            np.testing.assert_allclose(alone["text/mean"][0], hidden.mean(axis=0), atol=1e-5)
            np.testing.assert_allclose(alone["text/tokens"][0, :length], hidden, atol=1e-5)
            assert alone["text/mask"][0].tolist() == [1.0] * length + [0.0] * (64 - length)
            assert not alone["text/tokens"][0, length:].any()
            for name, values in alone.items():
                assert values.shape[1:] == tuple(encoder.views[name])
                np.testing.assert_allclose(together[name][row], values[0], atol=1e-4)


def test_two_segments_differ_from_their_concatenation(tmp_path: Path) -> None:
    encoder = load(CARDS["bert"], pretrained=str(save_text_model(tmp_path, "bert")))
    apart = encoder.encode_texts([("help", "water")])["text/mean"]
    assert np.abs(apart - encoder.encode_texts(["help water"])["text/mean"]).max() > 1e-2
    assert np.abs(apart - encoder.encode_texts([("water", "help")])["text/mean"]).max() > 1e-2
    tokens = wordpiece_tokenizer()("help", "water")
    assert tokens["token_type_ids"] == [0, 0, 0, 1, 1]


def test_overlong_pair_is_cut_at_the_longer_segment(tmp_path: Path) -> None:
    encoder = load(CARDS["bert"], pretrained=str(save_text_model(tmp_path, "bert")), options={"tokens": True})
    long, longer = ("water " * 100, "help"), ("water " * 200, "help")
    found = encoder.encode_texts([long, longer, ("water " * 100, "city")])
    assert found["text/mask"].sum(axis=1).tolist() == [64.0] * 3
    np.testing.assert_allclose(found["text/mean"][0], found["text/mean"][1], atol=1e-5)
    assert np.abs(found["text/mean"][0] - found["text/mean"][2]).max() > 1e-3


def test_token_views_are_written_on_request_only(tmp_path: Path) -> None:
    folder = str(save_text_model(tmp_path, "bert"))
    assert set(load(CARDS["bert"], pretrained=folder).views) == {"text/cls", "text/mean", "text/pooler"}


def test_layers_are_the_means_of_transformers_hidden_states(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = str(save_text_model(tmp_path, "bert"))
    encoder = load(CARDS["bert"], pretrained=folder, options={"layers": True})
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    names = [f"text/layer-{layer}" for layer in range(model.config.num_hidden_layers + 1)]
    assert set(encoder.views) == {"text/cls", "text/mean", "text/pooler", *names}
    found = encoder.encode_texts(["help water", "city", "water help city water"])
    with torch.inference_mode():
        states = model(**tokenizer("city", return_tensors="pt"), output_hidden_states=True).hidden_states
    for name, state in zip(names, states, strict=True):
        np.testing.assert_allclose(found[name][1], state[0].mean(dim=0).numpy(), atol=1e-5)
    np.testing.assert_array_equal(found[names[-1]], found["text/mean"])
