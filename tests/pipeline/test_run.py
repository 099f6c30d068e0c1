"""A run reads back as it was written, and whatever is not a whole run is one sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

from pipeline.errors import DataError
from pipeline.runs.run import Run
from tests.pipeline.run_support import config, evaluation, trained, written


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    run = written(tmp_path)
    again = Run.open(run.folder)
    assert again == run
    assert again.summary == evaluation().summary()
    assert again.details == evaluation().details()
    assert again.test("macro_f1") == run.summary["test"]["macro_f1"]
    pandas.testing.assert_frame_equal(again.predictions, evaluation().frame())
    assert set(again.history["fit"]) == set(again.heads) == {"seed-0", "seed-1"}
    head = again.heads["seed-1"]()
    assert head.class_names == ("a", "b")
    views = {"text": np.random.default_rng(2).random((4, 3), dtype=np.float32)}
    np.testing.assert_array_equal(head.predict_proba(views), trained()[1][1].predict_proba(views))
    assert Run.find(tmp_path, config()) == run
    assert Run.find(tmp_path, config(seeds=(0, 1, 2))) is None
    assert Run.find(tmp_path / "nowhere", config()) is None


def files_of(run: Run) -> list[str]:
    return sorted(path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file())


def test_one_flipped_byte_in_any_file_is_noticed_and_never_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = written(tmp_path / "whole")
    names = files_of(whole)
    assert {"config.json", "metrics.json", "predictions.parquet", "history.parquet", "SHA256SUMS"} < set(names)
    assert sum(name.startswith("heads/") for name in names) == 6
    for name in names:
        runs = tmp_path / name.replace("/", "-")
        copy = shutil.copytree(whole.folder, runs / whole.folder.name)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(DataError, match="no whole run"):
            read_all(copy)
        assert Run.find(runs, config()) is None, name
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "it is passed over" in said


def read_all(folder: Path) -> None:
    """Everything there is to read, each by its own door, and last the check of what no door leads to."""
    run = Run.open(folder)
    _ = run.details, run.predictions, run.history
    for head in run.heads.values():
        head()
    run.check()


def test_each_door_checks_the_file_behind_it(tmp_path: Path) -> None:
    run = written(tmp_path)
    for name in ("metrics.json", "predictions.parquet", "history.parquet", "heads/seed-0/config.json"):
        with (run.folder / name).open("ab") as stream:
            stream.write(b" ")
    doors = (lambda: Run.open(run.folder), lambda: run.details, lambda: run.predictions, lambda: run.history)
    for door in doors:
        with pytest.raises(DataError, match="is not what was written"):
            door()
    shutil.copy(written(tmp_path).folder / "predictions.parquet", run.folder)
    with pytest.raises(DataError, match=r"heads/seed-0/config\.json is not what was written"):
        run.heads["seed-0"]()


def test_a_run_of_an_earlier_version_has_no_digests_and_opens(tmp_path: Path) -> None:
    run = written(tmp_path)
    (run.folder / "SHA256SUMS").unlink()
    again = Run.open(run.folder)
    again.check()
    assert again == run
    assert Run.find(tmp_path, config()) == run
    (run.folder / "predictions.parquet").write_bytes(b"PAR1")
    assert Run.find(tmp_path, config()) is None


def test_what_is_not_a_run_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for number, spoil in enumerate((remove, pipe, link, cut, list_in_place, no_figures)):
        folder = written(tmp_path / str(number)).folder
        (folder / "SHA256SUMS").unlink()
        spoil(folder / ("metrics.json" if spoil is no_figures else "config.json"))
        with pytest.raises(DataError, match="no whole run"):
            Run.open(folder)
    with pytest.raises(DataError, match="no whole run"):
        Run.open(tmp_path / "nowhere")


def remove(path: Path) -> None:
    path.unlink()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def list_in_place(path: Path) -> None:
    path.write_text("[]")


def no_figures(path: Path) -> None:
    path.write_text('{"summary": {"dev": {}}}')


def test_a_damaged_run_is_passed_over_for_an_older_whole_one(tmp_path: Path) -> None:
    older, newer = written(tmp_path), written(tmp_path)
    assert Run.find(tmp_path, config()) == newer
    (newer.folder / "predictions.parquet").unlink()
    assert Run.find(tmp_path, config()) == older
