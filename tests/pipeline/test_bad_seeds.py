"""One seed that cannot be trained does not lose the others, and figures say what they are the figures of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import CrisisError, UsageError
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.balance import class_weights
from pipeline.runs.sources import find_sources
from tests.pipeline.conftest import Run
from tests.pipeline.support import fit_run, noisy_and_cached
from tests.pipeline.test_cli import small_table


@pytest.fixture(scope="module")
def few_groups(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Path]:
    """Posts of six groups, each of one class: some seeds draw a train part of one class only."""
    posts, folder = noisy_and_cached(tmp_path_factory.mktemp("groups"))
    groups = [f"g{row % 6}" for row in range(len(posts))]
    labels = ["real" if row % 6 < 3 else "fake" for row in range(len(posts))]
    return replace(posts, groups=groups, labels={"label": {"pair": labels}}), folder


def test_a_bad_seed_is_named_and_the_others_are_trained(few_groups: tuple[object, Path], tmp_path: Path) -> None:
    posts, folder = few_groups
    protocol = choose_protocol(posts)
    sources = find_sources(posts, folder / "cache", None, "classic")
    fine = []
    for seed in range(10):
        try:
            fit_run(posts, protocol, "prototype", sources, [seed], tmp_path / "one")
            fine.append(seed)
        except CrisisError as error:
            assert f"seed {seed}" in str(error)
    assert 0 < len(fine) < 10
    run = fit_run(posts, protocol, "prototype", sources, range(10), tmp_path / "all")
    assert run.config.seeds == tuple(fine)
    assert len(run.test("accuracy")["values"]) == len(fine)
    for seed in set(range(10)) - set(fine):
        assert any(f"seed {seed} is left out: " in sentence for sentence in run.warnings())
    # the figures of the others are those that they have by themselves
    alone = fit_run(posts, protocol, "prototype", sources, fine, tmp_path / "fine")
    assert run.summary == alone.summary


def test_a_class_that_a_part_does_not_hold_says_nothing_of_the_head(
    few_groups: tuple[object, Path], tmp_path: Path
) -> None:
    posts, folder = few_groups
    told = posts.labels["label"]["pair"]
    groups = [f"g{row % 8}" for row in range(len(posts))]
    labels = ["rare" if group in ("g0", "g1") else label for group, label in zip(groups, told, strict=True)]
    posts = replace(posts, groups=groups, labels={"label": {"pair": labels}})
    sources = find_sources(posts, folder / "cache", None, "classic")
    run = fit_run(posts, choose_protocol(posts), "prototype", sources, range(10), tmp_path)
    frame = run.predictions
    test = frame[frame["split"] == "test"]
    counts = [int((own["label"] == "rare").sum()) for _, own in test.groupby("seed", sort=False)]
    recalls = [
        float((own.loc[own["label"] == "rare", "predicted"] == "rare").mean())
        for _, own in test.groupby("seed", sort=False)
        if (own["label"] == "rare").any()
    ]
    told = run.details["test"]["classes"]["rare"]
    assert 0 < len(recalls) < len(counts)
    assert told["recall"]["values"] == pytest.approx(recalls)
    assert told["support"] == pytest.approx(np.mean(counts))


def test_seeds_that_say_the_same_are_told_to_be_one_fit(run: Run, tmp_path: Path) -> None:
    table = str(small_table(tmp_path / "t"))
    assert run("extract", "--model", "classic", "--data", table)[0] == 0
    shown = ("fit-head", "--head", "prototype", "--model", "classic", "--data", table, "--seeds", "3")
    _, out, err = run(*shown, "--split-seed", "0")
    assert "says the same for all 3 seeds: they are one fit" in err
    assert "±" not in out


def test_a_sweep_counts_what_is_named_twice_once(run: Run, tmp_path: Path) -> None:
    table = str(small_table(tmp_path / "t"))
    assert run("extract", "--model", "classic", "--data", table)[0] == 0
    heads = ("--heads", "prototype,knn, prototype", "--balance", "none,none", "--seeds", "2", "--set", "k_grid=3")
    code, _, err = run("sweep", *heads, "--model", "classic", "--data", table, "--json")
    assert code == 1, err  # prototype knows no k_grid
    heads = ("--heads", "knn,knn", "--balance", "none,none", "--seeds", "2", "--set", "k_grid=3")
    code, out, err = run("sweep", *heads, "--model", "classic", "--data", table, "--json")
    assert code == 0, err
    assert len(json.loads(out)["leaderboard"]) == 1


class _Task:
    name = "need"
    classes = ("1", "need: water", "roads, bridges", "aid/food", "need", "need:5, now")


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("1:9", {0: 9.0}),
        ("2:3", {2: 3.0}),
        ("roads, bridges:9", {2: 9.0}),
        ("need: water:2,roads, bridges:1e1, aid/food : 0.5", {1: 2.0, 2: 10.0, 3: 0.5}),
        ("need:5, now:2,need:3,1:4", {5: 2.0, 4: 3.0, 0: 4.0}),
    ],
)
def test_class_weights_are_told_by_name_whatever_is_in_it(text: str, weights: dict[int, float]) -> None:
    assert class_weights(text, _Task()) == weights  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:9,1:2", "names the class '1' twice"),
        ("1", "takes none"),
        ("a:b", "takes"),
        ("", "takes"),
        ("7:2", "no class '7'"),
        ("1:1.2.3", "above 0, not '1.2.3'"),
        ("1:0", "above 0, not '0'"),
        ("1:1e999", "above 0"),
    ],
)
def test_class_weights_that_are_not_clear_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        class_weights(text, _Task())  # type: ignore[arg-type]
