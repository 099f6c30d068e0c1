"""A sweep is the same runs as one command per head, over views that are read once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import stats

from classifiers import Balance, HeadError
from pipeline.cli.options import parameters
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs import material
from pipeline.runs.config import RunConfig
from pipeline.runs.leaderboard import leaderboard, write_leaderboard
from pipeline.runs.run import Run as Written
from pipeline.runs.sources import choose_sources
from tests.pipeline.conftest import Run
from tests.pipeline.support import Counting, classic_card, fit_run, fit_runs, make_posts


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
    load = material.load_views
    monkeypatch.setattr(material, "load_views", lambda *given: reads.append(1) or load(*given))
    params = {"preset": "paper", "max_epochs": 2.0}
    found = list(fit_runs(posts, [protocol], ["mlp", "guided_ca"], sources, range(2), runs, params=params))
    assert len(reads) == 1
    for run in found:
        assert isinstance(run, Written)
        alone = fit_run(posts, protocol, run.config.head, sources, range(2), tmp_path / "alone", params=params)
        assert (alone.config, alone.summary) == (run.config, run.summary)
        frames = [pandas.read_parquet(one.folder / "predictions.parquet") for one in (alone, run)]
        pandas.testing.assert_frame_equal(*frames)
        assert run.as_json()["preset"] == "paper"
        assert json.loads((run.folder / "config.json").read_text())["preset"] == "paper"


def test_folds_are_drawn_once_for_all_heads_of_a_protocol(posts: Posts, tmp_path: Path) -> None:
    sources = choose_sources(posts, tmp_path / "cache", "mlp", model=None, image="classic", text="classic")
    protocol, drawn = choose_protocol(posts), []
    counted = replace(protocol, folds=lambda seed: drawn.append(seed) or protocol.folds(seed))
    given = ([counted], ["prototype", "logistic"], sources, range(2), tmp_path / "runs")
    assert len(list(fit_runs(posts, *given, balances=[Balance(), Balance(sampling="over")], workers=1))) == 4
    assert drawn == [0, 1]


def test_a_head_that_cannot_be_trained_leaves_the_others_be(posts: Posts, tmp_path: Path) -> None:
    sources = choose_sources(posts, tmp_path / "cache", "mlp", model=None, image="classic", text="classic")
    given = ([choose_protocol(posts)], ["mlp", "logistic"], sources, range(1), tmp_path / "runs")
    found = list(fit_runs(posts, *given, params={"lr": 1e30}))
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


def swept(posts: Posts, tmp_path: Path, heads: list[str], keep: bool = True, seeds: int = 2) -> list[Written]:
    sources = choose_sources(posts, tmp_path / "cache", "mlp", model=None, image="classic", text="classic")
    given = ([choose_protocol(posts)], heads, sources, range(seeds), tmp_path / "runs")
    return [
        run
        for run in fit_runs(posts, *given, params={"preset": "fast"}, workers=1, keep=keep)
        if isinstance(run, Written)
    ]


def test_a_run_that_is_there_is_kept_and_one_of_another_configuration_is_trained(posts: Posts, tmp_path: Path) -> None:
    (first,) = swept(posts, tmp_path, ["prototype"])
    both = swept(posts, tmp_path, ["prototype", "logistic"])
    assert next(run.folder for run in both) == first.folder
    assert (both[0].config, both[0].summary) == (first.config, first.summary)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    (more,) = swept(posts, tmp_path, ["prototype"], seeds=3)
    assert more.folder != first.folder
    (anew,) = swept(posts, tmp_path, ["prototype"], keep=False)
    assert anew.folder != first.folder
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(precision="fp16"), "crisis extract")
    half = next(
        path.stem for path in (tmp_path / "cache" / "small").glob("classic@*.h5") if path.stem not in str(first)
    )
    sources = choose_sources(posts, tmp_path / "cache", "mlp", model=None, image=half, text=half)
    (other,) = fit_runs(posts, [choose_protocol(posts)], ["prototype"], sources, range(2), tmp_path / "runs", keep=True)
    assert isinstance(other, Written)
    assert other.config.fingerprints != first.config.fingerprints


def test_a_damaged_run_is_trained_again_and_stops_nothing(
    posts: Posts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = swept(posts, tmp_path, ["prototype", "logistic"])
    path = first.folder / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    again, kept = sorted(swept(posts, tmp_path, ["prototype", "logistic"]), key=lambda run: run == other)
    assert kept == other
    assert again.folder != first.folder
    assert again.summary == first.summary
    assert f"{first.folder} holds no whole run (predictions.parquet is not what was written" in capsys.readouterr().err


def one_run(posts: Posts, tmp_path: Path, **flags: str) -> Written:
    """The run of one head over the texts, from the folder where it is there already."""
    sources = choose_sources(posts, tmp_path / "cache", "logistic", model=None, image=None, text="classic")
    protocol = choose_protocol(posts, **flags)
    (found,) = fit_runs(posts, [protocol], ["prototype"], sources, range(2), tmp_path / "runs", workers=1, keep=True)
    assert isinstance(found, Written)
    return found


def test_a_run_is_not_kept_where_labels_groups_events_folds_or_vectors_are_others(posts: Posts, tmp_path: Path) -> None:
    first = one_run(posts, tmp_path)
    labels = ["ab"[label == "a"] for label in posts.labels["label"]["pair"]]
    others = {
        "labels": replace(posts, labels={"label": {"pair": labels}}),
        "groups": replace(posts, groups=[f"g{number % 50}" for number in range(len(posts))]),
        "events": replace(posts, events=posts.events[::-1]),
    }
    found = {first.folder} | {one_run(other, tmp_path).folder for other in others.values()}
    held_out = [one_run(posts, tmp_path, test_event=event) for event in ("one", "two")]
    found |= {run.folder for run in held_out}
    for run, event in zip(held_out, ("one", "two"), strict=True):
        assert run.summary["test"]["rows"] == posts.events.count(event)
    assert len(found) == 6
    assert one_run(posts, tmp_path).folder == first.folder
    turned = replace(posts, texts=[f"again {text}" for text in posts.texts])
    extract(turned, classic_card(), Counting(), tmp_path / "cache", Options(overwrite="always"), "crisis extract")
    assert one_run(turned, tmp_path).folder not in found


def test_leaderboard_chooses_on_dev_and_compares_with_the_best(posts: Posts, tmp_path: Path) -> None:
    runs = swept(posts, tmp_path, ["prototype", "logistic", "knn"])
    rows = leaderboard(runs, "weighted_f1")
    dev = [row["dev"] for row in rows]
    assert dev == sorted(dev, reverse=True)
    assert (rows[0]["gap"], rows[0]["p_posts"], rows[0]["differs"]) == (0.0, None, False)
    by_head = {run.config.head: run for run in runs}
    for row in rows:
        test = by_head[row["head"]].summary["test"]["weighted_f1"]
        assert (row["test"], row["test_sd"]) == (test["mean"], test["sd"])
        assert row["test_low"] <= row["test"] <= row["test_high"]
        assert row["rank"] == 1 or 0 < row["p_posts"] <= row["p_posts_holm"] <= 1
    path = write_leaderboard(tmp_path / "runs", rows)
    assert write_leaderboard(tmp_path / "runs", rows) == path
    frame = pandas.read_csv(path)
    assert frame["head"].tolist() == [row["head"] for row in rows]
    assert json.loads(path.with_suffix(".json").read_text())["leaderboard"] == rows


def written(folder: Path, right: float, seed: int) -> Written:
    """A run of two seeds over 300 posts, right with chance `right`, as far as a leaderboard reads it."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.array(["a", "b"])[np.arange(300) % 2], 2)
    predicted = np.where(rng.random(600) < right, label, np.where(label == "a", "b", "a"))
    rows = {"post_id": [f"p{i}" for i in range(300)] * 2, "seed": np.repeat([0, 1], 300), "fold": "", "split": "test"}
    unread = {"p(a)": 0.5, "p(b)": 0.5, "majority": "a", "event": "", "concordant": -1}
    folder.mkdir()
    frame = pandas.DataFrame({**rows, "label": label, "predicted": predicted, **unread})
    frame.to_parquet(folder / "predictions.parquet")
    found = {"mean": right, "sd": 0.0, "values": [right, right]}
    words = {"dataset": "small", "task": "label", "setting": "", "split": "", "head": "mlp", "preset": "fast"}
    config = RunConfig(
        **words,
        posts=300,
        classes=("a", "b"),
        parameters={},
        views={},
        fingerprints={},
        seeds=(0, 1),
        left_out={},
        notes=(),
    )
    part = {"macro_f1": found, "majority_macro_f1": 1 / 3}
    return Written(folder, config, {"dev": part, "test": part})


