"""Captions from their cache to the figures: every evaluation setting and mix training, by the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import classifiers
from cache import FeatureFile
from features.card import Card
from features.encoders.encoder import Encoder
from pipeline.datasets import open_dataset
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.runs.visibility import EVAL_SETTINGS, Visibility
from tests.pipeline.conftest import Run


class Colours(Encoder):
    """Names the strongest colours of a photo's nine fields."""

    modalities = ("image",)
    views = {"image/truncated": (1,)}
    captions = {"colours": "image"}
    identity = {"version": 1}

    def prepare(self, image: Any) -> np.ndarray:
        return np.asarray(image.convert("RGB").resize((3, 3)), dtype=np.float32)

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        fields = batch.reshape(len(batch), 9, 3)
        names = ("red", "green", "blue")
        said = [
            " ".join(f"{names[int(field.argmax())]}{i}{'bright' if field.mean() > 128 else 'dark'}" for i, field in row)
            for row in (list(enumerate(fields_of)) for fields_of in fields)
        ]
        return {"image/truncated": np.zeros((len(batch), 1), np.float32), "captions/colours": np.array(said, object)}


@pytest.fixture
def flags(run: Run, tmp_path: Path) -> list[str]:
    """A drawn corpus with classic features of tweets, photos and captions in ./cache."""
    from pipeline.sample import make_sample

    make_sample(tmp_path / "corpus", posts=160)
    where = ["--data", "corpus", "--cache", "cache"]
    posts = open_dataset(None, Path("corpus"), cache=Path("cache"))
    card = Card("colours", "for tests", ("image",), {}, "nowhere:load", "MIT")
    extract(posts, card, Colours(), Path("cache"), Options(), "crisis")
    for text in ("tweet", "caption:colours"):
        code, _, said = run("extract", "--model", "classic", "--text", text, *where, "-q")
        assert code == 3, said
    return where


def fit(run: Run, flags: Sequence[str], *more: str) -> dict[str, Any]:
    train = ["--head", "cmb", "--seeds", "1", "--set", "max_epochs=2", "--set", "width=8", "--workers", "1", "--json"]
    code, out, said = run("fit-head", *train, *flags, *more)
    assert code == 0, said
    return json.loads(out)


def models(setting: str) -> list[str]:
    return [word for view in EVAL_SETTINGS[setting].train for word in (f"--{view}", "classic")]


def answers(found: dict[str, Any]) -> pandas.DataFrame:
    frame = pandas.read_parquet(Path(found["run"]) / "predictions.parquet")
    return frame[frame["split"] == "test"].reset_index(drop=True)


def shown_to(found: dict[str, Any], posts: Sequence[str], views: Sequence[str]) -> dict[str, np.ndarray]:
    """The vectors of the run's views for `posts`, zeros for those that are not in `views`."""
    result = {}
    for view, label in found["views"].items():
        stem, _, name = label.partition(":")
        with FeatureFile.open(Path("cache/crisismmd") / f"{stem}.h5") as file:
            vectors = file.take(name, file.rows_of(list(posts)))
        result[view] = vectors if view in views else np.zeros_like(vectors)
    return result


def test_every_setting_shows_its_views_in_training_and_its_own_in_asking_and_analysis_knows(
    run: Run, flags: list[str]
) -> None:
    for name, setting in EVAL_SETTINGS.items():
        found = fit(run, flags, "--eval-setting", name, *models(name))
        assert (found["eval_setting"], set(found["views"])) == (name, set(setting.train))
        head = classifiers.load(Path(found["run"]) / "heads" / "seed-0")
        frame = answers(found)
        expected = head.predict_proba(shown_to(found, frame["post_id"], setting.test))
        told = frame[[column for column in frame if column.startswith("p(")]].to_numpy()
        np.testing.assert_allclose(told, expected, rtol=0, atol=1e-6)
        if len(setting.train) > 1:
            code, out, said = run("analyse", found["run"], "--cache", "cache", "--json")
            if len(setting.test) > 1:
                assert json.loads(out)["accuracy"]["mean"] == pytest.approx(found["test"]["accuracy"]["mean"])
            else:
                assert (code, json.loads(out)["exit_code"]) == (2, 2)
                assert f"was asked with one view, {setting.test[0]} (--eval-setting {name})" in said
        if setting.test != setting.train:
            both = head.predict_proba(shown_to(found, frame["post_id"], setting.train))
            assert np.abs(told - both).max() > 1e-4


def test_mix_training_changes_what_is_trained_and_not_what_is_asked(run: Run, flags: list[str]) -> None:
    views = models("TC_TC")
    by_share = {share: answers(fit(run, flags, *views, "--mix-share", share)) for share in ("0", "50", "100")}
    all_kept = answers(fit(run, flags, *views))
    columns = [column for column in all_kept if column.startswith("p(")]
    pandas.testing.assert_frame_equal(by_share["100"], all_kept)
    for share in ("0", "50"):
        assert np.abs(by_share[share][columns] - all_kept[columns]).to_numpy().max() > 1e-4


def test_captions_may_also_stand_beside_the_tweet_in_one_text(run: Run, flags: list[str]) -> None:
    code, _, said = run("extract", "--model", "classic", "--text", "tweet+caption:colours", *flags, "-q")
    assert code == 3, said
    code, _, said = run("fit-head", "--head", "cmb", "--text", "classic", *flags)
    assert code == 2
    assert "(tweet)" in said
    assert "(tweet+caption:colours@" in said
    stems = [path.stem for path in Path("cache/crisismmd").glob("classic@*.h5")]
    of_both = next(stem for stem in stems if f"{stem} (tweet+caption" in said)
    assert fit(run, flags, "--text", of_both)["views"] == {"text": f"{of_both}:text/hashed"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--eval-setting", "TC_T", "--text", "classic"], "needs a caption model; give it with --caption"),
        (["--eval-setting", "T_T", "--text", "classic", "--caption", "classic"], "does not use --caption"),
        (["--eval-setting", "X_Y", "--text", "classic"], "no eval-setting 'X_Y'"),
        (["--text", "classic", "--mix-share", "50"], "--mix-share takes captions away"),
        (["--text", "classic", "--caption", "classic", "--mix-share", "101"], "percentage from 0 to 100"),
        (["--caption", "bert"], "no 'bert' features of the captions of 'crisismmd'.*--text caption:NAME"),
    ],
)
def test_settings_that_do_not_fit_the_views_are_one_sentence(
    run: Run, flags: list[str], more: list[str], words: str
) -> None:
    import re

    code, _, said = run("fit-head", "--head", "cmb", *flags, *more)
    assert code in (1, 2)
    assert re.search(words, said), said


def test_views_that_are_all_shown_are_not_copied() -> None:
    views = {"text": np.ones((3, 2)), "caption": np.ones((3, 2))}
    assert Visibility().apply(views).arrays["text"] is views["text"]
    hidden = Visibility("TC_T", 50.0).apply(views)
    # asked without captions and trained without captions is one block
    assert (hidden.blocks, hidden.asked_block, hidden.mixed_block) == (2, 1, 1)
    np.testing.assert_array_equal(hidden.arrays["caption"], [[1, 1]] * 3 + [[0, 0]] * 3)
    rows = hidden.trained_rows(np.arange(3), seed=0)
    assert sorted(rows % 3) == [0, 1, 2]
    assert (rows >= 3).sum() == 1
    with pytest.raises(UsageError, match="does not use"):
        Visibility("T_T").apply(views)
