"""The embedded sample: same bytes every time, CrisisMMD's layout, no leak, planted signal, known damage."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import Normalizer, StandardScaler

from pipeline.sample import SampleError, Summary, make_sample
from pipeline.sample.events import EVENTS, posts_per_event

SPLITS = ("train", "dev", "test")
Row = dict[str, str]

# The layout as CrisisMMD v2.0 is distributed, written out here a second time on purpose.
ANNOTATION_HEADER = """
    tweet_id image_id text_info text_info_conf image_info image_info_conf text_human text_human_conf
    image_human image_human_conf image_damage image_damage_conf tweet_text image_url image_path
"""
PAIR_HEADER = "event_name tweet_id image_id tweet_text image label label_text label_image label_text_image"
SPLIT_HEADERS = {
    "agreed_label/task_informative_text_img_agreed_lab": PAIR_HEADER,
    "agreed_label/task_humanitarian_text_img_agreed_lab": PAIR_HEADER,
    "all/task_informative_text_img": PAIR_HEADER,
    "all/task_humanitarian_text_img": PAIR_HEADER,
    "settingA/task_informative_text_img": PAIR_HEADER,
    "settingA/task_humanitarian_text_img": PAIR_HEADER,
    "settingA/task_damage_text_img": "event_name tweet_id image_id tweet_text image label",
    "settingB/task_informative_text_img": PAIR_HEADER,
    "settingB/task_humanitarian_text_img": PAIR_HEADER,
    "settingB/task_damage_text_img": "event_name tweet_id image_id tweet_text image label",
    "damage/task_damage": "Event_name Image_id Image Label",
}
SPLIT_FILES = {
    f"crisismmd_datasplit_{stem}_{split}.tsv": header.split()
    for stem, header in SPLIT_HEADERS.items()
    for split in SPLITS
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return make_sample(tmp_path_factory.mktemp("sample") / "made", posts=400, seed=3)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return make_sample(tmp_path_factory.mktemp("planted") / "made", posts=1200, seed=0)


def read(path: Path) -> tuple[list[str], list[Row]]:
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n")
    header, *rows = [line.split("\t") for line in text.split("\n")[:-1]]
    assert all(len(row) == len(header) for row in rows)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def annotations(output: Path) -> list[Row]:
    files = sorted((output / "CrisisMMD_v2.0" / "annotations").glob("*_final_data.tsv"))
    return [{**row, "event": path.name[: -len("_final_data.tsv")]} for path in files for row in read(path)[1]]


def split_rows(output: Path, folder: str, stem: str) -> dict[str, list[Row]]:
    return {split: read(output / f"crisismmd_datasplit_{folder}" / f"{stem}_{split}.tsv")[1] for split in SPLITS}


def tree_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def test_same_parameters_give_the_same_bytes_whatever_ran_before(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = make_sample(tmp_path / "a", posts=60, seed=5)
    other_seed = make_sample(tmp_path / "b", posts=60, seed=6)
    again = make_sample(tmp_path / "deeper" / "c", posts=60, seed=5)
    assert tree_digest(first.output) == tree_digest(again.output)
    assert tree_digest(first.output) != tree_digest(other_seed.output)


def test_layout_and_headers_are_those_of_crisismmd(sample: Summary) -> None:
    folder = sample.output / "CrisisMMD_v2.0" / "annotations"
    assert {path.name for path in folder.iterdir()} == {f"{event.name}_final_data.tsv" for event in EVENTS}
    for path in folder.iterdir():
        assert read(path)[0] == ANNOTATION_HEADER.split()
    found = {path.relative_to(sample.output).as_posix() for path in sample.output.glob("crisismmd_*/*")}
    assert found == set(SPLIT_FILES)
    for name, header in SPLIT_FILES.items():
        assert read(sample.output / name)[0] == header


def test_headers_agree_with_the_real_dataset() -> None:
    real = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not real.is_dir():
        pytest.skip("../shared/data is not here")
    for name, header in SPLIT_FILES.items():
        if (real / name).is_file():
            assert (real / name).read_text(encoding="utf-8").split("\n", 1)[0].split("\t") == header
    for path in (real / "CrisisMMD_v2.0" / "annotations").iterdir():
        assert path.read_text(encoding="utf-8").split("\n", 1)[0].split("\t") == ANNOTATION_HEADER.split()


def test_summary_counts_agree_with_the_tables(sample: Summary) -> None:
    rows = annotations(sample.output)
    assert len(rows) == sample.posts == 400
    assert len({row["image_id"] for row in rows}) == len(rows)
    texts = {row["tweet_id"]: row["tweet_text"] for row in rows}
    assert len(texts) == sample.tweets
    assert len(set(texts.values())) == sample.texts
    empty = [row["image_id"] for row in rows if row["tweet_text"] == ""]
    assert len(empty) == 1
    assert tuple(empty) == sample.empty_text
    assert sample.repeated_texts == sample.tweets - sample.texts > 0
    assert Counter(row["event"] for row in rows) == sample.events
    split_sizes = {split: len(r) for split, r in split_rows(sample.output, "all", "task_humanitarian_text_img").items()}
    assert split_sizes == sample.splits
    assert sum(split_sizes.values()) == 400
    paths = {sample.dataset / row["image_path"] for row in rows}
    contents = [path.read_bytes() for path in paths if path.exists()]
    assert len(set(contents)) == sample.images
    assert sample.repeated_images == len(contents) - sample.images > 0
    assert set((sample.dataset / "data_image").rglob("*.jpg")) <= paths


def test_rows_have_the_shape_of_real_ones(sample: Summary) -> None:
    rows = annotations(sample.output)
    days = {event.name: (event.first_day, event.days) for event in EVENTS}
    for row in rows:
        tweet, number = row["image_id"].split("_")
        assert tweet == row["tweet_id"]
        assert len(tweet) == 18
        assert tweet.isdigit()
        assert number in "0123"
        folder, event, day, file = row["image_path"].split("/")
        assert (folder, event, file) == ("data_image", row["event"], f"{row['image_id']}.jpg")
        first, length = days[event]
        assert 0 <= (datetime.strptime(day, "%d_%m_%Y").date() - first).days < length
        for side in ("text", "image"):
            assert (row[f"{side}_info"] == "not_informative") == (row[f"{side}_human"] == "not_humanitarian")
        judged = row["image_human"] == "infrastructure_and_utility_damage"
        assert (row["image_damage"] != "nan") == judged == (row["image_damage_conf"] != "nan")
    by_tweet = defaultdict(set)
    for row in rows:
        by_tweet[row["tweet_id"]].add((row["tweet_text"], row["text_human"], row["text_human_conf"]))
    assert all(len(told) == 1 for told in by_tweet.values())
    assert max(Counter(row["tweet_id"] for row in rows).values()) == 4
    texts = [row["tweet_text"] for row in rows]
    for mark in ("â€", "RT @", "https://", "#", "&amp;"):
        assert any(mark in text for text in texts), mark


def test_splits_share_no_tweet_in_any_task(sample: Summary) -> None:
    split_of: dict[str, str] = {}
    for name in SPLIT_FILES:
        split = name.removesuffix(".tsv").rsplit("_", 1)[1]
        for row in read(sample.output / name)[1]:
            tweet = (row.get("image_id") or row["Image_id"]).split("_")[0]
            assert split_of.setdefault(tweet, split) == split
    assert Counter(split_of.values()).keys() == set(SPLITS)


@pytest.mark.parametrize("task", ["informative", "humanitarian"])
def test_agreed_files_hold_all_concordant_rows_and_no_other(sample: Summary, task: str) -> None:
    column = {"informative": "info", "humanitarian": "human"}[task]
    label = {row["image_id"]: (row[f"text_{column}"], row[f"image_{column}"]) for row in annotations(sample.output)}
    agreed = split_rows(sample.output, "agreed_label", f"task_{task}_text_img_agreed_lab")
    held = [row for rows in agreed.values() for row in rows]
    assert {row["label_text_image"] for row in held} == {"Positive"}
    assert {row["image_id"] for row in held} == {post for post, (text, image) in label.items() if text == image}
    for row in held:
        assert (row["label_text"], row["label_image"]) == label[row["image_id"]] == (row["label"],) * 2
    assert 0.5 < len(held) / len(label) < 0.9


@pytest.mark.parametrize("task", ["informative", "humanitarian"])
def test_all_files_hold_every_row_with_one_of_its_two_labels(sample: Summary, task: str) -> None:
    rows = [row for rows in split_rows(sample.output, "all", f"task_{task}_text_img").values() for row in rows]
    assert {row["image_id"] for row in rows} == {row["image_id"] for row in annotations(sample.output)}
    for row in rows:
        assert row["label"] in (row["label_text"], row["label_image"])
        assert (row["label_text_image"] == "Positive") == (row["label_text"] == row["label_image"])


@pytest.mark.parametrize("task", ["informative", "humanitarian"])
def test_setting_b_adds_discordant_pairs_to_train_only(sample: Summary, task: str) -> None:
    a = split_rows(sample.output, "settingA", f"task_{task}_text_img")
    b = split_rows(sample.output, "settingB", f"task_{task}_text_img")
    assert a["dev"] == b["dev"]
    assert a["test"] == b["test"]
    concordant = [row for row in b["train"] if row["label_text_image"] == "Positive"]
    assert concordant == a["train"]
    assert len(b["train"]) > len(a["train"]) > 0
    if task == "humanitarian":
        labels = {row["label"] for part in (a, b) for rows in part.values() for row in rows}
        assert "not_humanitarian" not in labels


def test_damage_splits_hold_the_judged_images(sample: Summary) -> None:
    classes = {"severe_damage", "mild_damage", "little_or_no_damage"}
    judged = {r["image_id"]: r["image_damage"] for r in annotations(sample.output) if r["image_damage"] in classes}
    short = [row for rows in split_rows(sample.output, "damage", "task_damage").values() for row in rows]
    assert {row["Image_id"]: row["Label"] for row in short} == judged
    assert len(short) == len(judged)
    assert set(judged.values()) == classes
    for setting in ("settingA", "settingB"):
        rows = [r for rows in split_rows(sample.output, setting, "task_damage_text_img").values() for r in rows]
        assert {row["image_id"]: row["label"] for row in rows} == judged


def test_damaged_files_are_what_the_summary_says(sample: Summary) -> None:
    assert Counter(sample.damaged.values()) == Counter(
        ["truncated JPEG", "missing file", "zero-byte file", "text file named .jpg"]
    )
    path_of = {row["image_id"]: sample.dataset / row["image_path"] for row in annotations(sample.output)}
    unreadable = {}
    for post, path in path_of.items():
        try:
            with Image.open(path) as image:
                image.load()
        except OSError:
            unreadable[post] = path
    assert set(unreadable) == set(sample.damaged)
    path_by_kind = {kind: unreadable[post] for post, kind in sample.damaged.items()}
    assert not path_by_kind["missing file"].exists()
    assert path_by_kind["zero-byte file"].read_bytes() == b""
    assert path_by_kind["truncated JPEG"].read_bytes()[:2] == b"\xff\xd8"
    path_by_kind["text file named .jpg"].read_bytes().decode("ascii")


def test_unusual_files_can_be_read_and_are_odd_as_the_summary_says(sample: Summary) -> None:
    path_of = {row["image_id"]: sample.dataset / row["image_path"] for row in annotations(sample.output)}
    seen = {}
    for post, kind in sample.unusual.items():
        with Image.open(path_of[post]) as image:
            seen[kind] = (image.format, image.mode, getattr(image, "n_frames", 1) > 1)
            image.convert("RGB").load()
    assert seen.pop("animated GIF named .jpg")[::2] == ("GIF", True)
    assert seen == {
        "PNG named .jpg": ("PNG", "RGB", False),
        "CMYK JPEG": ("JPEG", "CMYK", False),
        "greyscale JPEG": ("JPEG", "L", False),
    }


def test_same_sample_is_reused_untouched(tmp_path: Path) -> None:
    made = make_sample(tmp_path / "s", posts=60)
    before = {path: path.stat().st_mtime_ns for path in made.output.rglob("*")}
    again = make_sample(tmp_path / "s", posts=60)
    assert not made.reused
    assert again.reused
    assert {path: path.stat().st_mtime_ns for path in made.output.rglob("*")} == before
    assert {**vars(again), "reused": False} == vars(made)


def test_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    made = make_sample(tmp_path / "s", posts=20)
    for posts, seed in ((21, 0), (20, 1)):
        with pytest.raises(SampleError, match="choose another folder"):
            make_sample(made.output, posts=posts, seed=seed)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    for output in (foreign, foreign / "thesis.txt"):
        with pytest.raises(SampleError, match="choose another folder"):
            make_sample(output, posts=20)
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    marker = made.output / "SAMPLE.json"
    facts = json.loads(marker.read_text())
    for spoiled in ("", "[]", json.dumps({**facts, "version": -1}), json.dumps({**facts, "summary": {}})):
        marker.write_text(spoiled)
        with pytest.raises(SampleError, match="choose another folder"):
            make_sample(made.output, posts=20)


def test_parameters_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="at least 20"):
        make_sample(tmp_path / "s", posts=19)
    with pytest.raises(SampleError, match="seed"):
        make_sample(tmp_path / "s", seed=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(SampleError, match="could not be written"):
        make_sample(tmp_path / "file" / "s", posts=20)


def test_interrupted_drawing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def interrupted(*_: object) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise KeyboardInterrupt
        return b"image"

    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("pipeline.sample.corpus.jpeg_bytes", interrupted)
    for output in (tmp_path / "new", tmp_path / "empty"):
        with pytest.raises(KeyboardInterrupt):
            make_sample(output, posts=40)
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]
    assert list((tmp_path / "empty").iterdir()) == []


@settings(max_examples=8, deadline=None, derandomize=True)
@given(posts=st.integers(20, 80), seed=st.integers(0, 2**40))
def test_small_samples_are_whole(tmp_path_factory: pytest.TempPathFactory, posts: int, seed: int) -> None:
    made = make_sample(tmp_path_factory.mktemp("small") / "s", posts=posts, seed=seed)
    rows = annotations(made.output)
    assert len(rows) == posts
    assert all(count > 0 for count in made.events.values())
    assert set(made.splits) == set(SPLITS)
    agreed = split_rows(made.output, "agreed_label", "task_informative_text_img_agreed_lab")
    assert all(agreed[split] for split in SPLITS)
    absent = {row["image_id"] for row in rows if not (made.dataset / row["image_path"]).exists()}
    assert absent == {post for post, kind in made.damaged.items() if kind == "missing file"}
    if posts >= 50:
        assert {"truncated JPEG", "missing file"} <= set(made.damaged.values())
        assert len(made.empty_text) == 1


@given(posts=st.integers(7, 20_000))
def test_every_event_gets_its_share_of_rows(posts: int) -> None:
    counts = posts_per_event(posts)
    assert sum(counts) == posts
    assert all(abs(n - 1 - event.share * (posts - 7)) < 1 for event, n in zip(EVENTS, counts, strict=True))


def image_statistics(path: Path) -> np.ndarray:
    """[272] float64: colours on 8 x 8 cells, their spread on 4 x 4, edge strengths; NaN if unreadable."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((64, 64)), dtype=np.float64) / 255
    except OSError:
        return np.full(272, np.nan)
    colours = pixels.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)).ravel()
    spread = pixels.reshape(4, 16, 4, 16, 3).std(axis=(1, 3)).ravel()
    edges = [np.abs(np.diff(pixels.mean(axis=2), axis=axis)).ravel() for axis in (0, 1)]
    shares = [np.histogram(edge, 16, (0, 0.4))[0] / edge.size for edge in edges]
    return np.concatenate([colours, spread, *shares])


