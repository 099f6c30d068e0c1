"""A photo that stands in a table under two names is one photo: one group, and never on both sides of a split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.columns import Columns
from pipeline.datasets.photos import by_content
from pipeline.datasets.tabular import read_posts
from pipeline.protocols.choose import choose_protocol


def table(folder: Path, pairs: int = 30, group: str = "") -> Path:
    """`pairs` photos, each under two names, with a text of its own for every post."""
    rng = np.random.default_rng(0)
    lines = ["id,text,image,label,thread"]
    for photo in range(pairs):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        for copy in "ab":
            Image.fromarray(pixels).save(folder / f"{photo}{copy}.bmp")
            thread = f"{group}{photo}{copy}" if group else ""
            lines.append(f"{photo}{copy},text {photo}{copy},{photo}{copy}.bmp,{'xy'[photo % 2]},{thread}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def test_equal_photos_are_one_group_and_never_split(tmp_path: Path) -> None:
    posts = read_posts(table(tmp_path), Columns())
    assert len(set(posts.groups)) == 30
    assert any("30 photos are the same as another under another path" in note for note in posts.notes)
    for seed in range(3):
        (fold,) = choose_protocol(posts).folds(seed)
        photos = [{posts.ids[row][:-1] for row in part} for part in (fold.train, fold.dev, fold.test)]
        assert not photos[0] & photos[1]
        assert not photos[0] & photos[2]


def test_a_group_column_is_obeyed_and_what_it_splits_is_said(tmp_path: Path) -> None:
    posts = read_posts(table(tmp_path, group="g"), Columns(group="thread"))
    assert len(set(posts.groups)) == 60
    assert any("30 photos are in several groups" in note for note in posts.notes)


def test_what_is_not_a_photo_is_like_no_other(tmp_path: Path) -> None:
    path = table(tmp_path, pairs=2)
    os.mkfifo(tmp_path / "pipe.bmp")
    for name in ("empty1.bmp", "empty2.bmp"):
        (tmp_path / name).touch()
    with path.open("a") as stream:
        stream.write(
            "p,t1,pipe.bmp,x,\ne1,t2,empty1.bmp,x,\ne2,t3,empty2.bmp,x,\ngone,t4,gone.bmp,y,\nout,t5,../x.bmp,y,\n"
        )
    posts = read_posts(path, Columns())
    own = by_content(posts)
    assert own == [
        "0a.bmp",
        "0a.bmp",
        "1a.bmp",
        "1a.bmp",
        "pipe.bmp",
        "empty1.bmp",
        "empty2.bmp",
        "gone.bmp",
        "../x.bmp",
    ]
