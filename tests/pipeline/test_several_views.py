"""Several views of one modality, named with commas: other views, other caches and other models side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest

import classifiers
from cache import FeatureFile
from features.card import Card
from features.encoders.classic import Classic
from features.text import Text
from pipeline.datasets import open_dataset
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.runs.sources import Source, find_sources
from pipeline.runs.views import load_views
from pipeline.runs.visibility import Visibility
from tests.pipeline.conftest import Run


class Words(Classic):
    """A vector for each of the first five words, and two that are made of all."""

    modalities = ("text",)
    views = {"text/tokens": (5, 8), "text/layer-0": (8,), "text/layer-1": (8,)}
    identity = {"version": 1}

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        tokens = np.zeros((len(texts), 5, 8), np.float32)
        for row, text in enumerate(texts):
            for place, word in enumerate(str(text).split()[:5]):
                tokens[row, place] = np.random.default_rng(list(word.encode())).normal(size=8)
        return {"text/tokens": tokens, "text/layer-0": tokens.mean(axis=1), "text/layer-1": tokens.max(axis=1)}


class Stranger(Words):
    """Another model with views of the same names."""

    identity = {"version": 2}


MODELS = {"words": Words, "stranger": Stranger}


@pytest.fixture
def corpus(run: Run, tmp_path: Path) -> Posts:
    """A drawn corpus in ./corpus with the texts of two models in ./cache, of one in two precisions."""
    from pipeline.sample import make_sample

    make_sample(Path("corpus"), posts=120)
    posts = open_dataset(None, Path("corpus"), cache=Path("cache"))
    for model, encoder in MODELS.items():
        card = Card(model, "for tests", ("text",), {"text": "text/layer-1"}, "nowhere:load", "MIT")
        for precision in ("fp32", "fp16") if model == "words" else ("fp32",):
            extract(posts, card, encoder(), Path("cache"), Options(precision=precision), "crisis extract")
    return posts


def stems(posts: Posts) -> list[str]:
    """The two caches of the model `words`."""
    return sorted(path.stem for path in (Path("cache") / posts.name).glob("words@*.h5"))


def named(posts: Posts, text: str, image: str | None = None) -> list[Source]:
    """The sources of `--text`; W and V stand for the two caches of the model `words`."""
    one, other = stems(posts)
    return find_sources(posts, Path("cache"), image, text.replace("W", one).replace("V", other))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("stranger", ["text"]),
        ("stranger:text/tokens", ["text"]),
        ("stranger:text/layer-*", ["text/layer-0", "text/layer-1"]),
        ("W:text/tokens,W:text/layer-*", ["text/tokens", "text/layer-0", "text/layer-1"]),
        ("W:text/tokens, V:text/layer-0", ["text/tokens", "text/layer-0"]),
        ("W,stranger", ["text/words/layer-1", "text/stranger/layer-1"]),
        ("W:text/tokens,W,stranger", ["text/words/tokens", "text/words/layer-1", "text/stranger/layer-1"]),
        ("W,V,stranger", ["text/W/layer-1", "text/V/layer-1", "text/stranger@/layer-1"]),
        # a view that is named twice, by itself, by default or by a star, counts once
        ("stranger,stranger", ["text"]),
        ("stranger,stranger:text/layer-1", ["text"]),
        ("stranger:text/layer-0*,stranger:text/layer-0", ["text/layer-0"]),
        ("stranger:text/layer-0,stranger:text/layer-0*", ["text/layer-0"]),
        ("stranger,stranger:text/layer-*", ["text/layer-1", "text/layer-0"]),
    ],
)
def test_views_of_one_modality_have_names_that_differ(corpus: Posts, text: str, names: list[str]) -> None:
    one, other = stems(corpus)
    (stranger,) = (path.stem for path in Path("cache").glob("*/stranger@*.h5"))
    expected = [name.replace("W", one).replace("V", other).replace("stranger@", stranger) for name in names]
    assert [source.name for source in named(corpus, text)] == expected
    # the order in which they are named changes no name
    turned = ",".join(reversed(text.split(",")))
    assert {source.label: source.name for source in named(corpus, text)} == {
        source.label: source.name for source in named(corpus, turned)
    }


def test_one_view_is_what_it_was_before_there_could_be_several(corpus: Posts) -> None:
    one = stems(corpus)[0]
    path = Path("cache") / corpus.name / f"{one}.h5"
    assert named(corpus, "W:text/tokens") == [Source("text", "words", "text/tokens", path)]
    (found,) = named(corpus, "W")
    assert (found.name, found.label) == ("text", f"{one}:text/layer-1")


def test_each_name_holds_its_own_view(corpus: Posts) -> None:
    sources = named(corpus, "W:text/tokens,stranger:text/tokens,stranger:text/layer-*")
    views = load_views(corpus, sources, np.arange(len(corpus)))
    assert set(views.arrays) == set(views.fingerprints) == {source.name for source in sources}
    for source in sources:
        with FeatureFile.open(source.path) as file:
            expected = file.take(source.view, file.rows_of(corpus.ids))
            assert views.fingerprints[source.name] == file.fingerprint
        np.testing.assert_array_equal(views.arrays[source.name][np.arange(len(corpus))], expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("W,,stranger", "--text '.*,,stranger' has an empty name in it; write MODEL:VIEW,MODEL:VIEW"),
        ("stranger,", "has an empty name in it"),
        ("stranger,words", "several 'words' caches"),
        ("stranger,dinov2", "The model 'dinov2' has no text features"),
        ("stranger,stranger:text/none-*", r"no pooled text view 'text/none-\*'"),
    ],
)
def test_what_cannot_be_found_is_one_sentence(corpus: Posts, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        named(corpus, text)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("attention_pool", "W:text/tokens,stranger:text/layer-*"),
        ("attention_pool", "W:text/tokens,stranger:text/tokens"),
        ("concat", "W,stranger"),
        ("guided_ca", "W,stranger"),
        ("logistic", "W:text/layer-*,V:text/layer-0"),
    ],
)
def test_a_head_reads_them_all_by_the_command_line(run: Run, corpus: Posts, head: str, text: str) -> None:
    one, other = stems(corpus)
    spec = text.replace("W", one).replace("V", other)
    flags = ["--data", "corpus", "--cache", "cache", "--head", head, "--seeds", "1", "--workers", "1"]
    more = [] if head == "logistic" else ["--set", "max_epochs=2"]
    code, out, said = run("fit-head", *flags, *more, "--text", spec, "--eval-setting", "T_T", "--json")
    assert code == 0, said
    found = json.loads(out)
    assert found["views"] == {source.name: source.label for source in named(corpus, text)}
    frame = pandas.read_parquet(Path(found["run"]) / "predictions.parquet")
    frame = frame[frame["split"] == "test"]
    views = {}
    for name, label in found["views"].items():
        stem, _, view = label.partition(":")
        with FeatureFile.open(Path("cache") / corpus.name / f"{stem}.h5") as file:
            views[name] = file.take(view, file.rows_of(frame["post_id"].tolist()))
    trained = classifiers.load(Path(found["run"]) / "heads" / "seed-0")
    told = frame[[column for column in frame if column.startswith("p(")]].to_numpy()
    np.testing.assert_allclose(trained.predict_proba(views), told, rtol=0, atol=1e-6)
    for name in views:
        without = {**views, name: np.zeros_like(views[name])}
        assert np.abs(trained.predict_proba(without) - told).max() > 1e-4, name


def test_a_setting_shows_and_hides_all_views_of_a_modality() -> None:
    names = ("text/a", "text/b", "caption/words/a", "caption/stranger/a")
    hidden = Visibility("TC_T").apply({name: np.ones((3, 2)) for name in names})
    rows = hidden.asked_rows(np.arange(3))
    for name in names:
        assert hidden.arrays[name][:3].all()
        assert hidden.arrays[name][rows].all() == name.startswith("text"), name
