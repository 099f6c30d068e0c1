"""Setting C: the past trains, the wildfires test, and no post that was written after they began is learned from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.columns import Columns
from pipeline.datasets.crisismmd import CrisisMMD
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol
from pipeline.sample import make_sample

EVENTS = {
    "C1": {"srilanka_floods"},
    "C2": {"srilanka_floods", "hurricane_harvey", "hurricane_irma"},
    "C3": {"srilanka_floods", "hurricane_harvey", "hurricane_irma", "mexico_earthquake"},
}


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    folder = tmp_path_factory.mktemp("temporal") / "sample"
    make_sample(folder, posts=700)
    data = folder / "CrisisMMD_v2.0"
    found = CrisisMMD().read(data, Columns(), None, folder)
    # the drawn events have names of their own
    names = dict(zip(sorted(set(found.events)), [*EVENTS["C3"], "california_wildfires", "others"], strict=False))
    dates = {"california_wildfires": "2017-10-10", "others": "2017-11-01"}
    events = [names.get(event, "others") for event in found.events]
    return replace(found, events=events, dates=[dates.get(event, "2017-06-01") for event in events])


@pytest.mark.parametrize("setting", EVENTS)
@pytest.mark.parametrize("task", ["informative", "humanitarian"])
def test_the_past_trains_and_the_tested_event_tests(posts: Posts, setting: str, task: str) -> None:
    protocol = choose_protocol(posts, task=task, setting=setting)
    (fold,) = protocol.folds(4)
    learned = np.concatenate([fold.train, fold.dev])
    assert {posts.events[row] for row in learned} <= EVENTS[setting]
    assert {posts.events[row] for row in fold.test} == {"california_wildfires"}
    assert all(protocol.concordant[row] == 1 for row in np.concatenate([learned, fold.test]))
    assert not {posts.groups[row] for row in fold.train} & {posts.groups[row] for row in fold.dev}
    assert len(fold.dev) == pytest.approx(0.15 * len(learned), abs=0.03 * len(learned) + 2)
    assert protocol.setting == setting
    assert protocol.task.name == ("humanitarian-abavisani" if task == "humanitarian" else task)
    assert not np.array_equal(fold.dev, protocol.folds(5)[0].dev)
    fixed = choose_protocol(posts, task=task, setting=setting, split_seed=1)
    assert np.array_equal(fixed.folds(4)[0].dev, fixed.folds(5)[0].dev)


def test_posts_from_after_the_tested_event_began_are_left_out_and_counted(posts: Posts) -> None:
    flood = [row for row, event in enumerate(posts.events) if event == "srilanka_floods"]
    dates = list(posts.dates)
    late, undated = flood[: len(flood) // 2], flood[-3:]
    for row in late:
        dates[row] = "2017-10-10"
    for row in undated:
        dates[row] = ""
    protocol = choose_protocol(replace(posts, dates=dates), setting="C1")
    fold = protocol.folds(0)[0]
    assert not {*late, *undated} & {*fold.train.tolist(), *fold.dev.tolist()}
    counted = sum(protocol.labels[row] >= 0 for row in {*late, *undated})
    assert any(note.startswith(f"{counted} posts of the train events are no earlier") for note in protocol.notes)


def test_what_does_not_go_with_it_is_refused(posts: Posts) -> None:
    for flags in ({"split_set": "agreed"}, {"split": "random"}):
        with pytest.raises(UsageError, match="a split of its own"):
            choose_protocol(posts, setting="C1", **flags)
    with pytest.raises(UsageError, match="no setting 'C4'"):
        choose_protocol(posts, setting="C4")
    with pytest.raises(DataError, match="no labelled and dated post in train"):
        choose_protocol(replace(posts, events=["others"] * len(posts)), setting="C1")


def test_the_real_dates_and_counts(crisismmd: Path) -> None:
    posts = CrisisMMD().read(crisismmd, Columns(), None, crisismmd)
    sizes = {}
    for setting in EVENTS:
        protocol = choose_protocol(posts, task="humanitarian", setting=setting)
        (fold,) = protocol.folds(0)
        sizes[setting] = (len(fold.train) + len(fold.dev), len(fold.test))
        assert max(posts.dates[row] for row in fold.train) < "2017-10-10"
    # agreed pairs of the five classes as the files have them; the source prints 174, 4,037, 4,761 and 217
    assert sizes == {"C1": (98, 241), "C2": (2244, 241), "C3": (2534, 241)}
    informative = choose_protocol(posts, setting="C3").folds(0)[0]
    assert Counter(posts.events[row] for row in informative.test) == {"california_wildfires": 1205}
