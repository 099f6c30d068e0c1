"""A kill or a full disk at every operation of a whole extraction: the next run ends as if nothing had happened."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from cache import CacheError, FeatureFile, files
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Extracted, Options, extract
from tests.pipeline.support import Counting, classic_card, make_posts

OPERATIONS = ("create", "write_at", "set_length", "sync", "rename", "unlink", "make_folder", "sync_folder")
SHARDS = 3


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def fault(monkeypatch: pytest.MonkeyPatch, at: int, half: bool, error: int | None) -> Iterator[list[str]]:
    """Operation number `at` of the cache fails with `error`, or kills the process; a write may be done by half."""
    seen: list[str] = []
    dead = False

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            nonlocal dead
            if dead:
                raise Killed
            seen.append(name)
            if len(seen) - 1 != at:
                return real(*arguments)
            if half and name == "write_at":
                descriptor, offset, data = arguments
                real(descriptor, offset, memoryview(data).cast("B")[: len(data) // 2])
            if error is not None:
                raise OSError(error, os.strerror(error))
            dead = True
            raise Killed

        return operation

    with monkeypatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(files, name, wrap(name, getattr(files, name)))
        yield seen


def run(posts: Posts, cache: Path) -> Extracted:
    return extract(posts, classic_card(), Counting(), cache, Options(), "crisis extract")


def tables(file: Path) -> dict[str, np.ndarray]:
    names = ("posts/id", "posts/group", "status", "views/image/statistics", "views/text/hashed", "inputs/image/hash")
    with h5py.File(file) as opened:
        return {name: opened[name][()] for name in names}


@pytest.fixture
def posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Posts:
    monkeypatch.setattr("pipeline.extraction.engine.WINDOW_ROWS", (5, 5))
    monkeypatch.setattr("pipeline.extraction.extract.PART_SECONDS", 0.0)
    posts = make_posts(tmp_path / "data", count=14, photos=5)
    (tmp_path / "data" / posts.images[2]).write_bytes(b"broken")
    return posts


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("error", [None, errno.ENOSPC])
def test_every_operation_may_be_the_last(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: int, error: int | None
) -> None:
    expected = tables(run(posts, tmp_path / "whole").file)
    with fault(monkeypatch, -1, False, None) as seen:
        run(posts, tmp_path / "count")
    cases = [(at, False) for at in range(len(seen))] + [(at, True) for at, n in enumerate(seen) if n == "write_at"]
    assert len(seen) > 25
    for number, (at, half) in list(enumerate(cases))[shard::SHARDS]:
        cache = tmp_path / str(number)
        with fault(monkeypatch, at, half, error):
            try:
                run(posts, cache)
            except CacheError as failed:
                assert "\n" not in str(failed)
            except Killed:
                assert error is None
        committed = committed_ids(cache)
        assert committed == list(posts.ids)[: len(committed)]
        resumed = run(posts, cache)
        assert resumed.reused == len(committed)
        found = tables(resumed.file)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=f"{name} after {seen[at]} number {at}")


def committed_ids(cache: Path) -> list[str]:
    held = [*cache.rglob("classic@*.h5"), *(p.with_suffix("") for p in cache.rglob("classic@*.h5.parts"))]
    for path in held:
        try:
            with FeatureFile.open(path) as file:
                return file.id_list()
        except CacheError:
            continue
    return []


def big_corpus(folder: Path, count: int) -> Posts:
    folder.mkdir()
    for i in range(count):
        Image.new("RGB", (120, 120), (i % 256, i // 256, 7)).save(folder / f"{i}.bmp")
    return big_table(folder)


SCRIPT = """
import sys
from pathlib import Path
import pipeline.extraction.engine as engine
import pipeline.extraction.extract as stage
from tests.pipeline.test_extract_faults import big_table, run
engine.WINDOW_ROWS, stage.PART_SECONDS = (16, 16), 0.02
print("ready", flush=True)
run(big_table(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def big_table(folder: Path) -> Posts:
    count = len(list(folder.glob("*.bmp")))
    posts = make_posts(folder, count=count, photos=1)
    return replace(posts, images=[f"{i}.bmp" for i in range(count)], texts=[f"text {i}" for i in range(count)])


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_real_kills_at_random_moments_lose_nothing_committed(tmp_path: Path) -> None:
    posts = big_corpus(tmp_path / "many", 400)
    expected = tables(run(posts, tmp_path / "whole").file)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(6):
        process = start(tmp_path / "many", tmp_path / "cut")
        time.sleep(float(rng.uniform(0.0, 0.6)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        committed = len(committed_ids(tmp_path / "cut"))
        assert committed >= held
        held = committed
    found = tables(run(posts, tmp_path / "cut").file)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_commits_and_a_second_one_still_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    posts = big_corpus(tmp_path / "many", 600)
    for signals in (1, 2):
        process = start(tmp_path / "many", tmp_path / "cut")
        time.sleep(0.4)
        for _ in range(signals):
            process.send_signal(number)
            time.sleep(0.02)
        _, err = process.communicate(timeout=60)
        assert "stopping after this batch" in err or process.returncode == 0
        committed = committed_ids(tmp_path / "cut")
        assert committed == list(posts.ids)[: len(committed)]
    resumed = run(posts, tmp_path / "cut")
    assert resumed.ok == 600
    assert resumed.reused >= len(committed)
