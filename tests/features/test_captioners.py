"""Captioners: the library's own captions, the same for one photo and for eight, the best of them by CLIP score."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import CARDS, FeatureError, fingerprint, load
from features.errors import BadOption
from tests.features import tiny_captioners as made
from tests.features.tiny import photos, save_clip

TWEETS = [
    "flood in the city",
    "help!",
    "",
    "RT @user: water " * 5,
    "a {tweet} with <image> in it",
    "x",
    "yy",
    "zzz " * 9,
]
SAVERS: dict[str, Callable[[Path], Path]] = {
    "blip": made.save_blip,
    "git": made.save_git,
    "blip2_captions": made.save_blip2,
    "blip2_captions-t5": partial(made.save_blip2, t5=True),
    "llava": made.save_llava,
}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_clip(tmp_path_factory.mktemp("scorer")))


def caption(encoder: Any, batch: int, count: int = 8) -> dict[str, np.ndarray]:
    prepared = [encoder.prepare(photo) for photo in photos(count)]
    parts = []
    for start in range(0, count, batch):
        stacked = np.stack(prepared[start : start + batch])
        pairs = encoder.modalities == ("joint",)
        parts.append(
            encoder.encode_pairs(stacked, TWEETS[start : start + batch]) if pairs else encoder.encode_images(stacked)
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("name", [*SAVERS, "clip_prefix-mlp", "clip_prefix-transformer"])
def test_captions_are_equal_for_batch_one_and_batch_eight(name: str, tmp_path: Path, scorer: str) -> None:
    model, _, mapper = name.partition("-")
    folder = SAVERS[name](tmp_path) if name in SAVERS else made.save_clip_prefix(tmp_path, mapper)
    encoder = load(
        CARDS[model],
        pretrained=str(folder),
        options={"candidates": 3, "max_new_tokens": 8, "scorer": scorer},
    )
    alone, together = caption(encoder, 1), caption(encoder, 8)
    texts = together[f"captions/{model}"].tolist()
    assert alone[f"captions/{model}"].tolist() == texts
    assert len(set(texts)) > 1, "a captioner that says the same of every photo proves nothing"
    modality = encoder.modalities[0]
    np.testing.assert_allclose(alone[f"{modality}/score"], together[f"{modality}/score"], atol=1e-4)
    assert set(encoder.views) == {f"{modality}/score", f"{modality}/truncated"}
    assert encoder.captions == {model: modality}


@pytest.mark.parametrize("form", ["blip", "git", "blip2_captions", "blip2_captions-t5"])
def test_greedy_caption_is_the_librarys_own(form: str, tmp_path: Path) -> None:
    import torch
    import transformers as t

    folder, name = SAVERS[form](tmp_path), form.partition("-")[0]
    encoder = load(CARDS[name], pretrained=str(folder), options={"candidates": 1, "max_new_tokens": 8, "scorer": None})
    kinds = {
        "blip": t.BlipForConditionalGeneration,
        "git": t.GitForCausalLM,
        "blip2_captions": t.Blip2ForConditionalGeneration,
    }
    model, processor = kinds[name].from_pretrained(folder).eval(), t.AutoProcessor.from_pretrained(folder)
    given: dict[str, Any] = {}
    if name == "blip2_captions":
        start = [model.config.image_token_index] * 4 + (
            [] if form.endswith("t5") else [processor.tokenizer.bos_token_id]
        )
        given = {"input_ids": torch.tensor([start])}
    found = caption(encoder, 8)[f"captions/{name}"].tolist()
    for photo, text in zip(photos(8), found, strict=True):
        pixels = processor.image_processor(images=photo, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            ids = model.generate(pixel_values=pixels, **given, max_new_tokens=8, do_sample=False, num_beams=1)
        assert text == " ".join(processor.tokenizer.decode(ids[0], skip_special_tokens=True).split())


def test_blip2_without_an_image_token_says_the_same(tmp_path: Path) -> None:
    said = []
    for image_token in (True, False):
        (tmp_path / str(image_token)).mkdir()
        folder = made.save_blip2(tmp_path / str(image_token), image_token=image_token)
        options = {"candidates": 1, "max_new_tokens": 8, "scorer": None}
        encoder = load(CARDS["blip2_captions"], pretrained=str(folder), options=options)
        said.append(caption(encoder, 8)["captions/blip2_captions"].tolist())
    assert said[0] == said[1]


def test_llava_says_what_the_library_says_to_the_same_conversation(tmp_path: Path) -> None:
    import torch
    import transformers as t

    from features.captioners.llava import read_prompt

    folder = made.save_llava(tmp_path)
    encoder = load(CARDS["llava"], pretrained=str(folder), options={"max_new_tokens": 8})
    found = caption(encoder, 8)["captions/llava"].tolist()
    model = t.LlavaForConditionalGeneration.from_pretrained(folder).eval()
    processor = t.AutoProcessor.from_pretrained(folder)
    template = read_prompt("describe_post")
    for photo, tweet, text in list(zip(photos(8), TWEETS, found, strict=True))[:4]:
        turns = [
            {"role": "system", "content": [{"type": "text", "text": template["system"]}]},
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": template["user"].replace("{tweet}", tweet)}],
            },
        ]
        laid_out = processor.apply_chat_template(turns, add_generation_prompt=True)
        inputs = processor(images=photo, text=laid_out, return_tensors="pt", add_special_tokens=False)
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        said = processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text == " ".join(said.split())


def test_description_depends_on_the_tweet(tmp_path: Path) -> None:
    encoder = load(CARDS["llava"], pretrained=str(made.save_llava(tmp_path)), options={"max_new_tokens": 8})
    one = np.stack([encoder.prepare(photos(1)[0])] * 4)
    texts = encoder.encode_pairs(one, ["flood", "flood", "help me please", "q" * 40])["captions/llava"].tolist()
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_the_candidate_nearest_by_clip_is_kept() -> None:
    from features.captioners.captioner import Candidate, Captioner, Decoding

    class Scorer:
        """Photos and texts on the unit circle; a text says its own angle."""

        identity = {"name": "circle"}

        def prepare(self, image: Any) -> np.ndarray:
            return np.array([0.0, float(image)], np.float32)

        def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            return {"image/projected": np.stack([np.cos(batch[:, 1]), np.sin(batch[:, 1])], axis=1)}

        def encode_texts(self, texts: list[str]) -> dict[str, np.ndarray]:
            angles = np.array([float(text) for text in texts])
            return {"text/projected": np.stack([np.cos(angles), np.sin(angles)], axis=1)}

    def generate(batch: np.ndarray, texts: Any) -> list[list[Candidate]]:
        assert batch.shape == (3, 2, 2)
        return [[Candidate("0.1", False), Candidate("1.0", True), Candidate("2.0", False)]] * 3

    def pixels(image: Any) -> np.ndarray:
        return np.full((2, 2), image, np.float32)

    captioner = Captioner("c", "image", pixels, generate, Decoding(3, 5), Scorer(), {})
    found = captioner.encode_images(np.stack([captioner.prepare(angle) for angle in (2.2, 0.0, 0.9)]))
    assert found["captions/c"].tolist() == ["2.0", "0.1", "1.0"]
    np.testing.assert_allclose(found["image/score"][:, 0], np.cos([0.2, 0.1, 0.1]), atol=1e-4)
    assert found["image/truncated"][:, 0].tolist() == [0.0, 0.0, 1.0]


def test_mapper_is_the_published_network_in_numpy(tmp_path: Path) -> None:
    """Both mappers, written out a second time in numpy from the published network's definition."""
    import torch

    from features.captioners.clip_prefix import Mapper

    vectors = np.random.default_rng(1).normal(size=(2, 24)).astype(np.float32)
    for kind in ("mlp", "transformer"):
        (tmp_path / kind).mkdir()
        state = torch.load(made.save_clip_prefix(tmp_path / kind, kind) / "checkpoint-latest.pt", weights_only=True)
        w = {k.removeprefix("clip_project."): v.double().numpy() for k, v in state.items() if k.startswith("clip_")}
        found = Mapper(state, "cpu", "fp32")(torch.from_numpy(vectors)).numpy()
        for row, vector in enumerate(vectors.astype(np.float64)):
            expected = _mlp(vector, w) if kind == "mlp" else _transformer(vector / np.linalg.norm(vector), w)
            np.testing.assert_allclose(found[row], expected, atol=1e-4)