@pytest.mark.parametrize("task", ["informative", "humanitarian"])
def test_fusion_beats_either_modality_on_the_agreed_split(planted: Summary, task: str) -> None:
    merged = {
        "injured_or_dead_people": "affected_individuals",
        "missing_or_found_people": "affected_individuals",
        "vehicle_damage": "infrastructure_and_utility_damage",
    }
    parts = split_rows(planted.output, "agreed_label", f"task_{task}_text_img_agreed_lab")
    rows = [{**row, "split": split} for split in SPLITS for row in parts[split]]
    statistics = np.stack([image_statistics(planted.dataset / row["image"]) for row in rows])
    readable = ~np.isnan(statistics).any(axis=1)
    images = statistics[readable]
    rows = [row for row, kept in zip(rows, readable, strict=True) if kept]
    train = np.array([row["split"] == "train" for row in rows])
    labels = np.array([merged.get(row["label"], row["label"]) for row in rows])
    texts = [row["tweet_text"] for row in rows]
    scaled = Normalizer().fit_transform(StandardScaler().fit(images[train]).transform(images))
    words = HashingVectorizer(n_features=2048, ngram_range=(1, 2)).transform(texts)
    views = {"image": sparse.csr_matrix(scaled), "text": words}
    views["both"] = sparse.hstack([views["image"], views["text"]]).tocsr()
    score = {}
    for name, view in views.items():
        head = LogisticRegression(C=20, max_iter=500).fit(view[train], labels[train])
        score[name] = f1_score(labels[~train], head.predict(view[~train]), average="macro")
    commonest = Counter(labels[train].tolist()).most_common(1)[0][0]
    majority = f1_score(labels[~train], np.full((~train).sum(), commonest), average="macro")
    assert min(score["image"], score["text"]) > majority + 0.1, score
    assert max(score["image"], score["text"]) < 0.9, score
    assert score["both"] > max(score["image"], score["text"]) + 0.04, score
    assert score["both"] < 0.99, score
