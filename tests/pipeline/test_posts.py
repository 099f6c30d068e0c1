"""Choosing and joining posts: no field of theirs is lost, whatever it is."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.posts import COLUMNS, Posts


def every_field(start: int, **others: Any) -> Posts:
    """Four posts whose every field is set, the last of them synthetic."""
    cells = {name: [f"{name}-{row}" for row in range(start, start + 4)] for name in COLUMNS}
    labels = {"need": {"text": ["a", "b", "c", "d"], "image": ["e", "f", "g", "h"]}}
    given: dict[str, Any] = {
        "name": "all",
        "root": Path("/data"),
        "labels": labels,
        "origin": "a test",
        "image_folders": (Path("/photos"),),
        "notes": ("a note",),
        "flags": "--data x",
        "synthetic": ["d"],
    }
    return Posts(**cells, **{**given, **others})


def test_every_field_with_one_entry_a_post_is_declared_a_column() -> None:
    lists = {field.name for field in fields(Posts) if "Sequence[str]" in str(field.type)}
    assert lists - {"labels", "synthetic"} == set(COLUMNS)
    posts = every_field(0)
    assert all(getattr(posts, field.name) for field in fields(Posts) if field.name in {*lists, "notes", "flags"})


def test_taking_posts_takes_every_column() -> None:
    posts = every_field(0)
    taken = posts.take([2, 0, 3])
    for name in COLUMNS:
        assert list(getattr(taken, name)) == [f"{name}-2", f"{name}-0", f"{name}-3"]
    assert taken.labels == {"need": {"text": ["c", "a", "d"], "image": ["g", "e", "h"]}}
    assert taken.synthetic == ["d"]
    assert taken.real == 2
    unchanged = {field.name for field in fields(Posts)} - {*COLUMNS, "labels", "synthetic"}
    assert all(getattr(taken, name) == getattr(posts, name) for name in unchanged)
    assert posts.take(range(4)) == posts


def test_synthetic_posts_cannot_be_taken_before_others() -> None:
    with pytest.raises(ValueError, match="behind all others"):
        every_field(0).take([3, 0])


def test_the_first_posts() -> None:
    posts = every_field(0)
    assert posts.head(None) is posts
    assert posts.head(4) is posts
    assert posts.head(2) == posts.take([0, 1])
    assert posts.head(2).synthetic == []


def test_joining_posts_joins_every_column() -> None:
    one, two = every_field(0).head(3), every_field(4)
    both = one.concat(two)
    for name in COLUMNS:
        assert list(getattr(both, name)) == [*getattr(one, name), *getattr(two, name)]
    assert both.labels["need"]["image"] == ["e", "f", "g", "e", "f", "g", "h"]
    assert both.synthetic == ["d"]
    assert both.notes == ("a note", "a note")
    assert (both.name, both.root, both.origin, both.flags) == (one.name, one.root, one.origin, one.flags)


def test_what_one_of_the_two_lacks_is_blank() -> None:
    one = replace(every_field(0).head(3), knowledge=(), splits=())
    two = replace(every_field(4), splits=(), labels={"other": {"pair": ["x"] * 4}})
    both = one.concat(two)
    assert both.splits == ()
    assert list(both.knowledge) == ["", "", "", *two.knowledge]
    assert both.labels["need"]["text"] == ["a", "b", "c", "", "", "", ""]
    assert both.labels["other"]["pair"] == ["", "", "", "x", "x", "x", "x"]


def test_photos_of_the_posts_that_join_are_found_in_their_folder(tmp_path: Path) -> None:
    one = every_field(0, root=tmp_path / "one").head(3)
    both = one.concat(every_field(4, root=tmp_path / "two"))
    assert both.image_file(both.images[3]) == str((tmp_path / "two" / "images-4").resolve())
    assert both.image_file(both.images[0]) == str((tmp_path / "one" / "images-0").resolve())


def test_real_posts_cannot_follow_synthetic_ones() -> None:
    with pytest.raises(ValueError, match="behind all others"):
        every_field(0).concat(every_field(4))