def _mlp(vector: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    hidden = np.tanh(w["model.0.weight"] @ vector + w["model.0.bias"])
    return (w["model.2.weight"] @ hidden + w["model.2.bias"]).reshape(4, 64)


def _transformer(vector: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    x = np.concatenate([(w["linear.weight"] @ vector + w["linear.bias"]).reshape(4, 64), w["prefix_const"]])

    def norm(values: np.ndarray, name: str) -> np.ndarray:
        centred = values - values.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    for layer in range(2):
        at = f"transformer.layers.{layer}"
        normed = norm(x, f"{at}.norm1")
        queries = (normed @ w[f"{at}.attn.to_queries.weight"].T).reshape(8, 8, 8)
        both = (normed @ w[f"{at}.attn.to_keys_values.weight"].T).reshape(8, 2, 8, 8)
        weights = np.exp(np.einsum("nhd,mhd->nmh", queries, both[:, 0]) * 8**-0.5)
        weights /= weights.sum(axis=1, keepdims=True)
        mixed = np.einsum("nmh,mhd->nhd", weights, both[:, 1]).reshape(8, 64)
        x = x + mixed @ w[f"{at}.attn.project.weight"].T + w[f"{at}.attn.project.bias"]
        inner = np.maximum(norm(x, f"{at}.norm2") @ w[f"{at}.mlp.fc1.weight"].T + w[f"{at}.mlp.fc1.bias"], 0)
        x = x + inner @ w[f"{at}.mlp.fc2.weight"].T + w[f"{at}.mlp.fc2.bias"]
    return x[4:]


def test_prompt_decoding_and_scorer_decide_the_fingerprint(tmp_path: Path, scorer: str) -> None:
    folder = made.save_llava(tmp_path)
    other = tmp_path / "other.json"
    other.write_text('{"system": "", "user": "Say something about {tweet}."}')

    def mark(**options: Any) -> str:
        encoder = load(CARDS["llava"], pretrained=str(folder), options={"max_new_tokens": 8, **options})
        return fingerprint(CARDS["llava"], encoder, precision="fp32", cleaner="raw-1").digest

    marks = [mark(), mark(prompt=str(other)), mark(max_new_tokens=9), mark(candidates=2, scorer=scorer)]
    assert len(set(marks)) == 4
    assert mark() == marks[0]


def test_what_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no prompt 'nonsense'"):
        load(CARDS["llava"], pretrained=str(tmp_path), options={"prompt": "nonsense"})
    with pytest.raises(FeatureError, match="--set scorer="):
        load(CARDS["blip"], pretrained=str(made.save_blip(tmp_path)), options={"scorer": None})
    with pytest.raises(FeatureError, match="--pretrained"):
        load(CARDS["clip_prefix"])


@pytest.mark.parametrize("name", [*SAVERS, "clip_prefix-mlp"])
def test_captions_longer_than_the_context_are_refused_at_load(name: str, tmp_path: Path, scorer: str) -> None:
    model, _, mapper = name.partition("-")
    folder = SAVERS[name](tmp_path) if name in SAVERS else made.save_clip_prefix(tmp_path, mapper)
    options = {"candidates": 1, "max_new_tokens": 100_000, "scorer": scorer}
    if name == "blip2_captions-t5":
        # it counts positions from word to word, and has no end
        load(CARDS[model], pretrained=str(folder), options=options)
        return
    with pytest.raises(BadOption, match=r"--set max_new_tokens=\d+ or fewer") as caught:
        load(CARDS[model], pretrained=str(folder), options=options)
    most = int(re.findall(r"max_new_tokens=(\d+)", str(caught.value))[0])
    load(CARDS[model], pretrained=str(folder), options={**options, "max_new_tokens": most})


def test_tweet_beyond_the_prompts_room_is_cut_and_counted(tmp_path: Path) -> None:
    folder = made.save_llava(tmp_path)
    encoder = load(CARDS["llava"], pretrained=str(folder), options={"max_new_tokens": 8})
    limit = encoder.text_limit or 0
    assert 500 < limit < 2048
    tweets = ["flood", "q" * limit, "q" * (limit + 1), "q" * 50_000, "<image>" * 3000]
    reads = [encoder.text_read(one) for one in encoder.tokenize(tweets)]
    assert [(one.tokens, one.cut) for one in reads[:4]] == [(5, False), (limit, False), (limit, True), (limit, True)]
    one = np.stack([encoder.prepare(photos(1)[0])] * 3)
    texts = encoder.encode_pairs(one, tweets[1:4])["captions/llava"].tolist()
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("name", ["prefix_const", "linear.bias", "transformer.layers.1.norm1.weight"])
def test_prefix_checkpoint_that_lacks_a_tensor_is_refused(name: str, tmp_path: Path, scorer: str) -> None:
    import torch

    path = made.save_clip_prefix(tmp_path, "transformer") / "checkpoint-latest.pt"
    state = torch.load(path, weights_only=True)
    del state[f"clip_project.{name}"]
    torch.save(state, path)
    with pytest.raises(FeatureError, match="clip_project"):
        load(CARDS["clip_prefix"], pretrained=str(tmp_path), options={"scorer": scorer})
