"""Which dataset is meant, and what a dataset of one's own must be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.datasets import DATASETS, Columns, Dataset, Posts, SplitRows, SplitSet, open_dataset
from pipeline.datasets.registry import _adopt, recognised
from pipeline.datasets.stats import dataset_stats
from pipeline.datasets.tasks import TASKS
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import choose_protocol
from tests.pipeline.support import make_posts


class Divided(Dataset):
    """Posts with an official split set of their own."""

    name = "divided"
    summary = "a test"

    def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
        assert data is not None
        return replace(make_posts(data, count=30), name=name or self.name, dataset=self)

    def split_sets(self, posts: Posts) -> dict[str, SplitSet]:
        return {"thirds": SplitSet("thirds", "its rows")}

    def split_sources(self, posts: Posts, split_set: str) -> list[str]:
        return list(posts.labels)

    def default_split_set(self, posts: Posts, task: object, setting: str | None = None) -> str:
        return "thirds"

    def read_split(self, posts: Posts, split_set: str, source: str) -> dict[str, SplitRows]:
        raw = posts.labels[source]["pair"]
        rows = {part: list(range(start, 30, 3)) for start, part in enumerate(("train", "dev", "test"))}
        return {part: SplitRows(held, [raw[row] for row in held]) for part, held in rows.items()}


def test_a_path_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("text\nx\n")
    (tmp_path / "CrisisMMD_v2.0" / "annotations").mkdir(parents=True)
    assert recognised(tmp_path / "posts.csv") == "table"
    assert recognised(tmp_path) == "crisismmd"
    assert recognised(tmp_path / "missing") == "crisismmd"


def test_what_can_be_a_dataset() -> None:
    assert _adopt("my:Divided", Divided).name == "divided"
    assert isinstance(_adopt("my:DIVIDED", Divided()), Divided)
    with pytest.raises(TypeError, match="not derived from"):
        _adopt("my:thing", dict)
    with pytest.raises(TypeError, match="one of ours"):
        _adopt("my:Taken", type("Taken", (Dataset,), {"name": "table"}))
    with pytest.raises(TypeError, match="cannot be that of a folder"):
        _adopt("my:Nameless", type("Nameless", (Dataset,), {}))


def test_an_unknown_dataset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no dataset 'CrisisMD' \(did you mean 'crisismmd'\?\); `crisis data ls`"):
        open_dataset("CrisisMD", None)
    with pytest.raises(UsageError, match="cannot be loaded"):
        open_dataset("no_such_module:Data", None)


def test_a_dataset_has_split_sets_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS._named, "my:Divided", Divided())
    posts = open_dataset("my:Divided", tmp_path, name="other")
    assert (posts.name, posts.flags) == ("other", f"--dataset my:Divided --data {tmp_path} --name other")
    protocol = choose_protocol(posts)
    assert protocol.split == "official thirds (its rows)"
    assert protocol.folds(0)[0].test.tolist() == list(range(2, 30, 3))
    assert sum(dataset_stats(posts)["splits"]["thirds"]["label"]["dev"].values()) == 10
    with pytest.raises(UsageError, match=r"no split set 'third' \(did you mean 'thirds'\?\)"):
        choose_protocol(posts, split_set="third")
    with pytest.raises(UsageError, match=r"no setting 'a' \(did you mean 'A'\?\)"):
        choose_protocol(posts, setting="a")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"texts": ["x"]}, "has 30 posts, but 1 texts"),
        ({"ids": ["x"] * 30}, "has an id twice"),
        ({"name": "../x"}, "cannot name a folder"),
    ],
)
def test_a_dataset_that_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], sentence: str
) -> None:
    class Wrong(Divided):
        def read(self, data: Path | None, columns: Columns, name: str | None, cache: Path) -> Posts:
            return replace(super().read(data, columns, name, cache), **change)

    monkeypatch.setitem(DATASETS._named, "my:Wrong", Wrong())
    with pytest.raises(DataError, match=sentence):
        open_dataset("my:Wrong", tmp_path)


def test_posts_labelled_apart_without_split_sets_have_the_text_label(tmp_path: Path) -> None:
    posts = make_posts(tmp_path, count=40)
    raw = posts.labels["label"]["pair"]
    apart = replace(posts, labels={"label": {"text": ["", *raw[1:]], "image": raw}})
    assert (choose_protocol(apart).labels == choose_protocol(posts).labels).all()
    assert choose_protocol(apart).concordant.tolist() == [0] + [1] * 39


def test_former_names_of_tasks_are_accepted() -> None:
    assert TASKS["humanitarian-002"] is TASKS["humanitarian-abavisani"]
    assert "humanitarian-002" in TASKS
    assert "humanitarian-002" not in list(TASKS)


def test_the_datasets_are_listed(run: Callable[..., tuple[int, str, str]]) -> None:
    assert "the embedded sample" in run("data", "ls")[1]
    listed = json.loads(run("data", "ls", "--json")[1])
    assert list(listed) == ["crisismmd", "table", "folder", "sample"]
    assert listed["sample"]["needs_data"] is False
