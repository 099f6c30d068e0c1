"""Whether an input is still the one that a row was made from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureFile
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Options, extract
from pipeline.inputs.freshness import CHANGED, GONE, SAME, input_states
from pipeline.inputs.inputs import inputs_of
from tests.pipeline.support import Counting, classic_card, make_posts


def states(posts: Posts, file: Path, modality: str) -> list[int]:
    rows = np.arange(len(posts))
    with FeatureFile.open(file) as opened:
        return input_states(inputs_of(posts, modality, str), opened, rows, rows).tolist()


@pytest.fixture
def posts(tmp_path: Path) -> Posts:
    posts = make_posts(tmp_path / "data", count=4, photos=4)
    return replace(posts, images=[f"images/{photo}.png" for photo in range(4)], texts=["a", "b", "c", "d"])


def test_a_photo_is_the_same_changed_or_gone(posts: Posts, tmp_path: Path) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    assert states(posts, file, "image") == [SAME] * 4
    photo = [posts.root / image for image in posts.images]
    os.utime(photo[0], (1, 1))
    photo[1].write_bytes(photo[2].read_bytes())
    photo[3].unlink()
    assert states(posts, file, "image") == [SAME, CHANGED, SAME, GONE]


def test_a_text_is_the_same_or_changed(posts: Posts, tmp_path: Path) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    assert states(replace(posts, texts=["a", "B", "", "d"]), file, "text") == [SAME, CHANGED, CHANGED, SAME]
