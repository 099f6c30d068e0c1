"""Pairs, captions and knowledge through stage one: each distinct pair once, captions kept, encoded and never stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache import FeatureFile
from features.card import Card
from features.encoders.classic import Classic
from features.encoders.encoder import Encoder
from features.text import Text
from pipeline.datasets.posts import Posts
from pipeline.datasets.tabular import Columns, read_posts
from pipeline.errors import CrisisError, UsageError
from pipeline.extraction.extract import Extracted, Options, extract
from pipeline.inputs.texts import text_source
from pipeline.runs.sources import Source, find_sources
from pipeline.runs.views import load_views
from tests.pipeline.support import classic_card, make_posts


def card(name: str, modality: str) -> Card:
    return Card(name, "for tests", (modality,), {}, "nowhere:load", "MIT")


class Describer(Encoder):
    """Describes photo and text of a post: the photo's mean colour and the text's length."""

    modalities = ("joint",)
    views = {"joint/truncated": (1,)}
    captions = {"describer": "joint"}
    identity = {"version": 1}

    def __init__(self) -> None:
        self.prepared = 0
        self.pairs: list[Text] = []

    def prepare(self, image: Any) -> np.ndarray:
        self.prepared += 1
        return np.asarray(image.resize((1, 1)), dtype=np.float32).reshape(3)

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        self.pairs += texts
        said = [f"{'red' if row[0] > row[2] else 'blue'} é {text}" for row, text in zip(batch, texts, strict=True)]
        return {"joint/truncated": np.zeros((len(batch), 1), np.float32), "captions/describer": np.array(said, object)}


class Listening(Classic):
    """Keeps the texts that it was given."""

    def __init__(self) -> None:
        self.heard: list[Text] = []

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        self.heard += texts
        return super().encode_texts(texts)


def describe(posts: Posts, cache: Path, encoder: Describer | None = None, **options: Any) -> Extracted:
    return extract(posts, card("describer", "joint"), encoder or Describer(), cache, Options(**options), "crisis")


def listen(posts: Posts, cache: Path, **options: Any) -> tuple[Extracted, list[Text]]:
    encoder = Listening()
    return extract(posts, classic_card(), encoder, cache, Options(**options), "crisis"), encoder.heard


def test_each_distinct_pair_is_encoded_once_and_each_photo_prepared_once_per_batch(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    encoder = Describer()
    result = describe(posts, tmp_path / "cache", encoder, batch_size=64)
    distinct = set(zip(posts.images, posts.texts, strict=True))
    assert (len(encoder.pairs), result.encoded) == (len(distinct), {"image": 0, "text": 0, "joint": len(distinct)})
    assert encoder.prepared == len(set(posts.images))
    with FeatureFile.open(result.file) as file:
        said = file.captions("describer").to_list()
    colours = [("red" if text.startswith("sunny") else "blue") for text in posts.texts]
    assert said == [f"{colour} é {text}" for colour, text in zip(colours, posts.texts, strict=True)]


def test_captions_survive_growth_and_a_second_run(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    describe(posts.head(25), tmp_path / "cache")
    describe(posts, tmp_path / "cache")
    again = Describer()
    result = describe(posts, tmp_path / "cache", again)
    assert (result.reused, again.pairs) == (60, [])
    changed = replace(posts, texts=[*posts.texts[:7], "new", *posts.texts[8:]])
    once = Describer()
    whole = describe(changed, tmp_path / "cache", once)
    assert once.pairs == ["new"]
    with FeatureFile.open(whole.file) as file, FeatureFile.open(describe(changed, tmp_path / "other").file) as fresh:
        assert file.captions("describer").to_list() == fresh.captions("describer").to_list()


def test_a_bad_half_makes_a_bad_pair_and_costs_its_own_row(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=6)
    posts = replace(posts, images=[f"images/{i}.png" for i in range(6)], texts=["a", "b", " ", "d", "e", "f"])
    (tmp_path / "data/images/0.png").write_bytes(b"broken")
    (tmp_path / "data/images/1.png").unlink()
    result = describe(posts, tmp_path / "cache")
    assert result.bad == {"image undecodable": 1, "image missing": 1, "empty text": 1}
    with FeatureFile.open(result.file) as file:
        assert [bool(text) for text in file.captions("describer")] == [False] * 3 + [True] * 3


def test_blank_policy_pairs_a_white_photo_with_the_posts_own_text(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=6)
    posts = replace(posts, images=[f"images/{i}.png" for i in range(6)], texts=["a", "b", " ", "d", "a", "f"])
    for broken in (0, 2, 4):
        (tmp_path / f"data/images/{broken}.png").write_bytes(b"broken")
    (tmp_path / "data/images/1.png").unlink()
    encoder = Describer()
    result = describe(posts, tmp_path / "cache", encoder, on_error="blank", batch_size=1)
    assert result.bad == {"replaced by a blank image": 3, "empty text": 1}
    assert sorted(encoder.pairs) == ["a", "b", "d", "f"], "one white photo per distinct text"
    with FeatureFile.open(result.file) as file:
        said = file.captions("describer").to_list()
        assert np.isfinite(file.take("joint/truncated", np.arange(6))[:, 0]).tolist() == [i != 2 for i in range(6)]
    assert [said[i] for i in (0, 1, 2, 4)] == ["blue é a", "blue é b", "", "blue é a"]
    assert describe(posts, tmp_path / "cache").bad == {"image undecodable": 2, "image missing": 1, "empty text": 1}
    assert describe(posts, tmp_path / "cache", on_error="blank").bad == result.bad


def test_tweet_is_cleaned_before_the_caption_is_appended_and_segments_stay_apart(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=4, photos=4)
    posts = replace(posts, texts=["RT @a: FLOOD https://t.co/x1", "b", "c", "d"])
    said = describe(posts, tmp_path / "cache")
    _, heard = listen(posts, tmp_path / "cache", text="tweet+caption:describer", cleaner="002")
    with FeatureFile.open(said.file) as file:
        captions = file.captions("describer").to_list()
    assert "https://t.co/x1" in captions[0]
    assert set(heard) == set(zip(["rt @a: flood link", "b", "c", "d"], captions, strict=True))
    _, alone = listen(posts, tmp_path / "cache", text="caption:describer", cleaner="002")
    assert set(alone) == set(captions)


def test_texts_of_other_make_have_other_fingerprints(tmp_path: Path) -> None:
    posts = replace(make_posts(tmp_path / "data", count=4, photos=4), knowledge=["k1", "k1", "", "k2"])
    describe(posts, tmp_path / "cache")
    forms = ("tweet", "caption:describer", "tweet+caption:describer", "knowledge", "tweet+knowledge")
    results = [listen(posts, tmp_path / "cache", text=form)[0] for form in forms]
    assert len({result.file for result in results}) == len(forms)
    assert results[3].bad == {"empty text": 1}
    assert results[4].bad == {}


def test_post_without_a_caption_is_bad_for_the_captions_reason(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=4, photos=4)
    posts = replace(posts, images=[f"images/{i}.png" for i in range(4)])
    photo = tmp_path / "data/images/2.png"
    data = photo.read_bytes()
    photo.write_bytes(b"broken")
    describe(posts, tmp_path / "cache")
    photo.write_bytes(data)
    result, _ = listen(posts, tmp_path / "cache", text="tweet+caption:describer")
    assert result.bad == {"image undecodable": 1}


def test_changed_caption_recomputes_its_row_and_training_refuses_until_then(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=6)
    posts = replace(posts, images=[f"images/{i}.png" for i in range(6)], texts=list("abcdef"))
    describe(posts, tmp_path / "cache")
    result, _ = listen(posts, tmp_path / "cache", text="caption:describer")
    source = Source("text", "classic", "text/hashed", result.file)
    assert load_views(posts, [source], np.arange(6)).usable.all()
    (tmp_path / "data/images/3.png").write_bytes((tmp_path / "data/images/4.png").read_bytes())
    changed = replace(posts, texts=["a", "b", "c", "z", "e", "f"])
    describe(changed, tmp_path / "cache")
    with pytest.raises(CrisisError, match="1 posts have another text now"):
        load_views(changed, [source], np.arange(6))
    _, heard = listen(changed, tmp_path / "cache", text="caption:describer")
    assert len(heard) == 1


def test_joint_view_stands_in_the_place_of_one_modality(tmp_path: Path) -> None:
    joint = replace(card("describer", "joint"), default_views={"joint": "joint/truncated"})
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    extract(posts, joint, Describer(), tmp_path / "cache", Options(), "crisis")
    listen(posts, tmp_path / "cache")
    sources = find_sources(posts, tmp_path / "cache", "describer", "classic")
    views = load_views(posts, sources, np.arange(6))
    assert {name: array.shape for name, array in views.arrays.items()} == {"joint": (6, 1), "text": (6, 1024)}
    with pytest.raises(UsageError, match="Only one of"):
        find_sources(posts, tmp_path / "cache", "describer", "describer")
    describe(posts, tmp_path / "other")
    with pytest.raises(UsageError, match="--text caption:describer"):
        find_sources(posts, tmp_path / "other", "describer", None)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("caption:nobody", "run: crisis extract --model nobody"),
        ("caption", "is no text that can be encoded"),
        ("caption:a+tweet", "is no text that can be encoded"),
        ("tweet+tweet", "is no text that can be encoded"),
        ("knowledge", "--knowledge-column"),
        ("caption:classic", "classic@"),
    ],
)
def test_text_that_is_not_there_is_one_sentence(spec: str, sentence: str, tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=4, photos=4)
    if spec == "caption:classic":
        listen(posts, tmp_path / "cache")
    with pytest.raises(UsageError) as caught:
        text_source(posts, spec, tmp_path / "cache")
    assert sentence in str(caught.value)


def test_knowledge_column_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("text,wiki\nfire in Napa,Napa is a county.\nhelp,\n", encoding="utf-8")
    posts = read_posts(tmp_path / "posts.csv", Columns(text="text", knowledge="wiki"))
    assert posts.knowledge == ["Napa is a county.", ""]
    assert text_source(posts, "tweet+knowledge", tmp_path).companions == posts.knowledge
    assert posts.head(1).knowledge == ["Napa is a county."]
    with pytest.raises(UsageError, match="--knowledge-column"):
        read_posts(tmp_path / "posts.csv", Columns(text="text", knowledge="wikipedia"))
