"""The audit: every leak that was planted is found, none is made up, and a mended split audits clean."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from features.text import bare
from pipeline.audit.audit import audit
from pipeline.audit.leaks import without_leaks
from pipeline.audit.likeness import likenesses
from pipeline.audit.near import perceptual_hash
from pipeline.datasets.crisismmd import CrisisMMD
from pipeline.datasets.tabular import Columns, read_posts
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol

Run = Callable[..., tuple[int, str, str]]
WORDS = [f"word{number}" for number in range(400)]
COLUMNS = Columns(text="text", image="image", label="label", group="group", event="event", split="part")


def picture(rng: np.random.Generator) -> Image.Image:
    """A photo like no other: a few large shapes of chance."""
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((120, 96), Image.Resampling.BICUBIC)


def rows_of(folder: Path, seed: int, count: int = 90) -> list[dict[str, str]]:
    """A clean table: every post has its own group, text and photo; a third of it each is train, dev and test."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        picture(rng).save(folder / f"{number}.png")
        rows.append(
            {
                "post_id": f"p{number}",
                "text": " ".join(rng.choice(WORDS, 6)),
                "image": f"{number}.png",
                "label": str(rng.choice(["a", "b"])),
                "group": f"g{number}",
                "event": str(rng.choice(["flood", "fire"])),
                "part": ("train", "dev", "test")[number % 3],
            }
        )
    return rows


