"""The digest by which a run is known again: alike for what is alike, another for whatever decides a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureFile
from classifiers.shared import FileRows, Place
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import Protocol, choose_protocol
from pipeline.runs.division import divide
from pipeline.runs.material import Material
from pipeline.runs.sources import Source, find_sources
from pipeline.runs.views import Views, load_views
from tests.pipeline.support import Counting, classic_card, make_posts


@pytest.fixture
def posts(tmp_path: Path) -> Posts:
    posts = make_posts(tmp_path / "data", count=60)
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    return posts


def identity(
    posts: Posts, protocol: Protocol, source: Source, views: Views, seeds: Sequence[int] = (0,), wanted: int = 60
) -> str:
    return divide(Material(posts, np.arange(wanted), [source], views), protocol, seeds).identity


def test_everything_that_decides_a_result_changes_the_digest(posts: Posts, tmp_path: Path) -> None:
    (source,) = find_sources(posts, tmp_path / "cache", None, "classic")
    views, protocol = load_views(posts, [source], np.arange(60)), choose_protocol(posts)
    first = identity(posts, protocol, source, views)
    assert identity(posts, choose_protocol(posts), source, load_views(posts, [source], np.arange(60))) == first
    fold = protocol.folds(0)[0]
    moved = replace(fold, dev=fold.test, test=fold.dev)
    turned = {
        "label": replace(protocol, labels=1 - protocol.labels),
        "agreement": replace(protocol, concordant=np.zeros(60, dtype=np.int8)),
        "parts": replace(protocol, folds=lambda seed: [moved]),
        "name of the fold": replace(protocol, folds=lambda seed: [replace(fold, name="one")]),
    }
    found = [identity(posts, other, source, views) for other in turned.values()]
    found.append(identity(posts, protocol, source, views, seeds=(1,)))
    found.append(identity(replace(posts, ids=[f"{post}x" for post in posts.ids]), protocol, source, views))
    found.append(identity(replace(posts, events=posts.events[::-1]), protocol, source, views))
    vectors = views.arrays["text"].copy()
    vectors[-1, 0] += 1
    found.append(identity(posts, protocol, source, replace(views, arrays={"text": vectors})))
    assert len({first, *found}) == 1 + len(found)


def test_posts_without_a_label_are_no_part_of_the_digest(posts: Posts, tmp_path: Path) -> None:
    """A task has one digest, whichever tasks are read beside it."""
    (source,) = find_sources(posts, tmp_path / "cache", None, "classic")
    labels = [*posts.labels["label"]["pair"][:50], *[""] * 10]
    fewer = replace(posts, labels={"label": {"pair": labels}})
    protocol = choose_protocol(fewer)
    found = [identity(fewer, protocol, source, load_views(fewer, [source], np.arange(n)), wanted=n) for n in (50, 60)]
    assert found[0] == found[1]


def test_token_views_that_stay_in_their_file_are_told_by_their_inputs(posts: Posts, tmp_path: Path) -> None:
    def found(posts: Posts) -> str:
        (source,) = find_sources(posts, tmp_path / "cache", None, "classic")
        views = load_views(posts, [source], np.arange(60))
        with FeatureFile.open(source.path) as file:
            place = file.place(source.view)
            assert place is not None
            width = views.arrays["text"].shape[1]
            in_file = FileRows(Place(str(place[0]), place[1], "<f4", (60, 1, width)), np.arange(60))
        return identity(posts, choose_protocol(posts), source, replace(views, arrays={"text": in_file}))

    first = found(posts)
    assert found(posts) == first
    other = replace(posts, texts=[*posts.texts[:-1], "another text"])
    extract(other, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    assert found(other) != first
