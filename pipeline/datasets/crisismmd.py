"""CrisisMMD v2.0 as distributed (Alam et al. 2018): annotations, images and the split folders beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.datasets.tsv import read_tsv
from pipeline.errors import DataError, UsageError

SPLITS = ("train", "dev", "test")

SPLIT_FOLDERS: dict[str, str] = {
    "agreed": "crisismmd_datasplit_agreed_label",
    "all": "crisismmd_datasplit_all",
    "settingA": "crisismmd_datasplit_settingA",
    "settingB": "crisismmd_datasplit_settingB",
    "damage": "crisismmd_datasplit_damage",
}

_SUFFIX = "_final_data.tsv"
_COLUMNS = {
    "informative": {"text": "text_info", "image": "image_info"},
    "humanitarian": {"text": "text_human", "image": "image_human"},
    "damage": {"image": "image_damage"},
}


def find_folder(data: Path) -> Path:
    """The folder that holds `annotations/`: `data` itself or a `CrisisMMD_v2.0` inside it."""
    if not data.exists():
        raise UsageError(f"There is no '{data}' (--data).")
    for folder in (data, data / "CrisisMMD_v2.0"):
        if (folder / "annotations").is_dir():
            return folder
    raise UsageError(
        f"'{data}' is no CrisisMMD folder: it holds no annotations/ with *{_SUFFIX} "
        "(give the folder CrisisMMD_v2.0, or --dataset table for a table)."
    )


def read_posts(data: Path, name: str = "crisismmd") -> Posts:
    """Every annotated text-image pair: post id = image id, group = tweet id, all as strings."""
    folder = find_folder(data)
    files = sorted((folder / "annotations").glob(f"*{_SUFFIX}"))
    if not files:
        raise DataError(f"'{folder / 'annotations'}' holds no *{_SUFFIX} file.")
    columns: dict[str, list[str]] = {}
    events: list[str] = []
    for path in files:
        table = read_tsv(path)
        _require(table, path, "tweet_id", "image_id", "tweet_text", "image_path")
        events += [path.name.removesuffix(_SUFFIX)] * len(table["tweet_id"])
        for column, values in table.items():
            columns.setdefault(column, []).extend(values)
    lengths = {len(values) for values in columns.values()}
    if lengths != {len(events)}:
        raise DataError(f"The files in '{folder / 'annotations'}' do not have the same columns.")
    ids = columns["image_id"]
    if len(set(ids)) != len(ids):
        raise DataError(f"'{folder / 'annotations'}' names an image_id twice.")
    return Posts(
        name=name,
        root=folder,
        ids=ids,
        groups=columns["tweet_id"],
        texts=columns["tweet_text"],
        images=columns["image_path"],
        events=events,
        labels={
            source: {
                modality: ["" if value == "nan" else value for value in columns[column]]
                for modality, column in by_modality.items()
            }
            for source, by_modality in _COLUMNS.items()
            if set(by_modality.values()) <= set(columns)
        },
        origin=f"CrisisMMD in {folder}",
        image_folders=(folder / "data_image",),
        dates=[_date(path) for path in columns["image_path"]],
    )


def _date(image_path: str) -> str:
    """ "data_image/<event>/<d>_<m>_<yyyy>/<file>" to "yyyy-mm-dd"; "" when the path has another shape."""
    parts = image_path.split("/")
    numbers = parts[-2].split("_") if len(parts) > 1 else []
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        return ""
    day, month, year = numbers
    return f"{year}-{int(month):02d}-{int(day):02d}"


def _require(table: Mapping[str, list[str]], path: Path, *columns: str) -> None:
    for column in columns:
        if column not in table:
            raise DataError(f"{path.name} has no column '{column}'; it has {', '.join(table)}.")


@dataclass(frozen=True)
class SplitFile:
    """One official split of one task: row numbers into the posts, and the raw label each row has there."""

    rows: list[int]
    labels: list[str]


def split_folder(posts: Posts, split_set: str) -> Path | None:
    """The split set's folder, beside the CrisisMMD folder or inside it; None when it is not there."""
    name = SPLIT_FOLDERS[split_set]
    for parent in (posts.root, posts.root.parent):
        if (parent / name).is_dir():
            return parent / name
    return None


def split_tasks(posts: Posts, split_set: str) -> list[str]:
    """The label sources ("informative", ...) for which the split set holds at least dev and test files."""
    folder = split_folder(posts, split_set)
    return [s for s in _COLUMNS if folder and _file(folder, s, "dev") and _file(folder, s, "test")]


def read_splits(posts: Posts, split_set: str, source: str) -> dict[str, SplitFile]:
    """The three splits of `source` in `split_set`, every row found among the posts.

    A row is found by its image id, else by its image path (one official row carries another id than the
    annotations). Where the humanitarian train file is missing, it is derived (`_derive_train`).
    """
    folder = split_folder(posts, split_set)
    if folder is None:
        raise UsageError(
            f"The split set '{split_set}' needs the folder {SPLIT_FOLDERS[split_set]} beside or inside "
            f"'{posts.root}', and it is not there."
        )
    splits: dict[str, SplitFile] = {}
    for split in SPLITS:
        path = _file(folder, source, split)
        if path is not None:
            splits[split] = _read_split(posts, path)
    if "train" not in splits and source == "humanitarian" and {"dev", "test"} <= set(splits):
        splits["train"] = _derive_train(posts, splits["dev"], splits["test"])
    if set(splits) != set(SPLITS):
        raise UsageError(
            f"The split set '{split_set}' has no {source} files in '{folder}'; it has "
            f"{', '.join(split_tasks(posts, split_set)) or 'none'}."
        )
    return splits


def _file(folder: Path, source: str, split: str) -> Path | None:
    found = sorted(folder.glob(f"task_{source}*_{split}.tsv"))
    return found[0] if found else None


def _read_split(posts: Posts, path: Path) -> SplitFile:
    table = read_tsv(path)
    _require(table, path, "image_id", "image", "label")
    by_image = {image: row for row, image in enumerate(posts.images)}
    rows = []
    for image_id, image in zip(table["image_id"], table["image"], strict=True):
        row = posts.row_of.get(image_id, by_image.get(image))
        if row is None:
            raise DataError(f"{path.name} names the image '{image_id}', which the annotations do not have.")
        rows.append(row)
    return SplitFile(rows, table["label"])


def _derive_train(posts: Posts, dev: SplitFile, test: SplitFile) -> SplitFile:
    """The missing humanitarian train split: every annotated pair that is in neither dev nor test.

    Not the informative train split: the two tasks were divided apart, and that one holds rows of this
    dev and test. A discordant pair has its text's label.
    """
    held_out = {*dev.rows, *test.rows}
    rows = [row for row in range(len(posts)) if row not in held_out]
    text = posts.labels["humanitarian"]["text"]
    return SplitFile(rows, [text[row] for row in rows])


def default_split_set(posts: Posts, task: Task) -> str:
    """The official agreed-label set; for damage, which it does not have, the official damage set."""
    return "damage" if task.source == "damage" else "agreed"
