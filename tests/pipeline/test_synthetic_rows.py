"""Synthetic posts join train and nothing else, whatever the dataset and the way of splitting."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest

from cache import FeatureFile
from pipeline.datasets import open_dataset
from pipeline.datasets.posts import Posts
from pipeline.datasets.synthetic import COLUMNS, TABLE, add_synthetic, read_table, write_table
from pipeline.datasets.tabular import Columns
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol
from pipeline.sample import make_sample
from tests.pipeline.conftest import Run
from tests.pipeline.synthesis_support import blobs, make_table, tweet


def make_rows(folder: Path, count: int = 6, label: str = "not_informative", events: Sequence[str] = ("",)) -> Path:
    """A folder as `crisis data synthesize` leaves it."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        post = f"synthetic-abc123-{number:04d}"
        blobs(700 + number).save(folder / f"images/{post}.png")
        row = dict.fromkeys(COLUMNS, "")
        row |= {"post_id": post, "text": tweet(700 + number), "image_path": f"images/{post}.png", "label": label}
        row |= {"synthetic": "1", "accepted": "1", "event": events[number % len(events)]}
        row |= {"text_label": "informative", "image_label": "not_informative"}
        rows.append(row)
    write_table(folder / TABLE, rows)
    return folder


def edit(folder: Path, number: int, **cells: str) -> None:
    rows = read_table(folder / TABLE)
    rows[number].update(cells)
    write_table(folder / TABLE, rows)


def synthetic_rows(posts: Posts) -> set[int]:
    return {row for row, post in enumerate(posts.ids) if post.startswith("synthetic-")}


@pytest.fixture
def table(tmp_path: Path) -> Posts:
    return open_dataset("table", make_table(tmp_path / "data"), Columns(event="event"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "sample"
    make_sample(folder, posts=240)
    return folder


@pytest.mark.parametrize("split", ["group", "event", "random"])
def test_drawn_splits_keep_synthetic_posts_in_train(split: str, table: Posts, tmp_path: Path) -> None:
    posts = add_synthetic(table, make_rows(tmp_path / "syn", events=("fire_2017", "flood_2017", "")))
    wanted = synthetic_rows(posts)
    assert len(wanted) == 6
    protocol = choose_protocol(posts, split=split)
    plain = choose_protocol(table, split=split)
    for seed in range(5):
        for fold, without in zip(protocol.folds(seed), plain.folds(seed), strict=True):
            assert not wanted & {*fold.dev.tolist(), *fold.test.tolist()}
            about = {row for row in wanted if fold.name and posts.events[row] == fold.name}
            assert set(fold.train.tolist()) - set(without.train.tolist()) == wanted - about
            # everything else is as it would be without them
            np.testing.assert_array_equal(fold.dev, without.dev)
            np.testing.assert_array_equal(fold.test, without.test)
            np.testing.assert_array_equal(fold.train[: len(without.train)], without.train)
    assert {protocol.task.classes[protocol.labels[row]] for row in wanted} == {"not_informative"}
    assert any("6 synthetic posts" in note for note in protocol.notes)


@pytest.mark.parametrize("flags", [{}, {"split_set": "all"}, {"setting": "B"}, {"split": "event"}])
def test_official_splits_keep_synthetic_posts_in_train_and_call_them_discordant(
    flags: dict[str, str], sample: Path, tmp_path: Path
) -> None:
    real = open_dataset("sample", sample)
    posts = add_synthetic(real, make_rows(tmp_path / "syn"))
    wanted = synthetic_rows(posts)
    protocol, plain = choose_protocol(posts, **flags), choose_protocol(real, **flags)
    for fold, without in zip(protocol.folds(0), plain.folds(0), strict=True):
        assert set(fold.train.tolist()) == set(without.train.tolist()) | wanted
        np.testing.assert_array_equal(fold.dev, without.dev)
        np.testing.assert_array_equal(fold.test, without.test)
    assert (protocol.concordant[sorted(wanted)] == 0).all()
    np.testing.assert_array_equal(protocol.concordant[: len(real)], plain.concordant)


def test_a_task_that_the_labels_do_not_belong_to_is_refused(sample: Path, tmp_path: Path) -> None:
    posts = add_synthetic(open_dataset("sample", sample), make_rows(tmp_path / "syn"))
    with pytest.raises(UsageError, match=r"None of the 6 synthetic posts has a label of the task 'humanitarian'"):
        choose_protocol(posts, task="humanitarian")
    humanitarian = add_synthetic(
        open_dataset("sample", sample), make_rows(tmp_path / "other", label="not_humanitarian")
    )
    protocol = choose_protocol(humanitarian, task="humanitarian")
    assert synthetic_rows(humanitarian) <= set(protocol.folds(0)[0].train.tolist())


def test_struck_posts_are_left_out(table: Posts, tmp_path: Path) -> None:
    folder = make_rows(tmp_path / "syn")
    for number, said in enumerate(["0", " No", "FALSE", "0.0", "1", ""]):
        edit(folder, number, accepted=said)
    posts = add_synthetic(table, folder)
    assert [p[-4:] for p in posts.ids[posts.real :]] == ["0004", "0005"]
    edit(folder, 0, accepted="maybe")
    with pytest.raises(DataError, match=r"'maybe' in the column accepted .* is neither 1 nor 0"):
        add_synthetic(table, folder)
    for number in range(6):
        edit(folder, number, accepted="0")
    with pytest.raises(DataError, match="holds no accepted post"):
        add_synthetic(table, folder)


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        ({"split": "test"}, "stands in 'test': such posts may only train"),
        ({"split": "dev"}, "stands in 'dev'"),
        ({"synthetic": "0"}, "is not marked synthetic"),
        ({"synthetic": ""}, "is not marked synthetic"),
        ({"post_id": "p3"}, "has the id of a post of"),
        ({"post_id": "synthetic-abc123-0001"}, "twice"),
        ({"post_id": ""}, "without id"),
    ],
)
def test_rows_that_must_not_train_are_refused(cells: dict[str, str], match: str, table: Posts, tmp_path: Path) -> None:
    folder = make_rows(tmp_path / "syn")
    edit(folder, 0, **cells)
    with pytest.raises(DataError, match=match):
        add_synthetic(table, folder)


