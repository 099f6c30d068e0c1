"""A folder of photos, of texts or of both is a dataset: names pair them, subfolders label them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.datasets.folder import Folder, read_folder
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError, UsageError

Run = Callable[..., tuple[int, str, str]]


def photo(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def rows(posts: Posts) -> list[tuple[str, str, str]]:
    return list(zip(posts.ids, posts.images, posts.texts, strict=True))


def test_photos_and_texts_of_one_name_are_one_post(tmp_path: Path) -> None:
    photo(tmp_path / "b.JPG")
    photo(tmp_path / "c.png", "blue")
    (tmp_path / "b.txt").write_text("  the bridge is gone\n")
    (tmp_path / "a.txt").write_bytes("Überflutet".encode("cp1252"))
    (tmp_path / "notes.pdf").write_text("not a post")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    posts = read_folder(tmp_path)
    assert rows(posts) == [
        ("a", "", "Überflutet"),
        ("b", "b.JPG", "the bridge is gone"),
        ("c", "c.png", ""),
    ]
    assert not posts.labels
    assert posts.notes[0] == "2 photos, 2 texts, 1 posts with both"
    assert posts.modalities == {"image", "text", "joint"}


def test_subfolders_are_labels_and_equal_photos_one_group(tmp_path: Path) -> None:
    photo(tmp_path / "flood/deep/1.png")
    photo(tmp_path / "fire/2.png", "orange")
    photo(tmp_path / "fire/again.png", "orange")
    (tmp_path / ".git").mkdir()
    photo(tmp_path / ".git/no.png")
    posts = read_folder(tmp_path)
    assert posts.ids == ["fire/2", "fire/again", "flood/deep/1"]
    assert posts.labels == {"folder": {"pair": ["fire", "fire", "flood"]}}
    assert posts.groups[0] == posts.groups[1] != posts.groups[2]


def test_two_photos_of_one_name_are_two_posts_with_its_text(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    photo(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("hello")
    assert rows(read_folder(tmp_path)) == [("a.jpg", "a.jpg", "hello"), ("a.png", "a.png", "hello")]


def test_the_whole_way_from_a_folder_to_a_head(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        for kind, colour in (("flood", (0, 0, 90 + number)), ("fire", (120 + number, 0, 0))):
            photo(tmp_path / f"posts/{kind}/{number}.png", colour)  # type: ignore[arg-type]
            (tmp_path / f"posts/{kind}/{number}.txt").write_text(f"{kind} number {number}")
    assert run("extract", "--model", "classic", "--data", "posts", "-q")[0] == 0
    code, out, error = run("fit-head", "--head", "logistic", "--data", "posts", "--seeds", "1", "--json", "-q")
    assert code == 0, error
    assert json.loads(out)["test"]["macro_f1"]["mean"] > 0.9


def test_what_is_no_such_folder_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "long").mkdir()
    (tmp_path / "long/a.txt").write_text("x" * (1 << 21))
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd/a.txt")
    with pytest.raises(UsageError, match=r"holds no photos and no \.txt files"):
        read_folder(tmp_path / "empty")
    for folder in ("long", "odd"):
        with pytest.raises(DataError, match="is no text of a post"):
            read_folder(tmp_path / folder)
    code, _, error = run("data", "stats", "--data", str(tmp_path / "empty"))
    assert (code, "is no CrisisMMD folder" in error) == (2, True)
    photo(tmp_path / "photos/a.png")
    code, _, error = run("data", "stats", "--data", str(tmp_path / "photos"), "--label-column", "label")
    assert (code, "has no columns; leave out --label-column" in error) == (2, True)


def test_only_folders_of_photos_or_texts_are_recognised(tmp_path: Path) -> None:
    photo(tmp_path / "photos/below/a.webp")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("")
    photo(tmp_path / "table/a.png")
    (tmp_path / "table/posts.csv").write_text("a table says more than names do")
    found = {name: Folder().recognises(tmp_path / name) for name in ("photos", "code", "none", "table")}
    assert found == {"photos": True, "code": False, "none": False, "table": False}
