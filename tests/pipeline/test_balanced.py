"""Parts of equal classes: as many posts of each as the rarest has, drawn from the part and from nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.protocols.balanced import balanced
from pipeline.protocols.choose import choose_protocol

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def posts() -> Posts:
    rng = np.random.default_rng(0)
    return Posts(
        name="t",
        root=Path("."),
        ids=[f"p{i}" for i in range(300)],
        groups=[f"g{i}" for i in range(300)],
        texts=["x"] * 300,
        images=[""] * 300,
        events=[""] * 300,
        labels={"label": {"pair": rng.choice(["a", "b", "c"], 300, p=[0.6, 0.3, 0.1]).tolist()}},
        origin="",
        splits=[("train", "train", "dev", "test")[i % 4] for i in range(300)],
    )


@pytest.mark.parametrize("part", ["train", "test"])
def test_classes_are_as_many_as_the_rarest_and_the_other_parts_stay(posts: Posts, part: str) -> None:
    natural = choose_protocol(posts)
    (before,) = natural.folds(0)
    cut = balanced(natural, part)
    drawn = [cut.folds(seed)[0] for seed in range(4)]
    rarest = np.bincount(natural.labels[getattr(before, part)]).min()
    for fold in drawn:
        for name in ("train", "dev", "test"):
            rows, whole = getattr(fold, name), getattr(before, name)
            if name == part:
                assert np.bincount(natural.labels[rows]).tolist() == [rarest] * 3
                assert set(rows) <= set(whole)
                assert len(set(rows)) == len(rows)
            else:
                assert np.array_equal(rows, whole)
    same = [np.array_equal(getattr(fold, part), getattr(drawn[0], part)) for fold in drawn[1:]]
    assert same == [part == "test"] * 3, "one test part for all seeds, a train part for each"
    assert np.array_equal(getattr(cut.folds(2)[0], part), getattr(drawn[2], part))
    assert f"{part} balanced by class" in cut.split


def test_so_many_of_each_class_and_no_more_than_there_are(posts: Posts) -> None:
    (fold,) = balanced(choose_protocol(posts), "train", per_class=5).folds(0)
    assert np.bincount(choose_protocol(posts).labels[fold.train]).tolist() == [5, 5, 5]
    with pytest.raises(UsageError, match=r"--per-class 100: train has \d+ posts of 'c'"):
        balanced(choose_protocol(posts), "train", per_class=100).folds(0)


def test_the_flags_of_fit_head(run: Run, tmp_path: Path) -> None:
    rows = ["id,text,label,part"]
    rng = np.random.default_rng(1)
    for number in range(160):
        label = "rare" if rng.random() < 0.25 else "common"
        word, part = label if rng.random() < 0.8 else "word", ("train", "dev", "test")[number % 3]
        rows.append(f"{number},{word} {number},{label},{part}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    named = ["--data", str(tmp_path / "t.csv"), "--cache", str(tmp_path / "cache"), "-q"]
    assert run("extract", "--model", "classic", *named)[0] == 0
    fit = ["fit-head", "--head", "prototype", "--text", "classic", "--split-column", "part", "--seeds", "1", *named]
    fit += ["--output", str(tmp_path / "runs"), "--json"]
    code, out, _ = run(*fit, "--balance-test", "--balance-train")
    assert code == 0
    found = json.loads(out)
    assert found["split"].endswith("train balanced by class, test balanced by class")
    assert found["test"]["majority_accuracy"] == 0.5
    code, _, error = run(*fit, "--per-class", "3")
    assert (code, "--per-class belongs to --balance-train" in error) == (2, True)