def table_of(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "posts.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def found_in(path: Path) -> set[tuple[str, str, str, str]]:
    """(kind, id, id, part) of every leak's examples, the earlier part's post first."""
    posts = read_posts(path, COLUMNS)
    found = audit(posts, choose_protocol(posts), likenesses(posts))
    return {(leak.kind, *pair, leak.second) for leak in found.leaks for pair in leak.examples}


def again(photo: Image.Image, how: str) -> Image.Image:
    """The photo as somebody else uploads it."""
    if how == "smaller":
        return photo.resize((60, 48))
    if how == "brighter":
        return ImageEnhance.Brightness(photo).enhance(1.2)
    packed = io.BytesIO()
    photo.save(packed, "JPEG", quality=40)
    return Image.open(packed)


PLANT: dict[str, Callable[[Path, dict[str, str], dict[str, str]], None]] = {
    "group": lambda folder, one, other: other.update(group=one["group"]),
    "text": lambda folder, one, other: other.update(text=f"RT @who: {one['text'].upper()}! https://t.co/x1"),
    "photo": lambda folder, one, other: (folder / other["image"]).write_bytes((folder / one["image"]).read_bytes()),
    "near photo": lambda folder, one, other: again(
        Image.open(folder / one["image"]), ("smaller", "brighter", "JPEG")[int(one["post_id"][1:]) % 3]
    ).save(folder / other["image"]),
}


@pytest.mark.parametrize("kind", PLANT)
def test_planted_leaks_are_found_wherever_they_hide_and_clean_splits_are_clean(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(sorted(PLANT).index(kind))
    for seed in range(5):
        rows = rows_of(tmp_path, seed)
        assert found_in(table_of(tmp_path, rows)) == set()
        first, second = sorted(int(n) for n in rng.choice(3, 2, replace=False))
        one, other = rows[3 * int(rng.integers(30)) + first], rows[3 * int(rng.integers(30)) + second]
        PLANT[kind](tmp_path, one, other)
        pair = (one["post_id"], other["post_id"], other["part"])
        alike = {"near photo", kind} if kind == "photo" else {kind}
        assert found_in(table_of(tmp_path, rows)) == {(name, *pair) for name in alike}


def test_official_splits_leak_as_is_known(crisismmd: Path) -> None:
    posts = CrisisMMD().read(crisismmd, Columns(), None, crisismmd)
    keys = likenesses(posts, near=False)
    protocols = {
        task: choose_protocol(posts, task=task, setting="A") for task in ("informative", "humanitarian", "damage")
    }
    damage = audit(posts, protocols["damage"], keys, [protocols["informative"]])
    groups = {(leak.first, leak.second): leak.shared for leak in damage.leaks if leak.kind == "group"}
    assert groups == {("train", "test"): 62, ("train", "dev"): 62, ("dev", "test"): 16}
    assert {leak.shared for leak in damage.across if leak.kind == "group"} == {356}
    humanitarian = audit(posts, protocols["humanitarian"], keys, [protocols["informative"]])
    assert {leak.shared for leak in humanitarian.across if leak.kind == "group"} == {311}
    assert damage.missing == sum(
        not (crisismmd / posts.images[row]).is_file() for row in np.flatnonzero(protocols["damage"].labels >= 0)
    )


def test_a_mended_split_audits_clean_and_keeps_its_test_part(run: Run, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 9)
    for step, plant in enumerate(PLANT.values()):
        plant(tmp_path, rows[3 * step], rows[3 * step + 2])
        plant(tmp_path, rows[30 + 3 * step + 1], rows[30 + 3 * step + 2])
    named = ["--data", str(table_of(tmp_path, rows)), *COLUMNS.flags(), "--json"]
    file = tmp_path / "clean.csv"
    code, out, _ = run("audit", *named, "--fix", str(file))
    found = json.loads(out)
    assert code == 3
    assert not found["clean"]
    code, out, _ = run("audit", *named, "--split-file", str(file))
    mended = json.loads(out)
    assert (code, mended["clean"]) == (0, True)
    support, clean = found["support"][""], mended["support"][""]
    assert sum(clean[name]["train"] for name in clean) == 26
    assert sum(clean[name]["dev"] for name in clean) == 26
    assert {name: parts["test"] for name, parts in clean.items()} == {n: parts["test"] for n, parts in support.items()}
    before = file.read_bytes()
    code, _, error = run("audit", *named, "--fix", str(file))
    assert (code, "is there already" in error) == (2, True)
    assert file.read_bytes() == before


def test_what_leaks_leaves_train_also_where_dev_loses_it(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 3)
    rows[1]["group"] = rows[2]["group"]  # dev and test
    rows[0]["text"] = rows[1]["text"]  # train and that post of dev, which is lost: the train post may stay
    posts = read_posts(table_of(tmp_path, rows), COLUMNS)
    (fold,) = choose_protocol(posts).folds(0)
    clean = without_leaks(fold, likenesses(posts, near=False))
    assert 1 not in clean.dev
    assert 0 in clean.train
    assert len(clean.train) == len(fold.train)
    assert np.array_equal(clean.test, fold.test)


def test_labels_at_odds_and_columns_that_tell_the_label_are_reported(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 1)
    for row in rows:
        row["event"] = "flood" if row["label"] == "a" else "fire"
    rows[0].update(text=rows[3]["text"], label="a", event="flood")
    rows[3].update(label="b", event="fire")
    posts = read_posts(table_of(tmp_path, rows), COLUMNS)
    protocol = choose_protocol(posts)
    found = audit(posts, protocol, likenesses(posts, near=False))
    assert [(one.kind, one.keys, one.posts, one.examples) for one in found.conflicts] == [
        ("text", 1, 2, [{"p0": "a", "p3": "b"}])
    ]
    told = {one.column: one for one in found.shortcuts}
    assert told["event"].accuracy == 1.0
    assert told["event"].tells
    test = [row["label"] for row in rows if row["part"] == "test"]
    train = [row["label"] for row in rows if row["part"] == "train"]
    assert told["event"].majority == test.count(max("ab", key=train.count)) / len(test)
    assert set(told) == {"event"}, "columns of one value tell nothing"


def test_a_shuffled_column_tells_nothing(tmp_path: Path) -> None:
    rows = [row for seed in range(3) for row in rows_of(tmp_path, seed)]
    for number, row in enumerate(rows):
        row["post_id"] = f"q{number}"
    posts = read_posts(table_of(tmp_path, rows), COLUMNS)
    found = audit(posts, choose_protocol(posts), likenesses(posts, near=False))
    assert not any(one.tells for one in found.shortcuts)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("post_id,where\np0,train\n", "needs the columns post_id and part"),
        ("post_id,part\np0,train\np0,test\n", "names a post twice"),
        ("post_id,part\nelsewhere,train\n", "1 posts that are not in the dataset, such as 'elsewhere'"),
        ("post_id,part\np0,train\n", "no labelled row as 'test'"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(tmp_path: Path, content: str, says: str) -> None:
    posts = read_posts(table_of(tmp_path, rows_of(tmp_path, 0)), COLUMNS)
    (tmp_path / "split.csv").write_text(content)
    with pytest.raises((DataError, UsageError), match=says):
        choose_protocol(posts, split_file=tmp_path / "split.csv")
    with pytest.raises(UsageError, match="leave out --split"):
        choose_protocol(posts, split_file=tmp_path / "split.csv", split="random")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RT @abc: Help! #Kerala https://t.co/xyz", "help kerala"),
        ("  HELP &amp; kerala @you", "help kerala"),
        ("बाढ़ में मदद!", "बाढ़ में मदद"),
        ("https://t.co/xyz 🔥", ""),
        ("", ""),
    ],
)
def test_the_bare_text_is_what_it_says(text: str, said: str) -> None:
    import unicodedata

    assert bare(text) == unicodedata.normalize("NFKC", said)


def test_a_flat_photo_is_like_no_other() -> None:
    assert perceptual_hash(Image.new("RGB", (40, 40), "white")) is None
    assert perceptual_hash(picture(np.random.default_rng(0))) is not None
