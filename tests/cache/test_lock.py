"""One writer at a time also where the file system has no flock or cannot sync a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cache_support import make_rows, settings

from cache import CacheBusy, CacheError, CacheWarning, FeatureFile, FeatureWriter, files

HERE = Path(__file__).parent


@pytest.fixture(params=[errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def write(path: Path) -> None:
    with pytest.warns(CacheWarning, match="has no locks"), FeatureWriter(path, **settings()) as writer:
        writer.commit(0, make_rows(0, 3))
        writer.seal()


@pytest.mark.usefixtures("no_flock")
def test_a_cache_is_written_without_flock_and_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path)
    assert FeatureFile.open(path).n == 3
    assert [one.name for one in tmp_path.iterdir()] == ["clip.h5"]


@pytest.mark.usefixtures("no_flock")
def test_a_second_writer_is_refused_without_flock(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with pytest.warns(CacheWarning), FeatureWriter(path, **settings()) as writer:
        with pytest.warns(CacheWarning), pytest.raises(CacheBusy, match=f"process {os.getpid()} on "):
            FeatureWriter(path, **settings())
        writer.commit(0, make_rows(0, 3))
    write(path)


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("unsigned", [False, True])
def test_the_mark_of_a_dead_owner_of_this_machine_is_taken_over(tmp_path: Path, unsigned: bool) -> None:
    path = tmp_path / "clip.h5"
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    mark = tmp_path / "clip.h5.owner"
    mark.write_text("" if unsigned else f"{dead.stdout.strip()} 12345 {socket.gethostname()}")
    os.utime(mark, (time.time() - 600,) * 2)
    write(path)
    assert not mark.exists()


@pytest.mark.usefixtures("no_flock")
def test_a_number_that_another_process_has_now_is_no_living_owner(tmp_path: Path) -> None:
    (tmp_path / "clip.h5.owner").write_text(f"{os.getpid()} 1 {socket.gethostname()}")
    write(tmp_path / "clip.h5")


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize("said", ["77 12345 another-machine", ""])
def test_the_mark_of_another_machine_is_left_to_the_user(tmp_path: Path, said: str) -> None:
    mark = tmp_path / "clip.h5.owner"
    mark.write_text(said)
    with pytest.warns(CacheWarning), pytest.raises(CacheBusy, match=f"delete {mark}"):
        FeatureWriter(tmp_path / "clip.h5", **settings())
    assert mark.read_text() == said


@pytest.mark.usefixtures("no_flock")
def test_a_forked_child_does_not_give_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with pytest.warns(CacheWarning), FeatureWriter(path, **settings()) as writer:
        code = "import sys; from pathlib import Path; print(Path(sys.argv[1]).exists())"
        child = os.fork()
        if child == 0:
            writer._lock.release()
            os._exit(0)
        os.waitpid(child, 0)
        found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "clip.h5.owner")], capture_output=True)
        assert found.stdout.strip() == b"True"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_folders_that_cannot_be_synced_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sync = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    files._warn_of_names.cache_clear()
    with (
        pytest.warns(CacheWarning, match="cannot sync folders") as told,
        FeatureWriter(tmp_path / "clip.h5", **settings()) as writer,
    ):
        writer.commit(0, make_rows(0, 3))
        writer.seal()
    assert len(told) == 1
    assert FeatureFile.open(tmp_path / "clip.h5").n == 3


def test_a_folder_whose_sync_fails_for_good_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
    with pytest.raises((CacheError, OSError)), FeatureWriter(tmp_path / "clip.h5", **settings()) as writer:
        writer.commit(0, make_rows(0, 3))
