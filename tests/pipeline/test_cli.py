"""The command line: as written in the README, one sentence for an error, one object for `--json`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline.sample import make_sample

    folder = tmp_path_factory.mktemp("sample") / "corpus"
    make_sample(folder, posts=240)
    return folder


def small_table(folder: Path) -> Path:
    """40 posts with a photo each; the label is in the text and in the photo."""
    folder.mkdir(exist_ok=True)
    rows = []
    for i in range(40):
        label = ("help", "other")[i % 2]
        Image.new("RGB", (16, 16), (i * 5, 200 * (i % 2), 30)).save(folder / f"{i}.png")
        rows.append({"id": i, "text": f"{label} needed {i}", "image": f"{i}.png", "label": label, "event": f"e{i % 3}"})
    pandas.DataFrame(rows).to_csv(folder / "posts.csv", index=False)
    return folder / "posts.csv"


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    script = (
        "import sys, time\n"
        "from pipeline.__main__ import main\n"
        "sys.argv = ['crisis', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'h5py', 'sklearn', 'transformers', 'PIL'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), 'CPU', time.process_time())\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "fit-head" in found
    assert "HEAVY [] CPU" in found
    assert float(found.split()[-1]) < 0.3


def test_flags_of_a_group_are_the_same_in_every_command_that_takes_it() -> None:
    import typer

    from pipeline.cli.app import app
    from pipeline.cli.groups import DatasetFlags, ProtocolFlags, SeedFlags, SourceFlags

    root = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    commands = {**root, "stats": root["data"].commands["stats"]}
    training = (SourceFlags, ProtocolFlags, SeedFlags, DatasetFlags)
    takes = {
        "stats": (DatasetFlags,),
        "extract": (DatasetFlags,),
        "zero-shot": (ProtocolFlags, DatasetFlags),
        "fit-head": training,
        "sweep": training,
    }
    for command, groups in takes.items():
        have = {parameter.name: parameter for parameter in commands[command].params}
        for group in groups:
            for field in fields(group):
                assert have[field.name].default == field.default
                assert have[field.name].opts == [f"--{field.name.replace('_', '-')}"]


def test_both_stages_on_the_sample_with_one_json_object_each(run: Run, sample: Path) -> None:
    code, out, _ = run("extract", "--model", "classic", "--data", str(sample), "--json")
    extracted = json.loads(out)
    assert code == 3
    assert set(extracted) >= {"file", "rows", "ok", "bad", "encoded", "reused", "seconds"}
    assert Path(extracted["file"]).is_absolute()
    assert Path(extracted["file"]).is_file()
    assert extracted["rows"] == 240 == extracted["ok"] + sum(extracted["bad"].values())
    assert set(extracted["bad"]) == {"image missing", "image undecodable", "empty text"}
    code, out, err = run("fit-head", "--head", "guided_ca", "--data", str(sample), "--seeds", "2", "--json")
    fitted = json.loads(out)
    assert code == 0
    assert "image classic, text classic (chosen from what is cached)" in err
    assert "official agreed" in err
    assert (fitted["task"], fitted["setting"], fitted["head"], fitted["seeds"]) == (
        "informative",
        "A",
        "guided_ca",
        [0, 1],
    )
    assert set(fitted["views"]) == {"image", "text"}
    for part in ("dev", "test"):
        for metric in ("accuracy", "macro_f1", "weighted_f1"):
            assert set(fitted[part][metric]) == {"mean", "sd", "values"}
            assert len(fitted[part][metric]["values"]) == 2
        assert fitted[part]["rows"] > 0
        assert 0 < fitted[part]["majority_macro_f1"] < 0.5
    assert Path(fitted["run"], "metrics.json").is_file()


def test_table_with_an_event_split_shows_every_event(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(small_table(tmp_path / "t")), "--event-column", "event"]
    assert run("extract", "--model", "classic", *data)[0] == 0
    code, out, _ = run("fit-head", "--head", "logistic", *data, "--split", "event", "--seeds", "1")
    assert code == 0
    for event in ("e0", "e1", "e2", "mean over events", "majority macro-F1"):
        assert event in out


def test_demo_prints_that_fusion_wins_and_a_second_run_reuses_the_cache(run: Run) -> None:
    arguments = ("demo", "--posts", "600", "--seeds", "1", "--quiet")
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    content = json.loads(out)
    for task in ("informative", "humanitarian"):
        held = [r for r in content["results"] if r["task"] == task]
        single = max(r["test"]["macro_f1"]["mean"] for r in held if r["system"] != "fusion")
        fusion = max(r["test"]["macro_f1"]["mean"] for r in held if r["system"] == "fusion")
        assert fusion > single + 0.03
    code, out, _ = run(*arguments)
    assert "all 600 posts reused, nothing encoded" in out
    assert "guided_ca" in out


def test_stats_and_make_print_one_object(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("data", "make", "--output", "drawn", "--posts", "80", "--json")
    assert code == 0
    assert json.loads(out)["posts"] == 80
    code, out, _ = run("data", "stats", "--data", "drawn", "--json")
    stats = json.loads(out)
    assert set(stats) == {"posts", "groups", "events", "labels", "agreement", "splits"}
    assert stats["posts"] == 80
    assert len(stats["events"]) == 7
    everything = stats["agreement"]["informative"]["all"]
    assert everything["concordant"] + everything["discordant"] == 80
    assert sum(sum(row.values()) for row in everything["table"].values()) == 80
    assert set(stats["splits"]) == {"agreed", "all", "settingA", "settingB", "damage"}
    assert "concordant" in run("data", "stats", "--data", "drawn")[1]


def test_cache_ls_and_info_name_what_made_a_file(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(small_table(tmp_path / "t"))]
    file = json.loads(run("extract", "--model", "classic", *data, "--json")[1])["file"]
    assert "classic@" in run("cache", "ls")[1]
    assert json.loads(run("cache", "ls", "--json")[1])["files"][0]["rows"] == 40
    info = json.loads(run("cache", "info", file, "--json")[1])
    assert info["provenance"]["command"].startswith("crisis extract --model classic")
    assert info["views"]["text/hashed"] == {"shape": [1024], "dtype": "float32"}
    assert info["status"] == {"ok": 40}


def test_models_and_heads_are_listed(run: Run) -> None:
    code, out, _ = run("models")
    assert code == 0
    assert all(name in out for name in ("classic", "bert", "dinov2", "clip", "timm"))
    code, out, _ = run("heads")
    assert code == 0
    assert all(name in out for name in ("logistic", "mlp", "concat", "cross_attention", "guided_ca"))


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["extract", "--model", "clap"],
            2,
            "There is no model 'clap' (did you mean 'clip'?)",
        ),
        (["extract", "--model", "classic", "--data", "nowhere"], 2, "There is no 'nowhere' (--data)"),
        (["extract", "--model", "classic", "--dataset", "table", "--data", "nowhere.csv"], 2, "There is no table"),
        (["extract", "--model", "classic", "--data", "."], 2, "is no CrisisMMD folder"),
        (["extract", "--model", "classic", "--dataset", "crisismmd"], 2, "needs --data PATH"),
        (
            ["extract", "--model", "bert", "--data", "t/posts.csv", "--pretrained", "./none"],
            1,
            "There is no folder './none'",
        ),
        (
            ["extract", "--model", "classic", "--data", "t/posts.csv", "--text-column", "words"],
            2,
            "has no column 'words'",
        ),
        (["fit-head", "--head", "guided_cb"], 2, "There is no head 'guided_cb'"),
        (
            ["fit-head", "--data", "t/posts.csv"],
            2,
            "run: crisis extract --model clip --dataset table --data t/posts.csv",
        ),
        (["fit-head", "--data", "t/posts.csv", "--label-column", "class"], 2, "no column 'class'"),
        (["fit-head", "--data", "t/posts.csv", "--setting", "A"], 2, "belong to CrisisMMD"),
        (["cache", "ls"], 2, "There is no cache folder"),
        (["cache", "info", "x.h5"], 2, "There is no feature file 'x.h5'"),
        (["data", "make", "--output", "t"], 1, "t"),
    ],
)
def test_wrong_use_is_one_sentence(run: Run, tmp_path: Path, arguments: list[str], code: int, sentence: str) -> None:
    small_table(tmp_path / "t")
    found, out, err = run(*arguments)
    assert found == code
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert sentence in last
    assert "Traceback" not in err


def test_interrupted_extraction_commits_and_goes_on(run: Run, tmp_path: Path) -> None:
    """A real SIGINT to a real process in the middle; the next run does the rest and ends as if nothing happened."""
    import signal
    import time

    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(1500):
        Image.new("RGB", (200, 200), (i % 256, i // 256, 7)).save(folder / f"{i}.bmp")
    texts = [f"text {i}" for i in range(1500)]
    pandas.DataFrame({"text": texts, "image": [f"{i}.bmp" for i in range(1500)]}).to_csv(folder / "p.csv", index=False)
    command = ["-m", "pipeline", "extract", "--model", "classic", "--data", "many/p.csv", "--cache"]
    process = subprocess.Popen(
        [sys.executable, *command, "cut"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    seen = ""
    while "post/s" not in seen:
        seen += process.stderr.read(1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped before the end" in out
    code, out, _ = run("extract", "--model", "classic", "--data", "many/p.csv", "--cache", "cut", "--json")
    resumed = json.loads(out)
    assert code == 0
    assert 0 < resumed["reused"] < 1500
    whole = json.loads(run("extract", "--model", "classic", "--data", "many/p.csv", "--cache", "whole", "--json")[1])
    import h5py
    import numpy as np

    with h5py.File(resumed["file"]) as one, h5py.File(whole["file"]) as other:
        for view in ("views/image/statistics", "views/text/hashed", "posts/id", "status"):
            np.testing.assert_array_equal(one[view][()], other[view][()])
