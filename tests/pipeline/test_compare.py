"""Runs of different commands are compared on the posts that all were asked about, or refused in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from classifiers.significance import Answers, interval
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.compare import compare
from pipeline.runs.fuse import fuse_runs
from pipeline.runs.leaderboard import leaderboard
from pipeline.runs.run import Run
from pipeline.runs.sources import choose_sources
from tests.pipeline.conftest import Run as Command
from tests.pipeline.support import Counting, classic_card, fit_run, make_posts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Posts, Path]:
    """Posts of which every seventh has no photo, with noise in their labels, and the folder of their features."""
    folder = tmp_path_factory.mktemp("compare")
    posts = make_posts(folder / "data", count=160, photos=30)
    rng = np.random.default_rng(0)
    labels = [str(rng.choice(["a", "b"])) if rng.random() < 0.6 else one for one in posts.labels["label"]["pair"]]
    images = ["" if number % 7 == 0 else image for number, image in enumerate(posts.images)]
    posts = replace(posts, labels={"label": {"pair": labels}}, images=images)
    extract(posts, classic_card(), Counting(), folder / "cache", Options(), "crisis extract")
    return posts, folder


def fitted(
    made: tuple[Posts, Path],
    modality: str,
    *,
    seeds: range = range(2),
    head: str = "prototype",
    split_seed: int | None = 0,
) -> Run:
    posts, folder = made
    sources = choose_sources(posts, folder / "cache", head, **{modality: "classic"})  # type: ignore[arg-type]
    protocol = choose_protocol(posts, split_seed=split_seed)
    return fit_run(posts, protocol, head, sources, seeds, folder / "runs")


def test_runs_over_the_same_posts_stand_as_in_the_leaderboard_of_a_sweep(made: tuple[Posts, Path]) -> None:
    runs = [fitted(made, "text"), fitted(made, "text", head="concat"), fitted(made, "text", head="logistic")]
    found = compare(runs, "accuracy")
    assert found.rows == leaderboard(runs, "accuracy")
    assert found.posts == found.every
    assert list(found.notes) == []


@pytest.mark.parametrize("split_seed", [0, None], ids=["one split", "a split per seed"])
def test_only_common_posts_count_when_asked_and_their_number_is_said(
    made: tuple[Posts, Path], split_seed: int | None
) -> None:
    text, image = (fitted(made, modality, split_seed=split_seed) for modality in ("text", "image"))
    with pytest.raises(UsageError, match=r"Only \d+ of \d+ dev and test posts are in all of the runs; --on-common"):
        compare([text, image])
    found = compare([text, image], on_common=True)
    assert 0 < found.posts < found.every
    frames = [run.predictions for run in (text, image)]
    keys = ["seed", "fold", "split", "post_id"]
    shared = frames[0].merge(frames[1], on=keys, suffixes=("", "_other"))
    rows = {row["run"]: row for row in found.rows}
    for run, column in ((text, "predicted"), (image, "predicted_other")):
        for part in ("dev", "test"):
            own = shared[shared["split"] == part]
            by_seed = [f1_score(f["label"], f[column], average="macro") for _, f in own.groupby("seed")]
            assert rows[str(run.folder)][part] == pytest.approx(np.mean(by_seed), abs=1e-12)
        tested = shared[shared["split"] == "test"]
        numbers = {post: number for number, post in enumerate(dict.fromkeys(tested["post_id"]))}
        answers = Answers(
            tested["seed"].to_numpy(),
            tested["post_id"].map(numbers).to_numpy(np.int64),
            *((tested[name] == "b").to_numpy(np.int64) for name in ("label", column)),
            n_classes=2,
        )
        told = (rows[str(run.folder)]["test_low"], rows[str(run.folder)]["test_high"])
        assert told == pytest.approx(interval(answers), abs=1e-12)


def test_a_fusion_is_compared_with_what_it_is_made_of(made: tuple[Posts, Path], tmp_path: Path) -> None:
    text, image = fitted(made, "text"), fitted(made, "image")
    fused = fuse_runs([text, image], "mean", None, tmp_path)
    found = compare([text, image, fused], on_common=True)
    assert {row["head"] for row in found.rows} == {"prototype", "decision_mean"}
    assert next(row for row in found.rows if row["head"] == "decision_mean")["test"] == pytest.approx(
        fused.test("macro_f1")["mean"], abs=1e-12
    )


def test_what_cannot_be_compared_is_refused(made: tuple[Posts, Path], tmp_path: Path) -> None:
    posts, folder = made
    text = fitted(made, "text")
    with pytest.raises(UsageError, match="two different run folders"):
        compare([text, text])
    with pytest.raises(UsageError, match="differ in their task: label and other"):
        compare([text, replace(text, folder=tmp_path, config=replace(text.config, task="other"))])
    with pytest.raises(UsageError, match="no seed in common"):
        compare([text, fitted(made, "text", seeds=range(5, 7))])
    swapped = [{"a": "b", "b": "a"}[label] for label in posts.labels["label"]["pair"]]
    other = fitted((replace(posts, labels={"label": {"pair": swapped}}), folder), "text")
    with pytest.raises(UsageError, match=r"know \d+ common posts under different labels, post-\d+ as [ab] and [ab];"):
        compare([text, other])


def test_different_seeds_are_said(made: tuple[Posts, Path]) -> None:
    found = compare([fitted(made, "text"), fitted(made, "text", seeds=range(1, 4), head="concat")])
    assert list(found.notes) == ["the runs have different seeds; p over posts is of the 1 that all have"]
    assert {row["p_seeds"] for row in found.rows} == {None}


def test_the_command_prints_the_table_or_json(made: tuple[Posts, Path], run: Command) -> None:
    text, image = str(fitted(made, "text").folder), str(fitted(made, "image").folder)
    code, _, err = run("compare", text, image)
    assert (code, "--on-common" in err) == (2, True)
    code, page, _ = run("compare", text, image, "--on-common")
    assert code == 0
    assert "dev and test posts that are in all of the runs" in page
    assert all(Path(folder).name in page for folder in (text, image))
    code, out, _ = run("compare", text, image, "--on-common", "--metric", "accuracy", "--json")
    answer = json.loads(out)
    assert (code, len(answer["leaderboard"]), answer["leaderboard"][0]["metric"]) == (0, 2, "accuracy")
    assert answer["posts"] < answer["of"]
