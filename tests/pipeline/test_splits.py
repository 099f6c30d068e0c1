"""Splits: who trains never tests, every seed draws its own, official sets come out as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.crisismmd import read_posts
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS
from pipeline.errors import UsageError
from pipeline.protocols.choose import choose_protocol


def table_of(count: int = 200, splits: tuple[str, ...] = ()) -> Posts:
    rng = np.random.default_rng(0)
    return Posts(
        name="t",
        root=Path("."),
        ids=[f"p{i}" for i in range(count)],
        groups=[f"g{g}" for g in rng.integers(0, 40, count)],
        texts=["x"] * count,
        images=[""] * count,
        events=[("flood", "fire", "quake")[e] for e in rng.integers(0, 3, count)],
        labels={"label": {"pair": [("a", "b", "")[c] for c in rng.integers(0, 3, count)]}},
        origin="",
        splits=splits,
    )


@pytest.mark.parametrize("split", ["group", "event", "random"])
def test_drawn_parts_are_disjoint_cover_the_labelled_posts_and_follow_the_seed(split: str) -> None:
    posts = table_of()
    protocol = choose_protocol(posts, split=split)
    labelled = np.flatnonzero(protocol.labels >= 0)
    for fold in protocol.folds(3):
        together = np.concatenate([fold.train, fold.dev, fold.test])
        tested = {posts.groups[row] for row in fold.test} if split == "event" else set()
        left_out = [r for r in labelled if posts.events[r] != fold.name and posts.groups[r] in tested]
        assert sorted([*together, *left_out]) == sorted(labelled)
    again = choose_protocol(posts, split=split).folds(3)
    for one, other in zip(protocol.folds(3), again, strict=True):
        assert np.array_equal(one.train, other.train)
    assert not np.array_equal(protocol.folds(3)[0].dev, protocol.folds(4)[0].dev)
    fixed = choose_protocol(posts, split=split, split_seed=7)
    assert np.array_equal(fixed.folds(3)[0].train, fixed.folds(4)[0].train)


def test_group_split_keeps_groups_whole() -> None:
    posts = table_of()
    for seed in range(5):
        (fold,) = choose_protocol(posts, split="group").folds(seed)
        parts = [{posts.groups[row] for row in part} for part in (fold.train, fold.dev, fold.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]


def test_leave_one_event_out_tests_every_event_once_and_never_trains_on_it() -> None:
    posts = table_of()
    folds = choose_protocol(posts, split="event").folds(0)
    assert [fold.name for fold in folds] == ["fire", "flood", "quake"]
    for fold in folds:
        assert {posts.events[row] for row in fold.test} == {fold.name}
        assert fold.name not in {posts.events[row] for row in np.concatenate([fold.train, fold.dev])}
        groups = [{posts.groups[row] for row in part} for part in (fold.train, fold.dev, fold.test)]
        assert not groups[2] & (groups[0] | groups[1])
    (only,) = choose_protocol(posts, test_event="quake").folds(0)
    assert only.name == "quake"


def test_split_column_is_followed_and_a_missing_dev_part_is_drawn() -> None:
    words = tuple(("train", "train", "test")[i % 3] for i in range(200))
    posts = table_of(splits=words)
    (fold,) = choose_protocol(posts).folds(0)
    assert {words[row] for row in fold.test} == {"test"}
    assert {words[row] for row in np.concatenate([fold.train, fold.dev])} == {"train"}
    assert len(fold.dev)
    with pytest.raises(UsageError, match="marks no labelled row as 'test'"):
        choose_protocol(table_of(splits=("train",) * 200))


def test_split_seed_draws_the_dev_part_that_a_split_column_lacks_and_is_refused_where_nothing_is_drawn() -> None:
    posts = table_of(splits=tuple(("train", "train", "test")[i % 3] for i in range(200)))
    fixed, free = choose_protocol(posts, split_seed=3), choose_protocol(posts)
    for seed in (0, 1):
        assert np.array_equal(fixed.folds(seed)[0].dev, free.folds(3)[0].dev)
        assert not np.array_equal(fixed.folds(seed)[0].dev, free.folds(seed)[0].dev)
    assert "dev drawn by group (drawn with seed 3)" in fixed.split
    whole = table_of(splits=tuple(("train", "dev", "test")[i % 3] for i in range(200)))
    with pytest.raises(UsageError, match="draws nothing"):
        choose_protocol(whole, split_seed=3)


def test_the_event_that_is_held_out_is_said() -> None:
    assert choose_protocol(table_of(), test_event="quake").split == "leave one event out (quake held out)"
    assert choose_protocol(table_of(), split="event").split == "leave one event out (3 held out)"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"split": "year"}, "There is no split 'year'"),
        ({"task": "damage"}, "label column"),
        ({"split_set": "agreed"}, "belong to CrisisMMD"),
        ({"split": "group", "test_event": "fire"}, "does not go with --split group"),
        ({"test_event": "tornado"}, "There is no event 'tornado'; the events are fire, flood, quake"),
    ],
)
def test_wrong_flags_are_one_sentence(flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        choose_protocol(table_of(), **flags).folds(0)


def test_tasks_merge_as_the_sources_do() -> None:
    assert TASKS["humanitarian"].label("vehicle_damage") == "infrastructure_and_utility_damage"
    assert TASKS["humanitarian"].label("missing_or_found_people") == "affected_individuals"
    assert TASKS["humanitarian-002"].label("not_humanitarian") == ""
    assert TASKS["humanitarian-002"].label("vehicle_damage") == "vehicle_damage"
    assert TASKS["damage"].label("dont_know_or_cant_judge") == ""


def test_real_settings(crisismmd: Path) -> None:
    posts = read_posts(crisismmd)

    def sizes(**flags: str) -> tuple[int, int, int]:
        (fold,) = choose_protocol(posts, **flags).folds(0)
        return len(fold.train), len(fold.dev), len(fold.test)

    assert sizes() == (9_601, 1_573, 1_534)
    assert sizes(setting="A") == (9_599, 1_573, 1_534)
    assert sizes(setting="B") == (13_608, 1_573, 1_534)
    assert sizes(setting="B", task="humanitarian") == (8_348, 477, 451)
    with pytest.raises(UsageError, match="it has informative, humanitarian"):
        choose_protocol(posts, task="damage", split_set="agreed")


def test_setting_b_never_trains_on_a_tweet_of_dev_or_test(crisismmd: Path) -> None:
    posts = read_posts(crisismmd)
    protocol = choose_protocol(posts, setting="B", split_set="agreed")
    (fold,) = protocol.folds(0)
    assert (protocol.concordant[fold.train] == 0).sum() > 3000
    assert (protocol.concordant[fold.test] == 0).sum() == 0
    held_out = {posts.groups[row] for row in np.concatenate([fold.dev, fold.test])}
    assert not held_out & {posts.groups[row] for row in fold.train}


def test_words_of_a_split_column_that_mean_nothing_are_said() -> None:
    words = tuple(("train", "test", "dev2", "val")[i % 4] for i in range(200))
    assert any("labelled posts are in no part" in note for note in choose_protocol(table_of(splits=words)).notes)
