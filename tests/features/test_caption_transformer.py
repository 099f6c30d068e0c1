"""CLIP-reward and region captions: the published network and search, written out a second time in numpy."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from features import CARDS, FeatureError, fingerprint, load
from features.errors import BadOption
from features.regions.region import NAMES
from tests.features import tiny_captioners as made
from tests.features.tiny import photos, save_clip

REGIONS = [7, 3, 1, 5, 6, 2, 4, 7]
WIDTH = 12
Rows = list[tuple[float, list[int]]]


def found_regions() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.normal(size=(count, WIDTH)).astype(np.float32) for count in REGIONS]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_clip(tmp_path_factory.mktemp("scorer")))


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("regions")
    for number, features in enumerate(found_regions()):
        boxes = np.tile([[0.1, 0.2, 0.6, 0.9]], (len(features), 1))
        np.savez(folder / f"{number}.npz", features=features, boxes=boxes)
    return str(folder)


def captions(encoder: Any, batch: int) -> tuple[list[str], np.ndarray]:
    named = photos(8)
    for number, photo in enumerate(named):
        photo.info[NAMES] = (str(number),)
    prepared = [encoder.prepare(photo) for photo in named]
    parts = [encoder.encode_images(np.stack(prepared[start : start + batch])) for start in range(0, 8, batch)]
    (name,) = encoder.captions
    texts = [text for part in parts for text in part[f"captions/{name}"].tolist()]
    return texts, np.concatenate([part["image/truncated"] for part in parts])[:, 0]


def reference(state: dict[str, Any], norms: int) -> Callable[[np.ndarray, list[int]], np.ndarray]:
    """Log-probabilities of the next word after `words`, from all of them anew, in float64."""
    w = {name: tensor.double().numpy() for name, tensor in state.items()}

    def norm(x: np.ndarray, at: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return w[f"{at}.a_2"] * centred / (x.std(-1, ddof=1, keepdims=True) + 1e-6) + w[f"{at}.b_2"]

    def linear(x: np.ndarray, at: str) -> np.ndarray:
        return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    def batch_norm(x: np.ndarray, at: str) -> np.ndarray:
        scaled = (x - w[f"{at}.running_mean"]) / np.sqrt(w[f"{at}.running_var"] + 1e-5)
        return scaled * w[f"{at}.weight"] + w[f"{at}.bias"]

    def attend(x: np.ndarray, to: np.ndarray, at: str, causal: bool) -> np.ndarray:
        queries, keys, values = (linear(y, f"{at}.linears.{i}") for i, y in enumerate((x, to, to)))
        mixed = []
        for q, k, v in zip(*(np.split(y, 4, axis=1) for y in (queries, keys, values)), strict=True):
            scores = q @ k.T / np.sqrt(q.shape[1])
            if causal:
                scores[np.triu_indices(len(scores), 1)] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            mixed.append(weights / weights.sum(1, keepdims=True) @ v)
        return linear(np.concatenate(mixed, axis=1), f"{at}.linears.3")

    def feed(x: np.ndarray, at: str) -> np.ndarray:
        return linear(np.maximum(linear(x, f"{at}.feed_forward.w_1"), 0), f"{at}.feed_forward.w_2")

    def next_word(features: np.ndarray, words: list[int]) -> np.ndarray:
        x = features.astype(np.float64)
        x = batch_norm(x, "att_embed.0") if norms else x
        x = np.maximum(linear(x, f"att_embed.{min(norms, 1)}"), 0)
        x = batch_norm(x, "att_embed.4") if norms == 2 else x
        for layer in range(2):
            at = f"model.encoder.layers.{layer}"
            normed = norm(x, f"{at}.sublayer.0.norm")
            x = x + attend(normed, normed, f"{at}.self_attn", False)
            x = x + feed(norm(x, f"{at}.sublayer.1.norm"), at)
        memory = norm(x, "model.encoder.norm")
        y = w["model.tgt_embed.0.lut.weight"][words] * 4.0 + w["model.tgt_embed.1.pe"][0, : len(words)]
        for layer in range(2):
            at = f"model.decoder.layers.{layer}"
            normed = norm(y, f"{at}.sublayer.0.norm")
            y = y + attend(normed, normed, f"{at}.self_attn", True)
            y = y + attend(norm(y, f"{at}.sublayer.1.norm"), memory, f"{at}.src_attn", False)
            y = y + feed(norm(y, f"{at}.sublayer.2.norm"), at)
        logits = linear(norm(y, "model.decoder.norm"), "model.generator.proj")[-1]
        return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())

    return next_word


def search(
    next_word: Callable[[list[int]], np.ndarray], beams: int, limit: int, never: tuple[int, ...] = (10,)
) -> Rows:
    """Beam search one photo and one beam at a time to the very end; finished beams are set aside, UNK is never said."""
    alive: Rows = [(0.0, [0])]
    done: Rows = []
    for step in range(limit):
        grown: Rows = []
        for total, words in alive:
            found = next_word(words)
            found[list(never)] = -np.inf
            grown += [(total + value, [*words, word]) for word, value in enumerate(found)]
        best = sorted(grown, key=lambda row: -row[0])[:beams]
        done += [row for row in best if row[1][-1] == 0 or step == limit - 1]
        alive = [row for row in best if row[1][-1] != 0]
    return sorted(done, key=lambda row: -row[0])[:beams]


def spoken(words: list[int]) -> str:
    return " ".join(made.WORDS[str(word)] for word in words if word).replace("@@ ", "")


@pytest.mark.parametrize(("beams", "norms", "form"), [(1, 0, "ckpt"), (1, 2, "pth"), (3, 1, "ckpt"), (3, 0, "pth")])
def test_captions_are_the_published_networks_for_batch_one_and_eight(
    beams: int, norms: int, form: str, tmp_path: Path, scorer: str, regions: str
) -> None:
    state = made.caption_state(WIDTH, norms)
    # how willing to end, so that some captions end by themselves and some are cut
    state["model.generator.proj.bias"][0] += (1.0, -2.0, 0.0)[norms]
    folder = made.save_caption_transformer(tmp_path, state, form)
    options = {"candidates": beams, "max_new_tokens": 6, "regions": regions, "scorer": scorer if beams > 1 else None}
    encoder = load(CARDS["region_captions"], pretrained=str(folder), options=options)
    alone, together = captions(encoder, 1), captions(encoder, 8)
    assert alone[0] == together[0]
    np.testing.assert_array_equal(alone[1], together[1])
    assert len(set(together[0])) > 1
    assert 0 < together[1].mean() < 1 or beams > 1
    next_word = reference(state, norms)
    for text, cut, features in zip(*together, found_regions(), strict=True):
        rows = search(lambda words, f=features: next_word(f, words), beams, 6)
        assert (text, bool(cut)) in [(spoken(words), words[-1] != 0) for _, words in rows]
        if beams == 1:
            assert text == spoken(rows[0][1])


def test_beams_come_in_the_order_of_their_score(tmp_path: Path) -> None:
    import torch

    from features.captioners.beams import search as find
    from features.captioners.caption_net import CaptionNet

    state = made.caption_state(WIDTH)
    net, next_word = CaptionNet(state, 4, "cpu", "fp32"), reference(state, 0)
    for features in found_regions()[:3]:
        memory = net.encode(torch.from_numpy(features[None]), torch.ones(1, len(features)))
        found = find(net, memory, beams=4, limit=5, never=[10])[0]
        expected = search(lambda words, f=features: next_word(f, words), 4, 5)
        assert [list(beam.words) for beam in found] == [[word for word in words[1:] if word] for _, words in expected]
        np.testing.assert_allclose([beam.score for beam in found], [score for score, _ in expected], atol=1e-4)


class Drawn:
    """A network whose next word is drawn once for each beginning of each photo."""

    vocabulary = 5

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def next_word(self, photo: int, words: list[int]) -> np.ndarray:
        values = np.random.default_rng([self.seed, photo, *words]).normal(0, 2, 5)
        return values - np.log(np.exp(values).sum())

    def step(self, words: Any, position: int, memory: Any) -> Any:
        import torch

        memory.beginnings = [[*old, word] for old, word in zip(memory.beginnings, words.tolist(), strict=True)]
        rows = [self.next_word(p, words) for p, words in zip(memory.photos, memory.beginnings, strict=True)]
        return torch.tensor(np.stack(rows))

    def follow(self, memory: Any, beams: Any) -> None:
        memory.photos = [memory.photos[beam] for beam in beams.tolist()]
        memory.beginnings = [memory.beginnings[beam] for beam in beams.tolist()]


@pytest.mark.parametrize("beams", [1, 2, 4, 7])
def test_search_stops_only_when_nothing_can_overtake_any_more(beams: int) -> None:
    import torch

    from features.captioners.beams import search as find

    for seed in range(30):
        net = Drawn(seed)
        memory = SimpleNamespace(seen=torch.ones(3, 1), photos=[0, 1, 2], beginnings=[[], [], []])
        for photo, found in enumerate(find(net, memory, beams=beams, limit=6, never=[])):  # type: ignore[arg-type]
            expected = search(lambda words, n=net, p=photo: n.next_word(p, words), beams, 6, never=())
            assert [(list(b.words), b.ended) for b in found] == [
                (words[1 : -1 if words[-1] == 0 else None], words[-1] == 0) for _, words in expected
            ]
            np.testing.assert_allclose([b.score for b in found], [score for score, _ in expected], atol=1e-5)


def test_clip_reward_reads_the_grid_of_its_clip(tmp_path: Path, scorer: str) -> None:
    import open_clip
    import torch

    (tmp_path / "clip").mkdir()
    clip, state = made.save_clip_resnet(tmp_path / "clip"), made.caption_state(128)
    folder = made.save_caption_transformer(tmp_path, state)
    options = {"max_new_tokens": 6, "grid": str(clip)}
    encoder = load(CARDS["clip_reward"], pretrained=str(folder), options={**options, "candidates": 1, "scorer": None})
    alone, together = captions(encoder, 1), captions(encoder, 8)
    assert alone[0] == together[0]
    visual, next_word = open_clip.create_model(f"local-dir:{clip}").eval().visual, reference(state, 0)
    kept: list[Any] = []
    visual.layer4.register_forward_hook(lambda module, given, output: kept.append(output))
    visual.attnpool = torch.nn.Identity()
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    for photo, text in list(zip(photos(8), together[0], strict=True))[:3]:
        pixels = (np.asarray(photo.resize((448, 448), 3)) / 255.0 - mean) / std
        np.testing.assert_allclose(encoder.prepare(photo).reshape(3, 448, 448), pixels.transpose(2, 0, 1), atol=1e-5)
        with torch.no_grad():
            visual(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
        cells = kept.pop()[0].reshape(128, 196).T.numpy()
        (_, words), *_ = search(lambda words, f=cells: next_word(f, words), 1, 6)
        assert text == spoken(words)
    several = load(CARDS["clip_reward"], pretrained=str(folder), options={**options, "scorer": scorer})
    assert captions(several, 8)[0] == captions(several, 3)[0]
    assert set(several.views) == set(CARDS["clip_reward"].views)


def test_boxes_and_norms_follow_the_trained_settings(tmp_path: Path, regions: str) -> None:
    state = made.caption_state(WIDTH + 5)
    folder = made.save_caption_transformer(tmp_path, state, use_box=1, norm_att_feat=1, norm_box_feat=1)
    options = {"candidates": 1, "max_new_tokens": 6, "regions": regions, "scorer": None}
    found = captions(load(CARDS["region_captions"], pretrained=str(folder), options=options), 8)[0]
    place = np.array([0.1, 0.2, 0.6, 0.9, 0.35])
    for text, features in zip(found, found_regions(), strict=True):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        whole = np.concatenate([unit, np.tile(place / np.linalg.norm(place), (len(features), 1))], axis=1)
        (_, words), *_ = search(lambda words, f=whole: reference(state, 0)(f, words), 1, 6)
        assert text == spoken(words)


class Harm:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("where", ["checkpoint", "infos"])
def test_nothing_in_a_checkpoint_runs(where: str, tmp_path: Path, regions: str) -> None:
    import torch

    harm = Harm(tmp_path / "harmed")
    (tmp_path / "c").mkdir()
    state = made.caption_state(WIDTH)
    folder = made.save_caption_transformer(tmp_path / "c", state, "pth")
    if where == "checkpoint":
        torch.save({**state, "evil": harm}, folder / "model-best.pth")
    else:
        (folder / "infos_trans-best.pkl").write_bytes(pickle.dumps({"vocab": made.WORDS, "evil": harm}))
    options = {"candidates": 1, "regions": regions, "scorer": None}
    load(CARDS["region_captions"], pretrained=str(folder), options=options)
    assert not (tmp_path / "harmed").exists()


def test_grid_and_regions_decide_the_fingerprint(tmp_path: Path, regions: str) -> None:
    folder = made.save_caption_transformer(tmp_path, made.caption_state(WIDTH))
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "0.npy", np.zeros((2, WIDTH), np.float32))
    marks = set()
    for source, tokens in ((regions, 6), (str(tmp_path / "other"), 6), (regions, 7)):
        options = {"candidates": 1, "max_new_tokens": tokens, "regions": source, "scorer": None}
        encoder = load(CARDS["region_captions"], pretrained=str(folder), options=options)
        marks.add(fingerprint(CARDS["region_captions"], encoder, precision="fp32", cleaner="raw-1").digest)
    assert len(marks) == 3


def test_what_does_not_fit_is_one_sentence(tmp_path: Path, regions: str) -> None:
    alone = {"candidates": 1, "scorer": None}

    def refused(model: str, name: str, **options: Any) -> str:
        with pytest.raises(FeatureError) as caught:
            load(CARDS[model], pretrained=str(tmp_path / name), options={**alone, **options})
        return str(caught.value)

    for name in ("whole", "updown", "wordless", "empty", "other"):
        (tmp_path / name).mkdir()
    made.save_caption_transformer(tmp_path / "whole", made.caption_state(WIDTH + 1))
    made.save_caption_transformer(tmp_path / "updown", made.caption_state(WIDTH))
    made.save_caption_transformer(tmp_path / "wordless", made.caption_state(WIDTH), "pth")
    (tmp_path / "wordless" / "infos_trans-best.pkl").unlink()
    import torch

    torch.save({"lstm.weight": torch.ones(2)}, tmp_path / "other" / "model.pth")
    (tmp_path / "other" / "words.json").write_text('{"ix_to_word": {"1": "a"}}')
    assert "13 wide, and these are 12 wide" in refused("region_captions", "whole", regions=regions)
    assert "needs region features" in refused("region_captions", "whole")
    assert "has no words" in refused("region_captions", "wordless", regions=regions)
    assert "exactly one checkpoint" in refused("region_captions", "empty", regions=regions)
    assert "it is not a Transformer captioner" in refused("region_captions", "other", regions=regions)
    assert "not a CLIP with a ResNet" in refused("clip_reward", "whole", grid=str(save_clip(tmp_path / "empty")))
    with pytest.raises(FeatureError, match="needs a folder"):
        load(CARDS["clip_reward"])


@pytest.mark.parametrize("name", ["model.tgt_embed.1.pe", "model.decoder.layers.1.src_attn.linears.3.bias"])
def test_checkpoint_that_lacks_a_tensor_is_refused_before_the_first_photo(
    name: str, tmp_path: Path, regions: str
) -> None:
    state = made.caption_state(WIDTH)
    assert name in state
    del state[name]
    folder = made.save_caption_transformer(tmp_path, state)
    options = {"regions": regions, "candidates": 1, "scorer": None}
    with pytest.raises(FeatureError, match=re.escape(name)):
        load(CARDS["region_captions"], pretrained=str(folder), options=options)


def test_more_words_than_positions_are_refused(tmp_path: Path, regions: str) -> None:
    folder = made.save_caption_transformer(tmp_path, made.caption_state(WIDTH))
    options = {"regions": regions, "candidates": 1, "scorer": None, "max_new_tokens": 100_000}
    with pytest.raises(BadOption, match="--set max_new_tokens="):
        load(CARDS["region_captions"], pretrained=str(folder), options=options)
