"""Supplied regions reach the photo they belong to, by its path or by a file name that no other photo has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureFile, Status
from features.card import Card
from features.encoders.encoder import Encoder
from features.regions.load import load_regions
from features.regions.region import pack, unpack
from features.text import Text
from pipeline.extraction.extract import Extracted, Options, extract
from tests.pipeline.support import make_posts

CARD = Card("regional", "for tests", ("joint",), {"joint": "joint/first"}, "nowhere:load", "MIT")


class Regional(Encoder):
    """Says of a pair the first number of its photo's first region."""

    modalities = ("joint",)
    views = {"joint/first": (1,)}

    def __init__(self, where: Path) -> None:
        self._regions = load_regions("regional", str(where), "cpu")
        self.identity = dict(self._regions.identity)

    def prepare(self, image: object) -> np.ndarray:
        return pack(self._regions.find(image), self._regions.count)

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        features, _, _ = unpack(batch)
        return {"joint/first": features[:, 0, :1].copy()}


@pytest.mark.parametrize("on_error", ["skip", "blank"])
def test_regions_belong_to_their_own_photo(on_error: str, tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=5, photos=5)
    names = ["images/a/same.png", "images/b/same.png", "images/alone.png", "images/c/other.png", "images/none.png"]
    for number, name in enumerate(names):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"data/images/{number}.png").rename(tmp_path / "data" / name)
    posts = replace(posts, images=names, texts=list("abcde"))
    folder = tmp_path / "regions"
    for key, value in {"images/a/same": 1, "same": 9, "alone": 3, "images/c/other": 4, "other": 8}.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{key}.npy", np.full((2, 3), value, np.float32))

    def run() -> Extracted:
        return extract(posts, CARD, Regional(folder), tmp_path / "cache", Options(on_error=on_error), "crisis")

    result = run()
    assert result.bad == {"no region features": 2}
    assert {post for post, _ in result.bad_posts} == {"post-1", "post-4"}
    with FeatureFile.open(result.file) as file:
        assert file.take("joint/first", np.arange(5))[[0, 2, 3], 0].tolist() == [1.0, 3.0, 4.0]
        assert file.status.tolist() == [Status.OK, Status.NO_REGIONS, Status.OK, Status.OK, Status.NO_REGIONS]
    assert run().file == result.file
    np.save(folder / "images" / "none.npy", np.zeros((1, 3), np.float32))
    again = run()
    assert again.file != result.file, "other regions are another file"
    assert again.bad == {"no region features": 1}