def test_a_damaged_table_is_one_sentence(table: Posts, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no synthetic\.csv; make one with"):
        add_synthetic(table, tmp_path)
    for content, match in (
        (b"post_id;text\n1;2\n", "commas between the fields"),
        (b"\xff\xfe\x00", "could not be read as CSV"),
        (",".join(COLUMNS).encode() + b"\nonly,two\n", "line 2 has more or fewer fields"),
    ):
        (tmp_path / TABLE).write_bytes(content)
        with pytest.raises(DataError, match=match):
            add_synthetic(table, tmp_path)


def test_a_table_that_marks_its_own_rows_keeps_them_in_train(tmp_path: Path) -> None:
    path = make_table(tmp_path / "data")
    frame = pandas.read_csv(path, dtype=str)
    frame["synthetic"] = ["1" if row % 10 == 0 else "" for row in range(len(frame))]
    frame["part"] = ["train" if row % 10 == 0 else ("test", "train", "dev")[row % 3] for row in range(len(frame))]
    frame.to_csv(path, index=False)
    for columns in (Columns(), Columns(split="part")):
        posts = open_dataset("table", path, columns)
        assert len(posts.synthetic) == 4
        assert posts.ids[-4:] == ["p0", "p10", "p20", "p30"]
        for row, post in enumerate(posts.ids):
            assert posts.texts[row] == tweet(10_000 + int(post[1:]))
        fold = choose_protocol(posts).folds(0)[0]
        assert {36, 37, 38, 39} <= set(fold.train.tolist())
        assert not {36, 37, 38, 39} & {*fold.dev.tolist(), *fold.test.tolist()}
    frame.loc[10, "part"] = "test"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match="The synthetic post 'p10' stands in 'test'"):
        open_dataset("table", path, Columns(split="part"))
    frame["synthetic"] = "1"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match="Every post is synthetic"):
        choose_protocol(open_dataset("table", path))


def test_a_table_of_texts_alone_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("text,label\na b c,informative\nd e f,not_informative\n", encoding="utf-8")
    posts = add_synthetic(open_dataset("table", path), make_rows(tmp_path / "syn"))
    assert posts.modalities == {"text"}


def test_a_path_that_leads_out_of_the_folder_is_not_followed(table: Posts, tmp_path: Path) -> None:
    folder = make_rows(tmp_path / "syn")
    blobs(1).save(tmp_path / "secret.png")
    edit(folder, 0, image_path="../secret.png")
    edit(folder, 1, image_path=str(tmp_path / "secret.png"))
    posts = add_synthetic(table, folder)
    found = [posts.image_file(image) for image in posts.images[posts.real :]]
    assert found[:2] == [None, None]
    assert found[2] == str((folder / "images/synthetic-abc123-0002.png").resolve())


def test_the_cache_is_extended_and_heads_train_with_them(run: Run, tmp_path: Path) -> None:
    data = make_table(tmp_path / "data", rows=80)
    folder = make_rows(tmp_path / "syn", count=8)
    flags = ["--data", str(data), "--event-column", "event", "--quiet", "--json"]
    code, out, err = run("extract", "--model", "classic", *flags)
    assert code == 0, err
    code, out, err = run("fit-head", "--head", "mlp", "--seeds", "1", *flags, "--synthetic", str(folder))
    assert code == 1
    assert "lacks 8 of the 88 posts needed" in err
    assert f"--synthetic {folder}" in err
    code, out, err = run("extract", "--model", "classic", *flags, "--synthetic", str(folder))
    extended = json.loads(out)
    assert (code, extended["rows"], extended["reused"]) == (0, 88, 80)
    with FeatureFile.open(Path(extended["file"])) as file:
        assert (file.rows_of(synthetic_ids(folder)) >= 80).all()
    runs = {}
    for words in ([], ["--synthetic", str(folder)]):
        code, out, err = run("fit-head", "--head", "logistic", "--seeds", "2", *flags, *words)
        assert code == 0, err
        runs[bool(words)] = json.loads(out)
    assert runs[True]["test"]["rows"] == runs[False]["test"]["rows"]
    assert runs[True]["dev"]["rows"] == runs[False]["dev"]["rows"]
    assert any("8 synthetic posts" in note for note in runs[True]["notes"])
    predictions = pandas.read_parquet(Path(runs[True]["run"]) / "predictions.parquet")
    assert not predictions["post_id"].str.startswith("synthetic-").any()
    probabilities = [
        pandas.read_parquet(Path(runs[key]["run"]) / "predictions.parquet")["p(informative)"] for key in (True, False)
    ]
    assert not np.allclose(*probabilities)
    code, out, err = run("sweep", "--heads", "logistic", "--seeds", "1", *flags, "--synthetic", str(folder))
    assert code == 0, err


def synthetic_ids(folder: Path) -> list[str]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
        return [row["post_id"] for row in csv.DictReader(stream)]