def test_a_run_far_behind_the_best_is_marked_however_many_runs_there_are(tmp_path: Path) -> None:
    best, behind = written(tmp_path / "best", 0.9, 0), written(tmp_path / "behind", 0.6, 1)
    rows = leaderboard([best, *[behind] * 130])
    assert [row["differs"] for row in rows] == [False] + [True] * 130


@pytest.mark.parametrize("fixed", [None, 0])
def test_p_over_seeds_is_corrected_where_each_seed_draws_its_test_posts(
    posts: Posts, tmp_path: Path, fixed: int | None
) -> None:
    labels = np.where(np.random.default_rng(0).random(240) < 0.3, "a", posts.labels["label"]["pair"]).tolist()
    noisy = replace(posts, labels={"label": {"pair": labels}})
    sources = choose_sources(noisy, tmp_path / "cache", "mlp", model=None, image="classic", text="classic")
    protocol = choose_protocol(noisy, split="group", split_seed=fixed)
    given = ([protocol], ["mlp", "concat"], sources, range(3), tmp_path / "runs")
    runs = [run for run in fit_runs(noisy, *given, workers=1) if isinstance(run, Written)]
    row = leaderboard(runs, "accuracy")[1]
    gaps = np.subtract(*(run.summary["test"]["accuracy"]["values"] for run in runs))
    folds = [protocol.folds(seed)[0] for seed in range(3)]
    shared = 0.0 if fixed is not None else np.mean([len(fold.test) / len(fold.train) for fold in folds])
    statistic = gaps.mean() / (gaps.std(ddof=1) * np.sqrt(1 / 3 + shared))
    assert row["p_seeds"] == pytest.approx(2 * stats.t.sf(abs(statistic), df=2))


