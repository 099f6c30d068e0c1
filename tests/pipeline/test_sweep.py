"""A sweep is the same runs as one command per head, over views that are read once."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from classifiers import HeadError
from pipeline import fit as stage
from pipeline.cli.options import parameters
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.extract import Options, extract
from pipeline.fit import Fitted, choose_sources, fit_head, fit_matrix
from pipeline.splits import choose_protocol
from tests.pipeline.support import Counting, classic_card, make_posts


@pytest.fixture
def posts(tmp_path: Path) -> Posts:
    posts = make_posts(tmp_path / "data", count=240, photos=40)
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    return posts


def test_a_matrix_gives_each_run_as_alone_and_reads_once(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = choose_sources(posts, tmp_path / "cache", "mlp", model=None, image="classic", text="classic")
    protocol, runs, reads = choose_protocol(posts), tmp_path / "runs", []
    load = stage.load_views
    monkeypatch.setattr(stage, "load_views", lambda *given: reads.append(1) or load(*given))
    params = {"preset": "paper", "max_epochs": 2.0}
    found = list(fit_matrix(posts, [protocol], ["mlp", "guided_ca"], sources, range(2), runs, params=params))
    assert len(reads) == 1
    for run in found:
        assert isinstance(run, Fitted)
        alone = fit_head(posts, protocol, run.config["head"], sources, range(2), tmp_path / "alone", params=params)
        assert (alone.config, alone.evaluation) == (run.config, run.evaluation)
        frames = [pandas.read_parquet(one.run / "predictions.parquet") for one in (alone, run)]
        pandas.testing.assert_frame_equal(*frames)
        assert run.as_json()["preset"] == "paper"
        assert json.loads((run.run / "config.json").read_text())["preset"] == "paper"


def test_a_head_that_cannot_be_trained_leaves_the_others_be(posts: Posts, tmp_path: Path) -> None:
    sources = choose_sources(posts, tmp_path / "cache", "mlp", model=None, image="classic", text="classic")
    given = ([choose_protocol(posts)], ["mlp", "logistic"], sources, range(1), tmp_path / "runs")
    found = list(fit_matrix(posts, *given, params={"lr": 1e30}))
    # the rate is no parameter of logistic, and mlp diverges with it: both fail, each by its own sentence
    assert all(isinstance(error, HeadError) for error in found)
    assert "diverged" in str(found[0])
    assert "no parameter 'lr'" in str(found[1])


def test_settings_are_read_as_numbers_lists_and_words() -> None:
    assert parameters("fast", ["lr=1e-2", "c-grid=0.1,1", "optimiser=sgd"]) == {
        "preset": "fast",
        "lr": 0.01,
        "c_grid": (0.1, 1.0),
        "optimiser": "sgd",
    }
    with pytest.raises(UsageError, match="--set takes NAME=VALUE"):
        parameters("fast", ["lr"])
