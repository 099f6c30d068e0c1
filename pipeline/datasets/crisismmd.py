"""CrisisMMD v2.0 as distributed (Alam et al. 2018): annotations, images and the split folders beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.datasets.columns import Columns
from pipeline.datasets.dataset import PARTS, Dataset, SplitRows, SplitSet, Temporal
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS, Task
from pipeline.datasets.tsv import read_tsv
from pipeline.errors import DataError, UsageError

# these files of humanitarian hold no not_humanitarian rows: they are made for the five classes of Abavisani et al.
_WITHOUT_NOT = {"humanitarian": "humanitarian-abavisani"}
_SPLIT_SETS = (
    SplitSet("agreed", "crisismmd_datasplit_agreed_label", setting="A"),
    SplitSet("all", "crisismmd_datasplit_all"),
    SplitSet("settingA", "crisismmd_datasplit_settingA", setting="A", instead=_WITHOUT_NOT),
    SplitSet("settingB", "crisismmd_datasplit_settingB", setting="B", instead=_WITHOUT_NOT),
    SplitSet("damage", "crisismmd_datasplit_damage"),
)
SPLIT_SETS: dict[str, SplitSet] = {split_set.name: split_set for split_set in _SPLIT_SETS}

_WILDFIRES = "california_wildfires"
_EARLIER = ("srilanka_floods", "hurricane_harvey", "hurricane_irma", "mexico_earthquake")
TEMPORAL = {
    "C1": Temporal(_EARLIER[:1], _WILDFIRES, instead=_WITHOUT_NOT),
    "C2": Temporal(_EARLIER[:3], _WILDFIRES, instead=_WITHOUT_NOT),
    "C3": Temporal(_EARLIER, _WILDFIRES, instead=_WITHOUT_NOT),
}
"""Setting C of Abavisani et al. 2020, 4.2: three experiments, each with more of the past."""

_USUAL_PLACE = Path("data/CrisisMMD_v2.0")
_SUFFIX = "_final_data.tsv"
_COLUMNS = {
    "informative": {"text": "text_info", "image": "image_info"},
    "humanitarian": {"text": "text_human", "image": "image_human"},
    "damage": {"image": "image_damage"},
}
_SIDES = {"text": "label_text", "image": "label_image"}


class CrisisMMD(Dataset):
    name = "crisismmd"
    summary = "CrisisMMD v2.0 as distributed: a folder with annotations/, data_image/ and split folders"

    def recognises(self, path: Path) -> bool:
        return any((folder / "annotations").is_dir() for folder in _places(path))

    def default_data(self) -> Path | None:
        return _USUAL_PLACE if _USUAL_PLACE.is_dir() else None

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        assert data is not None
        return replace(read_posts(data, name or self.name), dataset=self)

    def tasks(self, posts: Posts) -> Mapping[str, Task]:
        return TASKS

    def split_sets(self, posts: Posts) -> Mapping[str, SplitSet]:
        return SPLIT_SETS

    def split_sources(self, posts: Posts, split_set: str) -> Sequence[str]:
        return split_tasks(posts, split_set)

    def default_split_set(self, posts: Posts, task: Task, setting: str | None = None) -> str | None:
        """The published files of the setting where they are there, else the official agreed-label set; for damage,
        which that does not have, the official damage set.
        """
        if setting is not None and split_folder(posts, f"setting{setting}"):
            return f"setting{setting}"
        return "damage" if task.source == "damage" else "agreed"

    def temporal_settings(self, posts: Posts) -> Mapping[str, Temporal]:
        return TEMPORAL

    def read_split(self, posts: Posts, split_set: str, source: str) -> Mapping[str, SplitRows]:
        return read_splits(posts, split_set, source)


def _places(data: Path) -> tuple[Path, Path]:
    return data, data / "CrisisMMD_v2.0"


def find_folder(data: Path) -> Path:
    """The folder that holds `annotations/`: `data` itself or a `CrisisMMD_v2.0` inside it."""
    if not data.exists():
        raise UsageError(f"There is no '{data}' (--data).")
    for folder in _places(data):
        if (folder / "annotations").is_dir():
            return folder
    raise UsageError(
        f"'{data}' is no CrisisMMD folder: it holds no annotations/ with *{_SUFFIX} "
        "(give the folder CrisisMMD_v2.0, a table, or a folder of photos or texts)."
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
        dataset=CrisisMMD(),
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


def split_folder(posts: Posts, split_set: str) -> Path | None:
    """The split set's folder, beside the CrisisMMD folder or inside it; None when it is not there."""
    name = SPLIT_SETS[split_set].where
    for parent in (posts.root, posts.root.parent):
        if (parent / name).is_dir():
            return parent / name
    return None


def split_tasks(posts: Posts, split_set: str) -> list[str]:
    """The label sources ("informative", ...) for which the split set holds at least dev and test files."""
    folder = split_folder(posts, split_set)
    return [s for s in _COLUMNS if folder and _file(folder, s, "dev") and _file(folder, s, "test")]


def read_splits(posts: Posts, split_set: str, source: str) -> dict[str, SplitRows]:
    """The three splits of `source` in `split_set`, every row found among the posts.

    A row is found by its image id, else by its image path (one official row carries another id than the
    annotations). Where the humanitarian train file is missing, it is derived (`_derive_train`).
    """
    folder = split_folder(posts, split_set)
    if folder is None:
        raise UsageError(
            f"The split set '{split_set}' needs the folder {SPLIT_SETS[split_set].where} beside or inside "
            f"'{posts.root}', and it is not there."
        )
    splits: dict[str, SplitRows] = {}
    for split in PARTS:
        path = _file(folder, source, split)
        if path is not None:
            splits[split] = _read_split(posts, path)
    if "train" not in splits and source == "humanitarian" and {"dev", "test"} <= set(splits):
        splits["train"] = _derive_train(posts, splits["dev"], splits["test"])
    if set(splits) != set(PARTS):
        raise UsageError(
            f"The split set '{split_set}' has no {source} files in '{folder}'; it has "
            f"{', '.join(split_tasks(posts, split_set)) or 'none'}."
        )
    return splits


def _file(folder: Path, source: str, split: str) -> Path | None:
    found = sorted(folder.glob(f"task_{source}*_{split}.tsv"))
    return found[0] if found else None


def _read_split(posts: Posts, path: Path) -> SplitRows:
    table = read_tsv(path)
    _require(table, path, "image_id", "image", "label")
    by_image = {image: row for row, image in enumerate(posts.images)}
    rows = []
    for image_id, image in zip(table["image_id"], table["image"], strict=True):
        row = posts.row_of.get(image_id, by_image.get(image))
        if row is None:
            raise DataError(f"{path.name} names the image '{image_id}', which the annotations do not have.")
        rows.append(row)
    sides = {side: table[column] for side, column in _SIDES.items() if column in table}
    return SplitRows(rows, table["label"], sides)


def _derive_train(posts: Posts, dev: SplitRows, test: SplitRows) -> SplitRows:
    """The missing humanitarian train split: every annotated pair that is in neither dev nor test.

    Not the informative train split: the two tasks were divided apart, and that one holds rows of this
    dev and test. A discordant pair has its text's label.
    """
    held_out = {*dev.rows, *test.rows}
    rows = [row for row in range(len(posts)) if row not in held_out]
    text = posts.labels["humanitarian"]["text"]
    return SplitRows(rows, [text[row] for row in rows])