def sweep_command(tmp_path: Path) -> list[str]:
    """A sweep of one quick and two longer heads over a small table, as a program of its own."""
    rows = [{"id": i, "text": f"{('help', 'other')[i % 2]} needed {i}", "label": "ab"[i % 2]} for i in range(300)]
    pandas.DataFrame(rows).to_csv(tmp_path / "posts.csv", index=False)
    flags = ["--data", "posts.csv", "--cache", "cache", "-q"]
    start = [sys.executable, "-m", "pipeline"]
    subprocess.run([*start, "extract", "--model", "classic", *flags], cwd=tmp_path, env=environment(), check=False)
    heads = ["--heads", "prototype,mlp,concat", "--text", "classic", "--seeds", "12", "--workers", "1"]
    return [*start, "sweep", *flags[:-1], *heads, "--output", "runs"]


@pytest.fixture
def table(run: Run, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """`crisis sweep` over the texts of a small table of which some rows share a group, as run(*flags)."""
    rng = np.random.default_rng(0)
    rows = [{"id": i, "text": f"{('help', 'other')[i % 2]} {i}", "label": "ab"[i % 2]} for i in range(120)]
    frame = pandas.DataFrame(rows).assign(group=rng.integers(0, 40, 120), noise=np.repeat(["a", "b"], [114, 6]))
    frame.to_csv(tmp_path / "posts.csv", index=False)
    flags = ("--data", "posts.csv", "--cache", "cache", "--group-column", "group", "--label-column", "label")
    assert run("extract", "--model", "classic", *flags, "-q")[0] == 0
    return lambda *more: run("sweep", *flags, "--text", "classic", "--seeds", "2", "--workers", "1", *more)


def test_a_task_that_is_asked_for_twice_is_trained_once(table: Callable[..., tuple[int, str, str]]) -> None:
    code, out, said = table("--heads", "prototype,logistic", "--tasks", "label,label", "--json")
    assert code == 0, said
    assert [row["task"] for row in json.loads(out)["leaderboard"]] == ["label"] * 2
    assert "The task label is asked for twice" in said


def test_a_sweep_says_once_what_its_figures_are_worth_and_shows_the_majority(
    table: Callable[..., tuple[int, str, str]],
) -> None:
    flags = ("--heads", "prototype,logistic", "--split", "random")
    code, out, said = table(*flags)
    assert code == 0, said
    assert len(re.findall(r"label: (?:up to )?\d+ groups \(tweets\) are in both train and test", said)) == 1
    assert re.search("test macro-F1 +95 % +majority", out)
    found = json.loads(table(*flags, "--json")[1])
    majority = {run["run"]: run["test"]["majority_macro_f1"] for run in found["runs"]}
    assert {row["run"]: row["majority"] for row in found["leaderboard"]} == majority
    said = table("--heads", "logistic", "--label-column", "noise")[2]
    assert "noise: on test the head 'logistic' is no better than always answering the majority class" in said


def test_a_head_that_fails_in_a_sweep_is_named_with_its_task_and_balance(
    table: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, said = table("--heads", "mlp", "--sampling", "none,over", "--set", "lr=1e30")
    assert code == 1
    assert "label, the head 'mlp': Training diverged" in said
    assert "label, the head 'mlp' with balance over: Training diverged" in said


def test_settings_of_a_sweep_reach_all_heads_and_those_without_them_are_left_out_or_refused(
    table: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, said = table("--set", "k_grid=3,5", "--json")
    assert code == 0, said
    (found,) = json.loads(out)["runs"]
    assert found["head"] == "knn"
    assert json.loads((Path(found["run"]) / "config.json").read_text())["parameters"]["k_grid"] == [3, 5]
    assert "The head 'mlp' has no parameter 'k_grid'" in said
    code, _, said = table("--heads", "knn,mlp", "--set", "k_grid=3,5")
    assert (code, "Traceback" in said) == (1, False)
    assert "The head 'mlp' has no parameter 'k_grid'" in said
    code, _, said = table("--set", "no_such=3")
    assert code == 2
    assert "No head takes" in said


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def folders(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "runs").glob("2*") if path.is_dir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_keeps_what_is_whole_and_goes_on_with_the_rest(tmp_path: Path, number: signal.Signals) -> None:
    command = sweep_command(tmp_path)
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    while not folders(tmp_path) and time.monotonic() < limit:
        time.sleep(0.02)
    running.send_signal(number)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert "the same command goes on with the others" in said
        assert "Traceback" not in said
    kept = folders(tmp_path)
    assert 1 <= len(kept) < 3
    before = {path: path.stat().st_mtime_ns for folder in kept for path in folder.rglob("*")}
    for folder in kept:
        Written.open(folder).check()
    again = subprocess.run(
        [*command, "--json"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert {row["head"] for row in found["leaderboard"]} == {"prototype", "mlp", "concat"}
    assert {str(folder) for folder in kept} < {run["run"] for run in found["runs"]}
    assert {path: path.stat().st_mtime_ns for path in before} == before
