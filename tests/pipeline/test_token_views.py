"""Token views are read from their file post by post: the same answers as from memory, and never all at once."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from classifiers import HeadError, HeadSpec, Job, fit_many
from classifiers.shared import FileRows, Place
from features.card import Card
from features.encoders.classic import Classic
from features.text import Text
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.run import Run
from pipeline.runs.sources import Source, choose_sources
from pipeline.runs.views import load_views
from tests.pipeline.support import fit_run, make_posts


class Words(Classic):
    """A vector per word, at most five."""

    modalities = ("text",)
    views = {"text/tokens": (5, 16)}
    identity = {"version": 1}

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        tokens = np.zeros((len(texts), 5, 16), np.float32)
        for row, text in enumerate(texts):
            for place, word in enumerate(str(text).split()[:5]):
                tokens[row, place] = np.random.default_rng(list(word.encode())).normal(size=16)
        return {"text/tokens": tokens}


def card() -> Card:
    return Card("words", "for tests", ("text",), {"text": "text/tokens"}, "nowhere:load", "MIT")


@pytest.fixture
def posts(tmp_path: Path) -> Posts:
    return make_posts(tmp_path / "data", count=240, photos=40)


def source(posts: Posts, cache: Path) -> Source:
    return Source("text", "words", "text/tokens", extract(posts, card(), Words(), cache, Options(), "crisis").file)


def test_token_heads_train_on_what_stays_in_the_file(posts: Posts, tmp_path: Path) -> None:
    found = source(posts, tmp_path / "cache")
    wanted = np.arange(5, 240)[::-1]
    view = load_views(posts, [found], wanted).arrays["text"]
    assert isinstance(view, FileRows)
    expected = Words().encode_texts([posts.texts[post] for post in wanted])["text/tokens"]
    np.testing.assert_array_equal(view[np.arange(235)], expected)

    labels = np.array([post % 2 for post in wanted])
    jobs = [
        Job(HeadSpec("attention_pool", {"max_epochs": 2}), np.arange(100), np.arange(100, 200), 2, seed)
        for seed in (0, 1)
    ]
    for workers in (1, 2):
        of_file = fit_many(jobs, {"text": view}, labels, workers=workers)
        of_memory = fit_many(jobs, {"text": expected}, labels, workers=1)
        for one, other in zip(of_file, of_memory, strict=True):
            np.testing.assert_array_equal(one.predict_proba({"text": view}), other.predict_proba({"text": expected}))


def test_a_run_on_token_views_by_the_same_calls_as_on_pooled_ones(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(posts, tmp_path / "cache")
    sources = choose_sources(posts, tmp_path / "cache", "cmb", model=None, image=None, text="words")
    read: list[int] = []
    plain = FileRows.__getitem__
    monkeypatch.setattr(FileRows, "__getitem__", lambda self, rows: read.append(len(rows)) or plain(self, rows))
    monkeypatch.setattr("classifiers.tokens.SLAB_BYTES", 16 * 5 * 16 * 4)
    run = fit_run(posts, choose_protocol(posts), "cmb", sources, range(1), tmp_path / "runs", params={"max_epochs": 2})
    assert isinstance(run, Run)
    assert run.summary["test"]["accuracy"]["mean"] > 0.9
    # a slab or a batch at a time
    assert max(read) <= 128


def test_absent_posts_are_zeros_and_only_numbers_travel(posts: Posts, tmp_path: Path) -> None:
    view = load_views(posts, [source(posts, tmp_path / "cache")], np.arange(240)).arrays["text"]
    assert isinstance(view, FileRows)
    some = view.taking(np.array([7, -1, 3]))
    tokens = some[np.arange(3)]
    np.testing.assert_array_equal(tokens[[0, 2]], view[np.array([7, 3])])
    assert not tokens[1].any()
    sent = pickle.dumps(some)
    assert len(sent) < 2000
    np.testing.assert_array_equal(pickle.loads(sent)[np.arange(3)], tokens)


def test_a_file_that_changes_under_a_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "view"
    array = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    array.tofile(path)
    place = Place(str(path), 0, "<f4", (4, 3, 2))
    view = FileRows(place, np.arange(4))
    np.testing.assert_array_equal(view[np.array([2])], array[[2]])
    late = FileRows(place, np.arange(4))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(HeadError, match="was changed while it was in use"):
        late[np.array([0])]
    beyond = FileRows(Place(str(path), 0, "<f4", (9, 3, 2)), np.arange(9))
    with pytest.raises(HeadError, match="ends before its row 8"):
        beyond[np.array([8])]


def test_damaged_tokens_are_refused(posts: Posts, tmp_path: Path) -> None:
    from cache import CacheError

    found = source(posts, tmp_path / "cache")
    tokens = Words().encode_texts([posts.texts[0]])["text/tokens"].tobytes()
    raw = bytearray(found.path.read_bytes())
    raw[raw.index(tokens) + 3] ^= 1
    found.path.write_bytes(raw)
    with pytest.raises((CacheError, CrisisError), match="damaged"):
        load_views(posts, [found], np.arange(240))
