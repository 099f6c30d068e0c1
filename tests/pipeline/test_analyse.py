"""What a run's heads do with their modalities, from the run folder and the cache alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from classifiers import load
from pipeline.__main__ import main
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.analyse import analyse_run
from pipeline.runs.run import Run
from pipeline.runs.sources import choose_sources
from pipeline.runs.views import load_views
from tests.pipeline.support import fit_run, noisy_and_cached


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Posts, Path]:
    return noisy_and_cached(tmp_path_factory.mktemp("analyse"))


def run(made: tuple[Posts, Path], head: str, *modalities: str, **flags: object) -> Path:
    posts, folder = made
    given = {m: "classic" if m in modalities else None for m in ("image", "text")}
    sources = choose_sources(posts, folder / "cache", head, model=None, **given)
    params = {"max_epochs": 3, "lr": 0.01} if head not in ("prototype", "logistic") else {}
    protocol = choose_protocol(posts, **flags)
    return fit_run(posts, protocol, head, sources, range(2), folder / "runs", params=params).folder


@pytest.fixture(scope="module")
def fused(made: tuple[Posts, Path]) -> Path:
    return run(made, "concat", "image", "text", split="event")


def analysed(run: Path, cache: Path, alone: Sequence[Path] = (), neighbours: int = 10) -> dict[str, Any]:
    return analyse_run(Run.open(run), cache, [Run.open(folder) for folder in alone], neighbours)


def vectors(made: tuple[Posts, Path]) -> dict[str, np.ndarray]:
    posts, folder = made
    sources = choose_sources(posts, folder / "cache", "concat", model=None, image="classic", text="classic")
    return dict(load_views(posts, sources, np.arange(len(posts))).arrays)


def test_figures_are_those_of_the_saved_heads_on_the_stored_test_posts(made: tuple[Posts, Path], fused: Path) -> None:
    posts, folder = made
    views, found = vectors(made), analysed(fused, folder / "cache", neighbours=3)
    frame = pandas.read_parquet(fused / "predictions.parquet").query("split == 'test'")
    for seed in (0, 1):
        right: dict[str, list[bool]] = {name: [] for name in ("both", "image", "text", "image alone", "text alone")}
        for fold, own in frame[frame.seed == seed].groupby("fold"):
            head = load(fused / "heads" / f"seed-{seed}-{fold}")
            rows = np.array([posts.row_of[post] for post in own.post_id])
            truth = np.array(["ab".index(label) for label in own.label])
            w = {name: array.astype(np.float64) for name, array in head.head.tensors().items()}
            hidden = []
            for m, view in enumerate(("image", "text")):
                x = (views[view][rows] - w[f"mean_{m}"]) / w[f"scale_{m}"]
                hidden.append(np.maximum(x @ w[f"projections.{m}.weight"].T + w[f"projections.{m}.bias"], 0))
            zeros = [np.maximum(np.tile(w[f"projections.{m}.bias"], (len(rows), 1)), 0) for m in range(2)]
            halves = np.split(w["classifier.weight"], 2, axis=1)
            for name, parts in (
                ("both", hidden),
                ("image", [zeros[0], hidden[1]]),
                ("text", [hidden[0], zeros[1]]),
            ):
                logits = sum(h @ half.T for h, half in zip(parts, halves, strict=True)) + w["classifier.bias"]
                right[name] += (logits.argmax(axis=1) == truth).tolist()
            for name, h, half in zip(("image alone", "text alone"), hidden, halves, strict=True):
                right[name] += ((h @ half.T + w["classifier.bias"] / 2).argmax(axis=1) == truth).tolist()
        full = np.mean(right["both"])
        assert found["accuracy"]["values"][seed] == pytest.approx(full)
        lost = {view: (full - np.mean(right[view])) / full for view in ("image", "text")}
        for view, share in lost.items():
            assert found["lost"][view]["values"][seed] == pytest.approx(share)
            assert found["read_outs"][view]["values"][seed] == pytest.approx(np.mean(right[f"{view} alone"]))
            assert 0 <= found["similarity"][view]["values"][seed] <= 1
        assert found["d_util"]["values"][seed] == pytest.approx(lost["image"] - lost["text"])
    assert found["posts"] == 160
    assert found["accuracy"]["values"] == pytest.approx(
        [np.mean(own.label == own.predicted) for _, own in frame.groupby("seed")]
    )


def test_posts_that_one_modality_knows_are_counted_against_its_own_run(made: tuple[Posts, Path], fused: Path) -> None:
    text, image = (
        run(made, head, view, split="event") for head, view in (("prototype", "text"), ("logistic", "image"))
    )
    found = analysed(fused, made[1] / "cache", alone=[text, image])["one_right"]
    keys = ["seed", "fold", "post_id"]
    frames = [
        pandas.read_parquet(folder / "predictions.parquet").query("split == 'test'").set_index(keys).sort_index()
        for folder in (fused, text, image)
    ]
    right, by_text, by_image = ((frame.label == frame.predicted).to_numpy() for frame in frames)
    for (name, count), own, other in zip(found.items(), (by_text, by_image), (by_image, by_text), strict=True):
        assert "classic@" in name
        expected = (int((own & ~other & right).sum()), int((own & ~other & ~right).sum()))
        assert (count["right"], count["wrong"]) == expected
        assert sum(expected) > 0
        assert count["share"] == pytest.approx(expected[0] / sum(expected))
    assert "text" in next(iter(found))


def test_every_event_keeps_its_own_head_whatever_it_is_called(made: tuple[Posts, Path]) -> None:
    names = ("наводнение", "пожар", "Harvey 2017", "Harvey_2017", "harvey_2017", "../x", "землетрясение " * 20)
    posts, folder = made
    events = [names[number % 7] for number in range(len(posts))]
    found = run((replace(posts, events=events), folder), "concat", "image", "text", split="event")
    heads = [path.name.lower() for path in (found / "heads").iterdir()]
    assert len(set(heads)) == 2 * 7
    frame = pandas.read_parquet(found / "predictions.parquet").query("split == 'test'")
    accuracies = [np.mean(own.label == own.predicted) for _, own in frame.groupby("seed")]
    assert analysed(found, folder / "cache", neighbours=3)["accuracy"]["values"] == pytest.approx(accuracies)


def test_heads_without_read_outs_tell_the_rest(made: tuple[Posts, Path]) -> None:
    found = analysed(run(made, "guided_ca", "image", "text"), made[1] / "cache")
    assert "read_outs" not in found
    assert found["one_right"] == {}
    assert set(found["lost"]) == {"image", "text"}


def test_command_prints_tables_or_one_object(
    made: tuple[Posts, Path], fused: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["crisis", "analyse", str(fused), "--cache", str(made[1] / "cache")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().out
    assert (ended.value.code or 0) == 0
    assert "d_util" in printed
    assert "right alone" in printed
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    with pytest.raises(SystemExit):
        main()
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(analysed(fused, made[1] / "cache")))


def test_runs_that_cannot_be_looked_into_are_refused(made: tuple[Posts, Path], fused: Path, tmp_path: Path) -> None:
    cache = made[1] / "cache"
    with pytest.raises(UsageError, match="has one view"):
        analysed(run(made, "prototype", "text"), cache)
    with pytest.raises(UsageError, match="library's head"):
        analysed(run(made, "logistic", "image", "text"), cache)
    with pytest.raises(UsageError, match="fewer --neighbours"):
        analysed(fused, cache, neighbours=159)
    with pytest.raises(DataError, match="--cache"):
        analysed(fused, tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no whole run"):
        analysed(tmp_path, cache)
    with pytest.raises(UsageError, match="have the same view"):
        analysed(fused, cache, alone=[fused, fused])
    with pytest.raises(UsageError, match="differ in their setting"):
        analysed(fused, cache, alone=[run(made, "prototype", "text"), run(made, "prototype", "image")])
    bare = shutil.copytree(fused, tmp_path / "bare")
    shutil.rmtree(bare / "heads")
    with pytest.raises(UsageError, match="no trained heads"):
        analysed(bare, cache)
    other = shutil.copytree(fused, tmp_path / "other")
    (other / "SHA256SUMS").unlink()
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    config["fingerprints"]["text"] = "0" * 64
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(DataError, match="not what the run was trained on"):
        analysed(other, cache)
