"""Columns that are guessed, photos elsewhere or several in a cell, and ids that a spreadsheet has spoilt."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from pipeline.datasets import Columns, Posts, open_dataset
from pipeline.datasets.tabular import read_posts
from pipeline.errors import DataError, UsageError

Run = Callable[..., tuple[int, str, str]]


def save(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def read(path: Path, **columns: object) -> Posts:
    return read_posts(path, Columns(**columns))  # type: ignore[arg-type]


def test_familiar_names_come_first_and_are_not_told(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", "tweet,text,photo,image,class,label,tweet_id,id", "a,b,c,d,e,f,g,h")
    posts = read(path)
    assert (posts.ids, posts.texts, posts.images, posts.pair_labels) == (["h"], ["b"], ["d"], ["f"])
    assert posts.notes == ()


def test_other_names_are_guessed_and_told(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", "tweet_id,tweet,photo,category", "7,a,b.jpg,flood")
    posts = read(path)
    assert (posts.ids, posts.texts, posts.images) == (["7"], ["a"], ["b.jpg"])
    assert posts.labels == {"category": {"pair": ["flood"]}}
    assert "columns: text = 'tweet', image = 'photo', label = 'category', id = 'tweet_id'" in posts.notes


def test_a_column_that_a_flag_names_is_not_guessed_for_something_else(tmp_path: Path) -> None:
    posts = read(save(tmp_path / "t.csv", "text,category", "a,flood"), event="category")
    assert (posts.events, posts.labels) == (["flood"], {})
    posts = read(save(tmp_path / "u.csv", "image,text", "a.jpg,a"), group="image")
    assert (posts.groups, posts.images) == (["a.jpg"], ["a.jpg"])


def test_ids_do_not_depend_on_the_other_flags(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", "tweet_id,text", "7,a", "7,b")
    posts = read(path, group="tweet_id")
    assert posts.ids == read(path).ids == ["7", "7#2"]
    assert posts.groups == ["7", "7"]


def test_a_missing_modality_is_told_and_a_wrong_column_refused_with_the_nearest(tmp_path: Path) -> None:
    path = save(tmp_path / "t.csv", "id,text,damage", "1,a,b")
    assert "no image column found; columns are id, text, damage" in read(path).notes
    with pytest.raises(UsageError, match=r"no column 'Damge' \(did you mean 'damage'\?\) \(--label-column\)"):
        read(path, label="Damge")


@pytest.mark.parametrize("post", ["9.01672E+17", "9E+17", "9.01672e+17"])
def test_ids_that_excel_has_cut_are_refused(tmp_path: Path, post: str) -> None:
    path = save(tmp_path / "t.csv", "tweet_id,text", "x,a", f"{post},b")
    with pytest.raises(DataError, match=r"'t.csv' has ids in scientific notation, such as .* in row 2 .*Excel .*text"):
        read(path)


def test_ids_that_excel_may_have_rounded_are_told(tmp_path: Path) -> None:
    rounded = read(save(tmp_path / "t.csv", "id,text", "905274232590004000,a", "905274232590005000,b"))
    assert any("Excel has rounded" in note for note in rounded.notes)
    exact = read(save(tmp_path / "u.csv", "id,text", "905274232590004225,a", "905274232590005000,b"))
    assert not any("Excel" in note for note in exact.notes)


def test_photos_in_a_folder_of_their_own_cannot_be_left(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "tables").mkdir()
    path = save(tmp_path / "tables" / "t.csv", "image", "a.jpg", "../secret.jpg")
    posts = read(path, image_root=tmp_path / "photos")
    assert posts.image_file("a.jpg") == str((tmp_path / "photos" / "a.jpg").resolve())
    assert posts.image_file("../secret.jpg") is None
    assert posts.image_file("../tables/t.csv") is None
    assert posts.name == "tables-t"
    with pytest.raises(UsageError, match="--image-root"):
        read(path, image_root=tmp_path / "nowhere")


def test_each_of_several_photos_is_a_post_and_they_are_one_group(tmp_path: Path) -> None:
    rows = ("a,one,1.jpg; 2.jpg;,x", "b,two,3.jpg,y", "c,three,,x", "d,four,4.jpg;2.jpg,y")
    posts = read(save(tmp_path / "t.csv", "id,text,image,label", *rows), image_separator="semicolon")
    assert posts.ids == ["a#1", "a#2", "b", "c", "d#1", "d#2"]
    assert posts.images == ["1.jpg", "2.jpg", "3.jpg", "", "4.jpg", "2.jpg"]
    assert posts.texts == ["one", "one", "two", "three", "four", "four"]
    assert posts.pair_labels == ["x", "x", "y", "x", "y", "y"]
    first, _, third, fourth = posts.groups[0], *posts.groups[1:4]
    # the two rows that share a photo are one group, too
    assert [group == first for group in posts.groups] == [True, True, False, False, True, True]
    assert third != fourth
    assert any(note.startswith("2 rows have several photos") for note in posts.notes)


def test_rows_with_several_photos_are_one_group_even_without_a_text(tmp_path: Path) -> None:
    posts = read(save(tmp_path / "t.csv", "image", "1.jpg|2.jpg", "3.jpg"), image_separator="|")
    assert posts.ids == ["row-1#1", "row-1#2", "row-2"]
    assert posts.groups[0] == posts.groups[1] != posts.groups[2]
    with pytest.raises(UsageError, match="needs an image column"):
        read(save(tmp_path / "u.csv", "text", "a"), image_separator="|")


def test_an_excel_workbook_is_a_dataset(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["id", "text", "label"], ["1", "flood", "yes"], ["2", "sun", "no"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    posts = open_dataset(None, tmp_path / "t.xlsx")
    assert (posts.ids, posts.texts) == (["1", "2"], ["flood", "sun"])


def test_the_flags_name_the_dataset_again(tmp_path: Path, run: Run) -> None:
    (tmp_path / "photos").mkdir()
    path = tmp_path / "t.csv"
    path.write_bytes("id|tweet|photo|kind\n1|caf\xe9|a;b|Yes\n2|x|c|yes\n3|y|d|no\n".encode("latin-1"))
    flags = ["--encoding", "latin-1", "--delimiter", "pipe", "--image-root", str(tmp_path / "photos")]
    flags += ["--image-separator", ";", "--clean-labels"]
    code, out, err = run("data", "stats", "--data", str(path), "--label-column", "kind", *flags, "--json")
    assert code == 0, err
    assert json.loads(out)["labels"]["kind"]["pair"] == {"Yes": 3, "no": 1}
    columns = Columns(
        label="kind",
        encoding="latin-1",
        delimiter="pipe",
        image_root=tmp_path / "photos",
        image_separator=";",
        clean_labels=True,
    )
    posts = open_dataset("table", path, columns)
    assert posts.texts[0] == "café"
    words = shlex.split(posts.flags)
    assert words[:4] == ["--dataset", "table", "--data", str(path)]
    assert words[4:] == ["--label-column", "kind", *flags]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": "x" * 2000, "text": "a"}, "The id of post 2 has 2,000 bytes; there is room for 1,024"),
        ({"id": "é" * 600, "text": "a"}, "The id of post 2 has 1,200 bytes"),
        ({"id": "1", "text": "a" * 1_000_001}, "The text of post '1' has 1,000,001 characters"),
    ],
)
def test_ids_and_texts_that_are_none_are_refused_at_reading(tmp_path: Path, row: dict[str, str], says: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in ({"id": "0", "text": "b"}, row)))
    with pytest.raises(DataError, match=says):
        open_dataset(None, path)
