"""A dataset in a file of one's own goes through both stages, and is named again by the commands that are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]

MY_DATA = """
from pathlib import Path

from pipeline.datasets import Columns, Dataset, Posts


class MyData(Dataset):
    name = "mine"
    summary = "a line for each post"

    def read(self, data, columns, name, cache):
        rows = [line.split(";") for line in data.read_text().splitlines()]
        ids, images, texts, kinds = map(list, zip(*rows))
        return Posts(
            name=name or self.name,
            root=data.parent,
            ids=ids,
            groups=ids,
            texts=texts,
            images=images,
            events=[""] * len(ids),
            labels={"kind": {"pair": kinds}},
            origin=f"lines of {data}",
        )


class Broken(MyData):
    name = "table"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_posts", raising=False)
    (tmp_path / "my_posts.py").write_text(MY_DATA)
    lines = []
    for post in range(40):
        Image.new("RGB", (16, 16), (post * 5, 90, 200 * (post % 2))).save(f"{post}.png")
        lines.append(f"{post};{post}.png;{'flood' if post % 2 else 'sunny'} number {post};{'ab'[post % 2]}")
    Path("posts.txt").write_text("\n".join(lines))


def test_a_dataset_of_ones_own_goes_through_both_stages(run: Run) -> None:
    named = ("--dataset", "my_posts:MyData", "--data", "posts.txt")
    code, out, err = run("extract", "--model", "classic", *named, "--json")
    assert code == 0, err
    assert (json.loads(out)["ok"], Path(json.loads(out)["file"]).parent.name) == (40, "mine")
    assert "Dataset: lines of posts.txt, 40 posts" in err
    fit = ("fit-head", "--head", "logistic", *named, "--seeds", "1", "--workers", "1")
    code, out, err = run(*fit, "--model", "classic", "--json")
    assert code == 0, err
    assert json.loads(out)["task"] == "kind"
    code, _, err = run(*fit, "--model", "clip")
    assert code != 0
    assert "--dataset my_posts:MyData --data posts.txt" in err


def test_what_is_wrong_with_it_is_one_sentence(run: Run) -> None:
    code, _, err = run("data", "stats", "--dataset", "my_posts:Broken", "--data", "posts.txt")
    assert code == 2
    assert "has the name of one of ours, 'table'" in err
    code, _, err = run("data", "stats", "--dataset", "my_posts:MyDate", "--data", "posts.txt")
    assert code == 2
    assert "cannot be loaded" in err
    code, _, err = run("data", "stats", "--dataset", "my_posts:MyData")
    assert code == 2
    assert "needs --data PATH" in err
