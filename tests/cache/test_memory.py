"""What the disk does not give is told, with the rows it costs, and never kills the process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cache_support import MODALITIES, make_rows, post_id, settings, values

from cache import CacheDamaged, FeatureFile, FeatureWriter, ViewSpec, merge, salvage, verify
from cache.memory import load_file
from cache.snapshot import parts_folder

VIEWS = {"image/pooled": ViewSpec((512,), "float32")}
ROWS = 3000


@contextmanager
def bad_sectors(monkeypatch: pytest.MonkeyPatch, file: Path, begin: int, end: int) -> Iterator[None]:
    """The disk gives no byte of ``file`` in [begin, end), to whoever reads it; a map is not asked."""
    of = os.stat(file).st_ino

    def broken(descriptor: int, size: int, offset: int) -> bool:
        return os.fstat(descriptor).st_ino == of and offset < end and begin < offset + size

    def preadv(descriptor: int, buffers: list, offset: int) -> int:
        if broken(descriptor, sum(map(len, buffers)), offset):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real[0](descriptor, buffers, offset)

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if broken(descriptor, size, offset):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real[1](descriptor, size, offset)

    real = os.preadv, os.pread
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        patch.setattr(os, "pread", pread)
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "clip.h5"
    with FeatureWriter(path, **settings(views=VIEWS)) as writer:
        writer.commit(0, make_rows(0, ROWS, views=VIEWS))
        writer.seal()
    return path


def _offset(path: Path, table: str) -> int:
    with FeatureFile.open(path) as file:
        return file.segments[0].image.header.offsets[table]


@pytest.mark.parametrize("kind", ["sealed", "part"])
def test_a_sector_of_a_view_is_named_and_its_rows_alone_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "clip.h5"
    with FeatureWriter(path, **settings(views=VIEWS)) as writer:
        writer.commit(0, make_rows(0, ROWS, views=VIEWS))
        if kind == "sealed":
            writer.seal()
    file = path if kind == "sealed" else next(parts_folder(path).iterdir())
    begin = _offset(path, "views/image/pooled") + 2048 * 1700
    with bad_sectors(monkeypatch, file, begin, begin + 512):
        (damage,) = verify(path).damage
        assert (damage.table, damage.first, damage.last) == ("views/image/pooled", 1536, 2047)
        assert damage.first_id == post_id(1536)
        with FeatureFile.open(path) as opened:
            for read in (
                lambda: opened.take("image/pooled", [3, 1700], verify=True),
                lambda: opened.require("image/pooled", np.arange(ROWS)),
            ):
                with pytest.raises(CacheDamaged, match=r"Rows 1536 to 2047 .*salvage"):
                    read()
            with pytest.raises(CacheDamaged, match=r"Input/output error|Rows 1536"):
                opened.read("image/pooled", verify=True)
            assert len(opened.take("image/pooled", [3, 1400, 2300], verify=True)) == 3
        with pytest.raises(CacheDamaged, match="Rows 1536 to 2047"):
            merge([path], tmp_path / "merged.h5")
        found = salvage(path)
    assert (found.rows, found.kept) == (ROWS, ROWS - 512)
    with FeatureFile.open(path) as opened:
        wanted = np.delete(values("image/pooled", 0, ROWS, 0, VIEWS), np.s_[1536:2048], axis=0)
        np.testing.assert_array_equal(opened.read("image/pooled", verify=True), wanted)


@pytest.mark.parametrize("table", ["posts/id", "status", "inputs/text/hash", "checksums/views/image/pooled", "", "?"])
def test_a_sector_of_anything_else_is_a_sentence(path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    header = {"": 0, "?": 1024}
    begin = header[table] if table in header else _offset(path, table)
    with bad_sectors(monkeypatch, path, begin, begin + 16):
        report = verify(path)
        assert not report.ok
        if table and table in ("posts/id", "status", "inputs/text/hash"):
            assert table in {one.table for one in report.damage}
        with pytest.raises(CacheDamaged, match=r"crisis cache salvage .*clip\.h5\."):
            FeatureFile.open(path)
        found = salvage(path)
    assert found.kept in ((ROWS,) if table in header else (0, ROWS))
    assert verify(path).ok if found.kept else not path.exists()


_CUT = """
import os, sys
from cache import CacheError, FeatureFile, FeatureWriter
from cache_support import make_rows, settings
from test_memory import VIEWS
path = sys.argv[1]
file = FeatureFile.open(path)
os.truncate(path, int(sys.argv[2]))
assert len(file.ids) == len(file.status) == 3000 and file.hashes("image").any() and file.rows_of(["nobody"])[0] == -1
for read in (
    lambda: file.take("image/pooled", [1, 2999], verify=True),
    lambda: file.read("image/pooled", verify=True),
    lambda: file.read("image/pooled"),
    lambda: file.captions("llava", verify=True).to_list(),
):
    try:
        read()
    except CacheError as error:
        print(error)
print(file.verify())
"""


@pytest.mark.parametrize("left", [100, 4096, 100_000])
def test_a_file_cut_short_while_it_is_open_kills_nobody(path: Path, left: int) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}{os.pathsep}{Path(__file__).parent}"}
    command = [sys.executable, "-c", _CUT, str(path), str(left)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("salvage") >= 5


def test_everything_but_the_inside_of_bulk_is_read_and_not_mapped(path: Path) -> None:
    """A file made empty after it was loaded: what is not mapped is still there (in this very process)."""
    raw = path.read_bytes()
    with FeatureFile.open(path) as file:
        header = file.segments[0].image.header
    for length in (header.length, header.length - header.length % 4096):
        descriptor = os.open(path, os.O_RDWR)
        os.truncate(path, length)
        buffer, unreadable = load_file(descriptor, length, header.bulk())
        os.truncate(path, 0)
        keep = np.ones(length, bool)
        for begin, end in header.bulk():
            keep[-(-begin // 4096) * 4096 : end // 4096 * 4096] = False
        assert 0 < keep.sum() < length
        assert unreadable == ()
        for begin in np.flatnonzero(np.diff(np.concatenate([[False], keep])) & keep).tolist():
            end = begin + int(np.argmin(np.append(keep[begin:], False)))
            assert buffer[begin:end].tobytes() == raw[begin:end]
        os.close(descriptor)
        path.write_bytes(raw)


def test_blocks_that_do_not_begin_where_those_of_the_sources_do_are_sealed_right(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with FeatureWriter(path, **settings(views=VIEWS)) as writer:
        for start, stop in ((0, 700), (700, 1500), (1500, 2900), (2900, ROWS)):
            writer.commit(start, make_rows(start, stop, views=VIEWS))
        writer.seal()
    assert verify(path).ok
    with FeatureFile.open(path) as file:
        np.testing.assert_array_equal(file.read("image/pooled"), values("image/pooled", 0, ROWS, 0, VIEWS))
        assert file.modalities == MODALITIES
