"""A hundred readers during writing and sealing see no error and no mixed state; a killed writer loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cache_support import make_rows, salts_of, settings, write

from cache import FeatureFile, FeatureWriter, snapshot
from cache.snapshot import list_parts

ROOT = Path(__file__).parents[2]

_CROWD = """
import os, sys, time
from pathlib import Path
from cache import CacheError, FeatureFile, FeatureWriter
from cache_support import make_rows, salts_of, settings

path, stop = Path(sys.argv[1]), Path(sys.argv[1] + ".stop")

def read():
    opened = 0
    while opened == 0 or not stop.exists():
        with FeatureFile.open(path) as file:
            salts = set(salts_of(file).tolist())
            assert len(salts) == 1, f"mixed state {salts}"
        opened += 1

with FeatureWriter(path, **settings()) as writer:
    writer.commit(0, make_rows(0, 10))
    readers = []
    for _ in range(100):
        child = os.fork()
        if child == 0:
            try:
                read()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        readers.append(child)
    end, salt, seals = time.monotonic() + float(sys.argv[2]), 0, 0
    while time.monotonic() < end or seals < 3:
        salt += 1
        rows = 10 + salt % 7
        rows = max(rows, writer.committed.n)
        writer.commit(0, make_rows(0, rows, salt % 10))
        if salt % 3 == 0:
            writer.seal()
            seals += 1
    stop.touch()
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in readers)
    print(failed, seals)
"""


def test_a_hundred_readers_see_no_error_and_no_mixed_state(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    command = [sys.executable, "-c", _CROWD, str(tmp_path / "clip.h5"), "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    failed, seals = map(int, done.stdout.split())
    assert failed == 0, done.stderr
    assert seals >= 3


@pytest.mark.parametrize("base", [False, True], ids=["first seal", "later seal"])
def test_a_seal_in_the_middle_of_opening_is_noticed(tmp_path: Path, monkeypatch, base: bool) -> None:
    """Between opening the sealed file and listing the parts, all parts go into a new sealed file."""
    path = tmp_path / "clip.h5"
    write(path, [4], seal=base)
    with FeatureWriter(path, **settings()) as writer:
        writer.commit(4, make_rows(4, 7))
        hooks = [writer.seal]

        def list_after_seal(asked: Path) -> list[tuple[int, Path]]:
            if hooks:
                hooks.pop()()
            return list_parts(asked)

        monkeypatch.setattr(snapshot, "list_parts", list_after_seal)
        with FeatureFile.open(path) as file:
            assert salts_of(file).tolist() == [0] * 7
            assert file.sealed


def test_a_writer_killed_at_random_moments_resumes_to_equal_arrays(tmp_path: Path) -> None:
    """The full number: ``python -m benchmarks.cache_kill --kills 1000``."""
    command = [sys.executable, "-m", "benchmarks.cache_kill", "--kills", "25", "--folder", str(tmp_path), "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 committed rows lost" in done.stdout
