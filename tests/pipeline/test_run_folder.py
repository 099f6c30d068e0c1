"""A run's folder is whole or absent, however its writer ends, and no writer is in another's way."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cache import files
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs import run as module
from pipeline.runs.run import Run
from pipeline.runs.sources import choose_sources
from tests.pipeline.run_support import config, written
from tests.pipeline.support import Counting, classic_card, fit_runs, make_posts

CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def sweep(posts: Posts, folder: Path, runs: Path) -> list[Run]:
    sources = choose_sources(posts, folder / "cache", "prototype", text="classic")
    given = ([choose_protocol(posts)], ["prototype"], sources, range(2), runs)
    return [run for run in fit_runs(posts, *given, workers=1, keep=True) if isinstance(run, Run)]


def child(work: Callable[[], object], runs: Path, last: int) -> tuple[int, int]:
    """Do `work` in a process that ends, like a killed one, before its operation number `last` on files below `runs`:
    its exit code, and how many operations there were.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        count = 0

        def operation(path: object) -> None:
            nonlocal count
            if str(path).startswith(str(runs)):
                if count == last:
                    os._exit(9)
                count += 1

        def fsync(descriptor: int) -> None:
            operation(os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync_itself(descriptor)

        fsync_itself, os.fsync = os.fsync, fsync
        sys.addaudithook(lambda event, of: operation(of[0]) if event in CHANGES else None)
        try:
            work()
            os.write(writing, str(count).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with open(reading) as stream:
        return code, int(stream.read() or 0)


@pytest.mark.slow
def test_a_kill_at_any_operation_neither_blocks_nor_tears(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=60)
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    whole = tmp_path / "whole"
    code, count = child(lambda: sweep(posts, tmp_path, whole), whole, -1)
    (expected,) = sweep(posts, tmp_path, whole)
    assert code == 0
    assert count > 30
    kept = 0
    for last in range(count):
        runs = tmp_path / f"runs-{last}"
        assert child(lambda runs=runs: sweep(posts, tmp_path, runs), runs, last)[0] == 9  # type: ignore[misc]
        there = [path for path in runs.glob("*") if not path.name.startswith(".")]
        for folder in there:
            Run.open(folder).check()
        (found,) = sweep(posts, tmp_path, runs)
        found.check()
        kept += found.folder in there
        assert (found.config, found.summary) == (expected.config, expected.summary)
        assert found.predictions.equals(expected.predictions)
        if found.folder not in there:
            # the next writer has cleared away what the killed one left
            assert list(runs.iterdir()) == [found.folder]
    assert 0 < kept < count / 2


def test_a_leftover_is_cleared_away_and_a_folder_that_is_being_written_is_not(tmp_path: Path) -> None:
    left, living, other = (
        tmp_path / name for name in (".20260101T000000-a-b-12345678.7", ".20260101T000000-c-d-12345678.8", ".other.9")
    )
    for folder in (left, living, other):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    held = os.open(living, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    run = written(tmp_path)
    os.close(held)
    assert {path.name for path in tmp_path.iterdir()} == {living.name, other.name, run.folder.name}


def test_hidden_folders_are_never_found(tmp_path: Path) -> None:
    run = written(tmp_path)
    run.folder.rename(tmp_path / f".{run.folder.name}.1")
    assert Run.find(tmp_path, config()) is None


def test_jobs_that_start_in_the_same_second_all_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "strftime", lambda _: "20260101T000000")
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda _: written(tmp_path), range(6)))
    assert len({run.folder for run in runs}) == 6
    assert {run.folder for run in runs} == set(tmp_path.resolve().iterdir())
    for run in runs:
        run.check()


def test_a_name_that_is_taken_at_the_last_moment_is_left_to_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = files.rename
    taken: list[Path] = []

    def late(source: Path, target: Path) -> None:
        if not taken:
            taken.append(target)
            target.mkdir()
            (target / "config.json").write_text("{}")
        rename(source, target)

    monkeypatch.setattr(files, "rename", late)
    run = written(tmp_path)
    assert run.folder.name == f"{taken[0].name}+"
    assert [path.name for path in taken[0].iterdir()] == ["config.json"]


def test_names_stay_short_and_keep_the_digest(tmp_path: Path) -> None:
    longest = written(tmp_path, task="катастрофа " * 40, head="x" * 400)
    assert len(longest.folder.name) < 160
    assert longest.folder.name.endswith(longest.config.digest[:8])
    assert Run.find(tmp_path, longest.config) == longest


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "rename", full)
    with pytest.raises(OSError, match="No space"):
        written(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        written(tmp_path / "file")


def test_the_list_of_digests_is_the_one_that_sha256sum_reads(tmp_path: Path) -> None:
    run = written(tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=run.folder, check=True)
