"""What a user is told of a split: what crosses it and what train lacks, of the seeds that were asked for."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.crisismmd import read_posts
from pipeline.datasets.posts import Posts
from pipeline.protocols.choose import choose_protocol
from pipeline.protocols.protocol import Protocol
from pipeline.protocols.remarks import remarks
from pipeline.runs.material import numbered
from tests.pipeline.test_splits import table_of

Run = Callable[..., tuple[int, str, str]]


def told(posts: Posts, protocol: Protocol, seeds: Sequence[int] = (0,)) -> list[str]:
    return remarks(protocol, {seed: protocol.folds(seed) for seed in seeds}, numbered(posts.groups), {})


def relabelled(posts: Posts, rare: Callable[[int], bool]) -> Posts:
    raw = ["rare" if label and rare(row) else label for row, label in enumerate(posts.labels["label"]["pair"])]
    return replace(posts, labels={"label": {"pair": raw}})


def test_random_split_that_tears_groups_apart_says_so() -> None:
    posts = table_of()
    assert any("optimistic" in note for note in told(posts, choose_protocol(posts, split="random")))
    assert not told(posts, choose_protocol(posts, split="group"))


def test_label_never_seen_in_train_is_said() -> None:
    posts = table_of(splits=tuple("test" if i % 4 == 0 else "val" if i % 4 == 1 else "train" for i in range(200)))
    posts = relabelled(posts, lambda row: posts.splits[row] == "test")
    assert any("never seen in train" in note and "rare" in note for note in told(posts, choose_protocol(posts)))


def test_class_seen_in_one_event_only_is_said_with_that_event() -> None:
    posts = table_of()
    posts = relabelled(posts, lambda row: posts.events[row] == "quake")
    notes = told(posts, choose_protocol(posts, split="event"))
    assert any("when 'quake' is held out" in note and "rare" in note for note in notes)


def test_only_the_seeds_that_were_asked_are_spoken_of() -> None:
    posts = table_of()
    posts = relabelled(posts, lambda row: posts.groups[row] == posts.groups[0])
    protocol = choose_protocol(posts, split="group")
    lacks = [posts.groups[0] not in {posts.groups[row] for row in protocol.folds(seed)[0].train} for seed in range(8)]
    assert 0 < sum(lacks) < 8
    for seed in range(8):
        assert any("never seen" in note for note in told(posts, protocol, [seed])) == lacks[seed]
    assert told(posts, protocol, range(8)) == [
        f"never seen in train, so always missed in dev and test: rare (in {sum(lacks)} of 8 seeds)"
    ]


def test_the_leak_of_the_damage_splits(crisismmd: Path) -> None:
    posts = read_posts(crisismmd)
    notes = told(posts, choose_protocol(posts, task="damage"), range(3))
    assert any(note.startswith("62 groups (tweets) are in both train and test") for note in notes)


def test_photos_and_texts_that_cross_a_users_groups_are_counted(run: Run, tmp_path: Path) -> None:
    """Groups by tweet tear apart a photo that several tweets show: the run says so, of what its views show."""
    rng = np.random.default_rng(0)
    for photo in range(30):
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(tmp_path / f"{photo}.png")
    (tmp_path / "again.png").write_bytes((tmp_path / "0.png").read_bytes())
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "image", "label", "part", "tweet"])
        for row in range(60):
            image = "again.png" if row == 1 else f"{row // 2}.png" if row < 4 else f"{row % 28 + 2}.png"
            text = "RT @a: flood here https://t.co/a" if row == 4 else "Flood here!" if row == 5 else f"words {row}"
            part = "dev" if row > 49 else ("train", "test")[row % 2]
            writer.writerow([row, text, image, "ab"[row % 3 == 0], part, row])
    named = ["--data", str(tmp_path / "t.csv"), "--group-column", "tweet", "--split-column", "part"]
    named += ["--cache", str(tmp_path / "cache"), "-q"]
    assert run("extract", "--model", "classic", *named)[0] == 0
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))

    def photo(row: dict[str, str]) -> str:
        return row["image"].replace("again", "0")

    train = {photo(row) for row in rows if row["part"] == "train"}
    crossing = sum(photo(row) in train for row in rows if row["part"] == "test")
    fit = ["fit-head", "--head", "prototype", "--seeds", "2", "--output", str(tmp_path / "runs"), "--json", *named]
    for flags, photos, texts in (("--model", True, True), ("--image", True, False), ("--text", False, True)):
        code, out, error = run(*fit, flags, "classic")
        assert code == 0, error
        notes = json.loads(out)["notes"]
        of_test = [note for note in notes if " test posts have the " in note]
        assert any(note.startswith(f"{crossing} of 25 test posts have the photo") for note in of_test) == photos
        assert any(note.startswith("1 of 25 test posts have the text") for note in of_test) == texts
        assert all("`crisis audit`" in note for note in of_test)


def test_equal_values_have_equal_numbers_and_nothing_has_none() -> None:
    found = numbered(["a", "", "b", "a", ""])
    assert found[0] == found[3] != found[2]
    assert found[1] == found[4] == -1
    assert min(found[0], found[2]) >= 0
