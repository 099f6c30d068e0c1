"""The embedded sample: a small corpus of CrisisMMD's shape, drawn on first use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.datasets.columns import Columns
from pipeline.datasets.crisismmd import CrisisMMD
from pipeline.datasets.posts import Posts

SAMPLE_POSTS = 1200


class Sample(CrisisMMD):
    name = "sample"
    summary = "the embedded sample, drawn on first use: a small corpus of CrisisMMD's shape"
    needs_data = False

    def recognises(self, path: Path) -> bool:
        return False

    def default_data(self) -> Path | None:
        return None

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        folder = data or draw_sample(cache)
        posts = super().read(folder, columns, name, cache)
        return replace(posts, origin=f"the sample corpus in {folder}")


def draw_sample(cache: Path) -> Path:
    """The embedded sample's folder, drawn on first use: beside a folder called cache, else inside it."""
    from pipeline.sample import make_sample

    folder = (cache.parent if cache.name == "cache" else cache) / "sample"
    make_sample(folder, posts=SAMPLE_POSTS)
    return folder
