"""A package of somebody else, installed beside this one, adds to what the command line knows; nothing here names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from install_support import install, install_crisis, run

FOREIGN = Path(__file__).parent / "foreign"

pytestmark = pytest.mark.slow


class Bench:
    """A working folder with a drawn dataset, and the command with the foreign package installed beside it."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.site = site
        self.folder = folder

    def crisis(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """What `crisis ARGUMENTS --json` answers."""
        done = run(self.site, self.folder, *arguments, "--json")
        assert done.returncode in codes, done.stderr
        return json.loads(done.stdout)

    def python(self, script: str) -> str:
        """What a fresh interpreter prints that has the same packages."""
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("foreign")
    install_crisis(folder / "crisis", folder / "site")
    (folder / "package").mkdir()
    for file in FOREIGN.iterdir():
        if file.is_file():
            (folder / "package" / file.name).write_bytes(file.read_bytes())
    install(folder / "package", folder / "site")
    bench = Bench(folder / "site", folder)
    bench.crisis("data", "make", "--output", "data", "--posts", "300")
    return bench


QUICK = ("--seeds", "2", "--set", "max_epochs=3", "--set", "batch_size=16", "--quiet")


@pytest.fixture(scope="module")
def extracted(bench: Bench) -> Bench:
    """The same with the foreign encoder's features in the cache."""
    done = bench.crisis("extract", "--model", "loudness", "--quiet", codes=(3,))  # the drawn dataset has bad photos
    assert Path(done["file"]).name.startswith("loudness@")
    return bench


def test_what_it_brings_is_listed_with_its_parameters(bench: Bench) -> None:
    assert bench.crisis("models", "loudness")["summary"] == "how loud a text is, and how bright a photo"
    (temperature,) = bench.crisis("heads", "cooled")["hyperparameters"]
    assert (temperature["name"], temperature["default"], temperature["range"]) == ("temperature", 2.0, "above 0")
    assert bench.crisis("balancers", "halved")["summary"] == "half of the train posts an epoch"
    assert "a text file of lines" in json.dumps(bench.crisis("data", "ls"))


def test_its_head_trains_on_its_encoder_under_its_balancer(extracted: Bench) -> None:
    options = ("--head", "cooled", "--balance", "halved", "--model", "loudness", "--set", "temperature=4")
    run = extracted.crisis("fit-head", *options, *QUICK, "--workers", "2")
    assert set(run["views"]) == {"image", "text"}
    assert all("loudness" in view for view in run["views"].values())
    assert run["balance"]["label"] == "halved"
    found = extracted.crisis("analyse", run["run"])
    assert found["accuracy"]["mean"] == pytest.approx(run["test"]["accuracy"]["mean"])


def test_its_dataset_goes_through_both_stages_with_all_that_it_brings(bench: Bench) -> None:
    words = {"flood": "the water rises", "fire": "the WOODS burn!"}
    lines = [f"{kind}\t{words[kind]} {number}" for number in range(40) for kind in words]
    (bench.folder / "posts.lines").write_text("\n".join(lines))
    for flags in (("--data", "posts.lines"), ("--dataset", "lines", "--data", "posts.lines", "--name", "named")):
        done = bench.crisis("extract", "--model", "loudness", *flags, "--quiet")
        assert (done["rows"], done["bad"]) == (80, {})
        run = bench.crisis("fit-head", "--head", "cooled", "--model", "loudness", *flags, *QUICK, "--set", "lr=0.1")
        assert run["task"] == "kind"
        assert run["test"]["accuracy"]["mean"] > 0.9
    assert bench.crisis("data", "stats", "--data", "posts.lines")["labels"]["kind"]["pair"] == {"fire": 40, "flood": 40}


def test_a_fresh_process_loads_its_head(extracted: Bench) -> None:
    run = extracted.crisis("fit-head", "--head", "cooled", "--model", "loudness", *QUICK)
    script = (
        "import numpy as np; from classifiers import load\n"
        f"head = load({run['run'] + '/heads/seed-0'!r})\n"
        "views = {name: np.ones((2, dim), np.float32) for name, dim in head.dims.items()}\n"
        "print(type(head.head).__module__, head.encoders['image']['model'], head.predict_proba(views).shape)"
    )
    done = extracted.python(script)
    assert done.split() == ["foreign_head", "loudness", "(2,", "2)"]


def test_its_head_and_balancer_are_swept_beside_ours(extracted: Bench) -> None:
    swept = extracted.crisis(
        "sweep", "--heads", "concat,cooled", "--balance", "none,halved", "--model", "loudness", *QUICK
    )
    rows = {(row["head"], row["balance"]) for row in swept["leaderboard"]}
    assert rows == {(head, balance) for head in ("concat", "cooled") for balance in ("none", "halved")}
    assert "cooled" in {row["head"] for row in extracted.crisis("sweep", "--model", "loudness", *QUICK)["leaderboard"]}


def test_the_same_head_from_a_file_that_is_no_package(extracted: Bench) -> None:
    (extracted.folder / "my_file.py").write_bytes((FOREIGN / "foreign_head.py").read_bytes())
    options = ("--model", "loudness", *QUICK, "--workers", "2")
    of_file = extracted.crisis("fit-head", "--head", "my_file:Cooled", *options)
    of_package = extracted.crisis("fit-head", "--head", "cooled", *options)
    assert of_file["head"] == "my_file:Cooled"
    assert of_file["test"] == of_package["test"]
