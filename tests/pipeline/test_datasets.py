"""Reading datasets: nothing about a post is lost or changed on the way in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import open_dataset
from pipeline.datasets import tabular as table
from pipeline.datasets.crisismmd import read_posts, read_splits
from pipeline.datasets.stats import dataset_stats
from pipeline.datasets.tabular import Columns
from pipeline.datasets.tsv import read_tsv
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol

FIELD = st.text(st.characters(blacklist_characters="\t\n\r", blacklist_categories=("Cs",)), max_size=12)


@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=8), ending=st.sampled_from(["\n", "\r\n"]))
def test_tsv_fields_come_back_byte_for_byte(rows: list[tuple[str, str]], ending: str, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("tsv") / "x.tsv"
    text = "".join("\t".join(row) + ending for row in [("tweet_id", "Text"), *rows])
    path.write_bytes(text.encode())
    found = read_tsv(path)
    assert list(zip(found["tweet_id"], found["text"], strict=True)) == rows


def test_tsv_with_a_missing_field_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    path.write_text("a\tb\n1\t2\n3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad.tsv line 3 has 1 fields where the header has 2"):
        read_tsv(path)
    path.write_bytes(b"a\tb\n\xff\t2\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_tsv(path)


def test_real_crisismmd_has_the_published_counts(crisismmd: Path) -> None:
    posts = read_posts(crisismmd)
    stats = dataset_stats(posts)
    assert (stats["posts"], stats["groups"], len(stats["events"])) == (18_082, 16_058, 7)
    wildfire = stats["agreement"]["informative"]["california_wildfires"]
    assert (wildfire["concordant"], wildfire["discordant"]) == (923 + 282, 384)
    assert wildfire["table"]["informative"]["not_informative"] == 322
    assert wildfire["table"]["not_informative"]["informative"] == 62
    sizes = {
        (split_set, task): tuple(sum(parts[s].values()) for s in ("train", "dev", "test"))
        for split_set, tasks in stats["splits"].items()
        for task, parts in tasks.items()
    }
    assert sizes == {
        ("agreed", "informative"): (9_601, 1_573, 1_534),
        ("agreed", "humanitarian"): (6_126, 998, 955),
        ("all", "informative"): (13_608, 2_237, 2_237),
        ("all", "humanitarian"): (13_608, 2_237, 2_237),
        ("settingA", "informative"): (9_599, 1_573, 1_534),
        ("settingA", "humanitarian"): (2_874, 477, 451),
        ("settingA", "damage"): (2_468, 529, 529),
        ("settingB", "informative"): (13_608, 1_573, 1_534),
        ("settingB", "humanitarian"): (8_348, 477, 451),
        ("settingB", "damage"): (2_468, 529, 529),
        ("damage", "damage"): (2_468, 529, 529),
    }


def test_derived_humanitarian_train_split_holds_no_dev_or_test_post(crisismmd: Path) -> None:
    splits = read_splits(read_posts(crisismmd), "all", "humanitarian")
    train, dev, test = (set(splits[s].rows) for s in ("train", "dev", "test"))
    assert not train & dev
    assert not train & test
    assert len(train | dev | test) == 18_082


def test_real_texts_and_ids_stay_as_they_stand_in_the_file(crisismmd: Path) -> None:
    posts = read_posts(crisismmd)
    raw = (crisismmd / "annotations" / "california_wildfires_final_data.tsv").read_bytes().split(b"\n")[1].split(b"\t")
    row = posts.row_of[raw[1].decode()]
    assert posts.groups[row].encode() == raw[0]
    assert posts.texts[row].encode() == raw[12]
    assert posts.dates[row] == "2017-10-10"
    assert all(post.rsplit("_", 1)[0].isdigit() for post in posts.ids)


def write(path: Path, **columns: list[object]) -> Path:
    frame = pandas.DataFrame(columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_table_keeps_ids_and_texts_in_every_format(tmp_path: Path, suffix: str) -> None:
    ids = ["905274232590004225", "007", "1e5"]
    texts = ["nan", "NA", "âš¡ 🌊 null"]
    path = write(tmp_path / f"t{suffix}", post_id=ids, text=texts, label=["a", "b", "a"])
    posts = table.read_posts(path, Columns())
    assert list(posts.ids) == ids
    assert list(posts.texts) == texts


def test_parquet_integers_keep_all_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pandas.DataFrame({"id": pandas.array([905274232590004225, None], dtype="Int64"), "text": ["x", None]}).to_parquet(
        path
    )
    posts = table.read_posts(path, Columns())
    assert posts.ids[0] == "905274232590004225"
    assert list(posts.texts) == ["x", ""]


def test_repeated_ids_are_numbered_and_said(tmp_path: Path) -> None:
    posts = table.read_posts(write(tmp_path / "t.csv", id=["a", "a", "b"], text=["x", "y", "z"]), Columns())
    assert list(posts.ids) == ["a", "a#2", "b"]
    assert "1 ids repeat" in posts.notes[0]


def test_without_a_group_column_a_shared_photo_or_text_is_one_group(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", text=["x", "x", "y", "z"], image=["1.jpg", "2.jpg", "2.jpg", "3.jpg"])
    groups = table.read_posts(path, Columns()).groups
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_missing_column_names_the_flag_and_the_columns_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", text=["x"], kind=["y"])
    with pytest.raises(UsageError, match=r"no column 'label' \(--label-column\); it has text, kind"):
        table.read_posts(path, Columns(label="label"))
    with pytest.raises(UsageError, match="neither a text nor an image column"):
        table.read_posts(write(tmp_path / "u.csv", words=["x"]), Columns())


def test_wrong_places_are_one_sentence(tmp_path: Path) -> None:
    for dataset, data in (("crisismmd", tmp_path), ("crisismmd", tmp_path / "no"), ("table", tmp_path / "no.csv")):
        with pytest.raises(UsageError):
            open_dataset(dataset, data)
    (tmp_path / "x.doc").write_bytes(b"x")
    with pytest.raises(UsageError, match="no table that can be read"):
        open_dataset("table", tmp_path / "x.doc")
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"could not be read as PARQUET"):
        open_dataset("table", tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="There is no dataset 'coco'"):
        open_dataset("coco", None)


@pytest.mark.parametrize("image", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "link.jpg"])
def test_image_paths_cannot_leave_the_folder(tmp_path: Path, image: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    home = tmp_path / "data"
    home.mkdir()
    (home / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    posts = table.read_posts(write(home / "t.csv", image=[image, "fine.jpg"]), Columns())
    assert posts.image_file(posts.images[0]) is None
    assert posts.image_file("fine.jpg") == str((home / "fine.jpg").resolve())


def test_environment_variable_names_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.csv", text=["x", "y"])
    monkeypatch.setenv("CRISIS_DATA", str(path))
    assert np.array_equal(open_dataset(None, None).texts, ["x", "y"])


def test_row_longer_than_the_header_is_refused_and_shifts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nhello,1,x\nbye,0,\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2 has 3 cells where the header has 2"):
        table.read_posts(path, Columns())
    path.write_text("text,label\nhello,1,\nbye,0,\n", encoding="utf-8")
    assert list(table.read_posts(path, Columns()).texts) == ["hello", "bye"]


def test_json_lines_keep_the_digits_of_a_column_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id":911000000000000001,"text":"a","label":1}\n{"text":"b"}\n', encoding="utf-8")
    posts = table.read_posts(path, Columns())
    assert list(posts.ids) == ["911000000000000001", "row-2"]
    assert list(posts.labels["label"]["pair"]) == ["1", ""]
    path.write_text('{"text":"a"}\n[1]\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 2 is no JSON object"):
        table.read_posts(path, Columns())


@given(ids=st.lists(st.sampled_from(["a", "a#2", "a#3", "", "b", "row-2"]), min_size=1, max_size=12))
def test_numbered_ids_are_always_unique_and_first_ones_keep_their_name(ids: list[str]) -> None:
    found, _ = table._ids(Path("t.csv"), ids, [str(row) for row in range(1, len(ids) + 1)], "id")
    assert len(set(found)) == len(ids)
    for position, post in enumerate(ids):
        if post and post not in ids[:position] and post != "row-2":
            assert found[position] == post


def test_empty_cells_of_the_group_column_are_no_group(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", text=["u", "v", "w"], g=["", "", "x"])
    groups = table.read_posts(path, Columns(group="g")).groups
    assert len(set(groups)) == 3


def test_image_path_no_file_can_have_is_outside(tmp_path: Path) -> None:
    posts = table.read_posts(write(tmp_path / "t.csv", image=["a.png"]), Columns())
    assert posts.image_file("a\0.png") is None


@pytest.mark.parametrize("name", ["../../escape", "a/b", ".hidden", ""])
def test_dataset_name_cannot_lead_out_of_the_cache(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a dataset"):
        open_dataset("table", write(tmp_path / "t.csv", text=["x"]), name=name)


def test_annotations_without_a_task_leave_that_task_out(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "x_final_data.tsv").write_text("tweet_id\timage_id\ttweet_text\timage_path\n1\t1_0\ta\tb\n")
    posts = read_posts(tmp_path)
    assert posts.labels == {}
    with pytest.raises(UsageError, match="no label"):
        choose_protocol(posts)
