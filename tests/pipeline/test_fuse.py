"""Fusing stored predictions equals fusing by hand, and only what belongs fused is fused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pipeline.__main__ import main
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.fuse import fuse_runs, fuse_seeds
from pipeline.runs.run import Run
from pipeline.runs.sources import choose_sources
from tests.pipeline.support import fit_run, noisy_and_cached

KEYS = ["seed", "fold", "split", "post_id"]
ANSWERS = ["p(a)", "p(b)"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Posts, Path]:
    return noisy_and_cached(tmp_path_factory.mktemp("fuse"))


def run(made: tuple[Posts, Path], modality: str, seeds: int = 2, **flags: object) -> Path:
    posts, folder = made
    chosen = {"image": None, "text": None, modality: "classic"}
    head = {"text": "prototype", "image": "logistic"}[modality]
    sources = choose_sources(posts, folder / "cache", head, model=None, **chosen)
    return fit_run(posts, choose_protocol(posts, **flags), head, sources, range(seeds), folder / "runs").folder


@pytest.fixture(scope="module")
def runs(made: tuple[Posts, Path]) -> tuple[Path, Path]:
    return run(made, "text"), run(made, "image")


def fused_run(folders: Sequence[Path], rule: str, positive: str | None, output: Path) -> Run:
    return fuse_runs([Run.open(folder) for folder in folders], rule, positive, output)


def read(folder: Path) -> pandas.DataFrame:
    return pandas.read_parquet(folder / "predictions.parquet").set_index(KEYS).sort_index()


def test_a_fusion_that_is_there_is_found_again(runs: tuple[Path, Path], tmp_path: Path) -> None:
    members = [Run.open(folder) for folder in runs]
    first = fuse_runs(members, "mean", None, tmp_path, keep=True)
    assert fuse_runs(members, "mean", None, tmp_path, keep=True).folder == first.folder
    assert fuse_runs(members, "max", None, tmp_path, keep=True).folder != first.folder
    assert fuse_runs(members, "mean", None, tmp_path).folder != first.folder


@pytest.mark.parametrize("rule", ["mean", "max", "or", "and"])
def test_fused_figures_are_those_of_the_rule_by_hand(rule: str, runs: tuple[Path, Path], tmp_path: Path) -> None:
    positive = "b" if rule in ("or", "and") else None
    result = fused_run(runs, rule, positive, tmp_path)
    text, image, fused = (read(folder) for folder in (*runs, result.folder))
    t, i = text[ANSWERS].to_numpy(), image[ANSWERS].to_numpy()
    expected = {
        "mean": ((t + i) / 2).argmax(axis=1),
        "max": np.maximum(t, i).argmax(axis=1),
        "or": np.maximum(t.argmax(axis=1), i.argmax(axis=1)),
        "and": np.minimum(t.argmax(axis=1), i.argmax(axis=1)),
    }[rule]
    names = np.array(["a", "b"])[expected]
    np.testing.assert_array_equal(fused["predicted"].to_numpy(), names)
    assert (text["predicted"] != image["predicted"]).any()
    for part in ("dev", "test"):
        for place, seed in enumerate((0, 1)):
            held = (fused.index.get_level_values("split") == part) & (fused.index.get_level_values("seed") == seed)
            truth, found = text["label"][held], result.summary[part]
            assert found["accuracy"]["values"][place] == pytest.approx(accuracy_score(truth, names[held]))
            assert found["macro_f1"]["values"][place] == pytest.approx(f1_score(truth, names[held], average="macro"))


def test_a_fused_run_has_the_form_of_a_run_and_can_be_fused_again(runs: tuple[Path, Path], tmp_path: Path) -> None:
    fused = fused_run(runs, "mean", None, tmp_path).folder
    config = json.loads((fused / "config.json").read_text())
    single = json.loads((runs[0] / "config.json").read_text())
    assert set(single) <= set(config)
    assert config["head"] == "decision_mean"
    assert [one["run"] for one in config["fused"]] == [folder.name for folder in runs]
    metrics, own = (json.loads((folder / "metrics.json").read_text()) for folder in (fused, runs[0]))
    assert metrics["summary"]["test"]["majority_macro_f1"] == own["summary"]["test"]["majority_macro_f1"]
    assert set(metrics["test"]["subsets"]) == set(own["test"]["subsets"])
    assert list(read(fused).columns) == list(read(runs[0]).columns)
    again = fused_run([fused, runs[0], runs[1]], "mean", None, tmp_path).folder
    np.testing.assert_allclose(read(again)[ANSWERS], read(fused)[ANSWERS], atol=1e-6)


def test_folds_are_fused_each_with_its_own(made: tuple[Posts, Path], tmp_path: Path) -> None:
    pair = run(made, "text", 1, split="event"), run(made, "image", 1, split="event")
    result = fused_run(pair, "mean", None, tmp_path)
    assert set(result.summary["test"]["events"]) == {"one", "two", "three"}
    expected = (read(pair[0])[ANSWERS] + read(pair[1])[ANSWERS]) / 2
    np.testing.assert_allclose(read(result.folder)[ANSWERS], expected, atol=1e-6)


def spoiled(folder: Path, to: Path, change: str) -> Path:
    shutil.copytree(folder, to)
    (to / "SHA256SUMS").unlink()
    frame = pandas.read_parquet(to / "predictions.parquet")
    if change == "fewer posts":
        gone = frame["post_id"].unique()[:3]
        frame = frame[~frame["post_id"].isin(gone)].sample(frac=1, random_state=0)
    elif change == "labels":
        frame.loc[0, "label"] = "b" if frame.loc[0, "label"] == "a" else "a"
    else:
        frame["post_id"] += "x"
    frame.to_parquet(to / "predictions.parquet", index=False)
    return to


def test_posts_are_paired_by_id_and_those_of_one_run_only_are_counted(runs: tuple[Path, Path], tmp_path: Path) -> None:
    fewer = spoiled(runs[1], tmp_path / "fewer", "fewer posts")
    result = fused_run([runs[0], fewer], "mean", None, tmp_path)
    assert result.config.left_out == {"not in every run": 3}
    whole = read(fused_run(runs, "mean", None, tmp_path).folder)
    fused = read(result.folder)
    np.testing.assert_array_equal(fused[ANSWERS], whole.loc[fused.index][ANSWERS])
    assert whole.index.get_level_values("post_id").nunique() - fused.index.get_level_values("post_id").nunique() == 3


@pytest.mark.parametrize("spoil", [np.nan, np.inf, -0.5, 3.0])
def test_predictions_that_are_not_probabilities_are_refused(
    spoil: float, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs[1], other)
    (other / "SHA256SUMS").unlink()
    frame = pandas.read_parquet(other / "predictions.parquet")
    frame.loc[3, "p(a)"] = spoil
    frame.to_parquet(other / "predictions.parquet", index=False)
    with pytest.raises(DataError, match="predictions that are not probabilities"):
        fused_run([runs[0], other], "mean", None, tmp_path)


def test_runs_that_do_not_belong_together_are_refused(
    made: tuple[Posts, Path], runs: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="differ in their seeds"):
        fused_run([runs[0], run(made, "image", 1)], "mean", None, tmp_path)
    with pytest.raises(UsageError, match="differ in their setting"):
        fused_run([runs[0], run(made, "image", 2, split="event")], "mean", None, tmp_path)
    with pytest.raises(DataError, match="under other labels"):
        fused_run([runs[0], spoiled(runs[1], tmp_path / "labels", "labels")], "mean", None, tmp_path)
    with pytest.raises(UsageError, match="no post in common"):
        fused_run([runs[0], spoiled(runs[1], tmp_path / "ids", "ids")], "mean", None, tmp_path)
    with pytest.raises(UsageError, match="two run folders"):
        fused_run(runs[:1], "mean", None, tmp_path)
    with pytest.raises(DataError, match="holds no whole run"):
        fused_run([runs[0], tmp_path], "mean", None, tmp_path)
    with pytest.raises(UsageError, match="name it with --positive"):
        fused_run(runs, "or", None, tmp_path)
    with pytest.raises(UsageError, match="no rule 'vote'"):
        fused_run(runs, "vote", None, tmp_path)


def test_the_command_prints_one_object_or_one_sentence(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def invoke(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["crisis", "fuse", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    assert invoke(*runs, "--rule", "max", "--output", tmp_path, "--json", "-q") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["head"] == "decision_max"
    assert Path(shown["run"]).parent == tmp_path.resolve()
    assert invoke(*runs, "--rule", "vote", "--output", tmp_path) == 2
    assert "There is no rule 'vote'; choose one of mean, max, or, and." in capsys.readouterr().err


def test_ensembles_of_seeds_are_means_over_every_few_seeds(made: tuple[Posts, Path], tmp_path: Path) -> None:
    posts, folder = made
    sources = choose_sources(posts, folder / "cache", "mlp", model=None, image="classic", text=None)
    protocol = choose_protocol(posts, split="group", split_seed=0)
    given = {"max_epochs": 2, "width": 8}
    single = fit_run(posts, protocol, "mlp", sources, range(6), tmp_path, params=given).folder
    result = fuse_seeds(Run.open(single), 3, tmp_path)
    assert (result.config.head, result.config.seeds) == ("mlp_ensemble", (0, 3))
    members, fused = read(single)[ANSWERS], read(result.folder)
    for first in (0, 3):
        expected = sum(members.xs(seed, level="seed").to_numpy() for seed in range(first, first + 3)) / 3
        np.testing.assert_allclose(fused.xs(first, level="seed")[ANSWERS], expected, atol=1e-6)
    held = fused.xs("test", level="split")
    by_seed = [
        f1_score(*(held.xs(s, level="seed")[c] for c in ("label", "predicted")), average="macro") for s in (0, 3)
    ]
    assert result.summary["test"]["macro_f1"]["values"] == pytest.approx(by_seed)
    with pytest.raises(UsageError, match="has 6 seeds, which are not ensembles of 4"):
        fuse_seeds(Run.open(single), 4, tmp_path)
    drawn = run(made, "text", 2)
    with pytest.raises(UsageError, match="drew different posts"):
        fuse_seeds(Run.open(drawn), 2, tmp_path)
