"""Whose label a post has: heads of one modality learn what that modality shows, and every run says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.columns import Columns
from pipeline.datasets.crisismmd import CrisisMMD
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.protocols.choose import choose_protocol
from pipeline.protocols.protocol import Protocol
from pipeline.sample import make_sample

Run = Callable[..., tuple[int, str, str]]


@cache
def posts_in(folder: Path) -> Posts:
    return CrisisMMD().read(folder, Columns(), None, folder)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("target") / "sample"
    make_sample(folder, posts=300)
    return folder / "CrisisMMD_v2.0"


def share_unlike(posts: Posts, protocol: Protocol, side: str, part: str) -> float:
    """Share of a part's posts whose label is not that side's own, as annotated, in percent."""
    own = protocol.task.labels(posts.labels[protocol.task.source][side])
    rows = getattr(protocol.folds(0)[0], part)
    return 100 * float(np.mean([protocol.task.classes[protocol.labels[row]] != own[row] for row in rows]))


@pytest.mark.parametrize(
    ("task", "split_set", "part", "text", "image"),
    [
        ("informative", "all", "train", 14.9, 14.7),
        ("informative", "settingB", "train", 14.9, 14.7),
        ("humanitarian-8", "all", "train", 0.0, 54.2),
        ("humanitarian-8", "all", "test", 28.7, 28.0),
    ],
)
def test_pairs_labels_are_not_those_of_their_sides_and_targets_are(
    crisismmd: Path, task: str, split_set: str, part: str, text: float, image: float
) -> None:
    posts = posts_in(crisismmd)
    pair = choose_protocol(posts, task=task, split_set=split_set)
    # the files' own labels of the sides differ from the annotations' in 49 of 13,608
    for side, share in (("text", text), ("image", image)):
        if task == "informative" or part == "test":
            assert share_unlike(posts, pair, side, part) == pytest.approx(share, abs=0.35)
        own = choose_protocol(posts, task=task, split_set=split_set, target=side)
        assert share_unlike(posts, own, side, part) <= 0.4
        assert own.target == side
    assert any("random pick" in note for note in pair.notes)


def test_agreed_pairs_have_one_label_whatever_the_target(crisismmd: Path) -> None:
    posts = posts_in(crisismmd)
    for task in ("informative", "humanitarian", "humanitarian-8"):
        labels = [choose_protocol(posts, task=task, target=target).labels for target in ("pair", "text", "image")]
        assert np.array_equal(labels[0], labels[1])
        assert np.array_equal(labels[0], labels[2])


def test_setting_b_made_of_all_rows_never_trains_on_its_own_dev_and_test_tweets(sample: Path) -> None:
    posts = posts_in(sample)
    whole = choose_protocol(posts, task="informative", split_set="all").folds(0)[0]
    held_out = {posts.groups[row] for part in (whole.dev, whole.test) for row in part}
    for target in ("pair", "text", "image"):
        protocol = choose_protocol(posts, task="informative", split_set="all", setting="B", target=target)
        fold = protocol.folds(0)[0]
        assert not held_out & {posts.groups[row] for row in fold.train}
        assert set(protocol.concordant[np.concatenate([fold.dev, fold.test])]) == {1}
        assert (protocol.concordant[fold.train] == 0).any()


@pytest.mark.parametrize(
    ("modalities", "task", "target"),
    [
        ({"text"}, "informative", "text"),
        ({"image"}, "informative", "image"),
        ({"caption"}, "informative", "image"),
        ({"image", "caption"}, "informative", "image"),
        ({"image", "text"}, "informative", "pair"),
        ({"joint"}, "informative", "pair"),
        ({"text"}, "damage", "pair"),
        ({"image"}, "damage", "image"),
    ],
)
def test_views_of_one_modality_take_its_own_labels(sample: Path, modalities: set[str], task: str, target: str) -> None:
    assert choose_protocol(posts_in(sample), task=task, modalities=modalities).target == target
    assert choose_protocol(posts_in(sample), task=task, target="pair", modalities=modalities).target == "pair"


def test_a_target_that_a_task_does_not_have_is_refused(sample: Path) -> None:
    with pytest.raises(UsageError, match="no labels of its own for a post's text"):
        choose_protocol(posts_in(sample), task="damage", target="text")
    with pytest.raises(UsageError, match="did you mean 'image'"):
        choose_protocol(posts_in(sample), target="imag")


def test_a_run_says_whose_label_it_used(run: Run, sample: Path, tmp_path: Path) -> None:
    kept = ["--cache", str(tmp_path / "cache"), "--data", str(sample)]
    assert run("extract", "--model", "classic", *kept, "-q")[0] in (0, 3)
    runs = ["--output", str(tmp_path / "runs"), "-q"]
    fit = ["fit-head", "--head", "prototype", "--splits", "all", "--seeds", "1", *runs]
    for flags, target in (
        (["--text", "classic"], "text"),
        (["--image", "classic"], "image"),
        (["--model", "classic"], "pair"),
        (["--text", "classic", "--target", "pair"], "pair"),
    ):
        code, out, error = run(*fit, *kept, *flags, "--json")
        assert code == 0, error
        said = json.loads(out)
        assert said.get("target", "pair") == target
        assert json.loads((Path(said["run"]) / "config.json").read_text()).get("target", "pair") == target
        assert any("random pick" in note for note in said["notes"]) == (target == "pair")
