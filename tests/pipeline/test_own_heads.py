"""The head and the balancer of docs/adding-a-head.md through the command line, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.docs_support import blocks_of
from tests.pipeline.support import make_posts

ROOT = Path(__file__).resolve().parents[2]
HEAD, BALANCER = "my_head:Product", "my_balancer:Halves"
TABLE = ("--data", "posts.csv", "--text-column", "text", "--image-column", "photo")
WHERE = ("--model", "classic", *TABLE, "--label-column", "label", "--seeds", "2", "--quiet")
QUICK = (*WHERE, "--set", "max_epochs=3")

pytestmark = pytest.mark.slow


class Folder:
    """A working folder with posts, their features, `my_head.py` and `my_balancer.py`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        posts = make_posts(path / "data", count=120, photos=30)
        rows = zip(posts.texts, posts.images, posts.labels["label"]["pair"], strict=True)
        lines = ["text,photo,label", *(f"{text} {photo},data/{photo},{label}" for text, photo, label in rows)]
        (path / "posts.csv").write_text("\n".join(lines), encoding="utf-8")
        for block in blocks_of(ROOT / "docs/adding-a-head.md"):
            if block.file is not None:
                (path / block.file).write_text(block.text, encoding="utf-8")
        self.crisis("extract", "--model", "classic", *TABLE, "--quiet")

    def python(self, *arguments: str) -> str:
        """What a fresh interpreter prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def crisis(self, *arguments: str) -> Any:
        """What `crisis ARGUMENTS --json` answers."""
        return json.loads(self.python("-m", "pipeline", *arguments, "--json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def fitted(folder: Folder) -> dict[str, Any]:
    """What `crisis fit-head` says of the head under the balancer, trained by two workers."""
    words = ("--head", HEAD, "--balance", BALANCER, "--set", "width=8", "--workers", "2")
    found: dict[str, Any] = folder.crisis("fit-head", *words, *QUICK)
    return found


def test_workers_train_both_and_one_process_does_the_same(folder: Folder, fitted: dict[str, Any]) -> None:
    assert (fitted["head"], fitted["balance"]["label"]) == (HEAD, BALANCER)
    words = ("--head", HEAD, "--balance", BALANCER, "--set", "width=8", "--workers", "1")
    assert folder.crisis("fit-head", *words, *QUICK)["test"] == fitted["test"]


def test_a_run_of_the_head_is_analysed(folder: Folder, fitted: dict[str, Any]) -> None:
    found = folder.crisis("analyse", fitted["run"], "--neighbours", "3")
    assert found["head"] == HEAD
    assert found["accuracy"]["mean"] == pytest.approx(fitted["test"]["accuracy"]["mean"])
    assert set(found["lost"]) == {"image", "text"}


def test_a_fresh_process_gives_the_saved_head_s_own_answers(folder: Folder, fitted: dict[str, Any]) -> None:
    script = """
import sys
from pathlib import Path
import numpy as np
from cache import FeatureFile
from classifiers import load
from pipeline.runs.run import Run

run = Run.open(Path(sys.argv[1]))
frame = run.predictions.query("seed == 1")
head = load(run.folder / "heads" / "seed-1")
views = {}
for name, encoder in head.encoders.items():
    (path,) = Path("artifacts/cache").glob(f"*/{encoder['label'].partition(':')[0]}.h5")
    with FeatureFile.open(path) as file:
        views[name] = file.take(encoder["view"], np.asarray(file.rows_of(frame["post_id"].tolist())))
expected = frame[run.config.probability_columns].to_numpy()
print(type(head.head).__module__, head.params["width"], np.array_equal(head.predict_proba(views), expected))
"""
    assert folder.python("-c", script, fitted["run"]).split() == ["my_head", "8", "True"]


def test_a_sweep_crosses_both_with_ours(folder: Folder) -> None:
    words = ("--heads", f"logistic,concat,{HEAD}", "--balance", f"none,{BALANCER}", "--workers", "2")
    swept = folder.crisis("sweep", *words, *WHERE)
    rows = {(row["head"], row["balance"]) for row in swept["leaderboard"]}
    trained = {(head, balance) for head in ("concat", HEAD) for balance in ("none", BALANCER)}
    assert rows == {("logistic", "none"), *trained}, "a library's head has no epochs to plan"
