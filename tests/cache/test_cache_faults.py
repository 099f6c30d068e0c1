"""A kill or a failing disk at EVERY write, fsync and rename of a whole extraction and of sealing."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_faults import DISK_ERRORS, Killed, check_final, check_state, faulty, run_all
from cache_support import make_rows, salts_of, settings

from cache import CacheError, FeatureFile, FeatureWriter

SHARDS = 8


def _operations(monkeypatch, folder: Path) -> list[str]:
    with faulty(monkeypatch) as fault:
        run_all(folder / "count" / "clip.h5", [])
    return fault.names


def _cases(names: list[str]) -> list[tuple[int, bool]]:
    whole = [(at, False) for at in range(len(names))]
    return whole + [(at, True) for at, name in enumerate(names) if name == "write_at"]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_writer_keeps_committed_rows(tmp_path: Path, monkeypatch, shard: int) -> None:
    names = _operations(monkeypatch, tmp_path)
    assert len(names) > 100
    for number, (at, half) in list(enumerate(_cases(names)))[shard::SHARDS]:
        path = tmp_path / f"{number}" / "clip.h5"
        acknowledged: list[tuple[int, int, int]] = []
        with faulty(monkeypatch, at, half), pytest.raises(Killed):
            run_all(path, acknowledged)
        check_state(path, acknowledged)
        run_all(path, [])
        check_final(path)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_failing_disk_is_one_sentence_and_resume_works(tmp_path: Path, monkeypatch, shard: int) -> None:
    names = _operations(monkeypatch, tmp_path)
    for number, (at, half) in list(enumerate(_cases(names)))[shard::SHARDS]:
        path = tmp_path / f"{number}" / "clip.h5"
        acknowledged: list[tuple[int, int, int]] = []
        with faulty(monkeypatch, at, half, DISK_ERRORS[number % 2]):
            try:
                run_all(path, acknowledged)
            except CacheError as error:
                assert "\n" not in str(error)
                assert str(path) in str(error)
        check_state(path, acknowledged)
        run_all(path, [])
        check_final(path)


def _commit_twos(writer: FeatureWriter) -> None:
    for start in (3, 5, 7):
        writer.commit(start, make_rows(start, start + 2))


def test_writer_goes_on_after_a_failed_commit(tmp_path: Path, monkeypatch) -> None:
    """Also when the part got its name and only the folder's fsync failed."""
    for at in range(6):
        path = tmp_path / f"{at}" / "clip.h5"
        with FeatureWriter(path, **settings()) as writer:
            writer.commit(0, make_rows(0, 3))
            with (
                faulty(monkeypatch, at, error=DISK_ERRORS[0]) as fault,
                pytest.raises(CacheError, match="disk is full"),
            ):
                _commit_twos(writer)
            done = writer.committed.n
            assert done in (3, 5), fault.names
            writer.commit(3, make_rows(3, 9, 2))
            for file in (writer.committed, FeatureFile.open(path)):
                assert salts_of(file).tolist() == [0] * 3 + [2] * 6
            writer.seal()
            assert salts_of(writer.committed).tolist() == [0] * 3 + [2] * 6
