"""Whatever is damaged, the sound rows are kept, and nothing but sound rows is."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from cache_faults import Killed, faulty
from cache_support import VIEWS, caption, make_rows, post_id, settings, values, write

from cache import CacheBusy, CacheError, FeatureFile, FeatureWriter, ViewSpec, salvage, verify
from cache.header import unpack
from cache.salvage import Salvaged
from cache.snapshot import parts_folder

ROWS = 71
PROVENANCE = {"fingerprint": "f" * 16, "command": "crisis extract", "flags": ["--model", "clip"]}


def _cache(path: Path) -> list[Path]:
    """A sealed file of 45 rows and two parts."""
    given = settings(provenance=PROVENANCE)
    with FeatureWriter(path, **given) as writer:
        writer.commit(0, make_rows(0, 20))
        writer.commit(20, make_rows(20, 45))
        writer.seal()
        writer.commit(45, make_rows(45, 60))
        writer.commit(60, make_rows(60, ROWS))
    return [path, *sorted(parts_folder(path).iterdir())]


def _kept(path: Path) -> list[int]:
    """The dataset rows that a salvaged file holds, after a check that each is what was written."""
    assert verify(path).ok
    numbers = {post_id(row): row for row in range(ROWS)}
    with FeatureFile.open(path) as file:
        assert file.sealed
        rows = [numbers[post] for post in file.id_list()]
        for view in VIEWS:
            wanted = [values(view, row, row + 1)[0] for row in rows]
            np.testing.assert_array_equal(file.read(view, verify=True), np.array(wanted))
        reference = make_rows(0, ROWS)
        assert list(file.captions("llava", verify=True)) == [caption(row) for row in rows]
        assert file.group_list() == [reference.groups[row] for row in rows]
        for name in file.modalities:
            np.testing.assert_array_equal(file.status_of(name), reference.status[name][rows])
            np.testing.assert_array_equal(file.hashes(name), reference.hashes[name][rows])
            stamps = file.stamps(name)
            assert ((stamps == reference.stamps[name][rows]) | (stamps == 0)).all()
        np.testing.assert_array_equal(file.status, np.where(*_overall(reference, rows)))
    assert rows == sorted(rows)
    return rows


def _overall(reference, rows: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, text = reference.status["image"][rows], reference.status["text"][rows]
    return image > 0, image, text


def _regions(file: Path) -> list[tuple[str, int, int]]:
    """Header, what is between the tables, and each table: name, first byte, bytes."""
    raw = file.read_bytes()
    header = unpack(raw, len(raw), file.name)
    tables = [(path, header.offsets[path], table.nbytes) for path, table in header.tables.items()]
    at, gaps = header.size, []
    for _, begin, size in sorted(tables, key=lambda one: one[1]):
        gaps.append(("metadata", at, begin - at))
        at = begin + size
    text = raw.index(b'{"command"')
    return [
        ("header", 0, 512),
        *[gap for gap in gaps if gap[2] > 0],
        ("provenance", text, len(json.dumps(PROVENANCE, separators=(",", ":")))),
        *tables,
    ]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["sealed", "first part", "last part"])
@pytest.mark.parametrize("kind", ["flip", "sector"])
def test_rot_in_every_region_costs_no_sound_row(tmp_path: Path, which: int, kind: str) -> None:
    path = tmp_path / "original" / "clip.h5"
    file = _cache(path)[which]
    own = [range(45), range(45, 60), range(60, ROWS)][which]
    rng = np.random.default_rng(which)
    for number, (name, begin, size) in enumerate(_regions(file)):
        place = tmp_path / f"{number}" / "clip.h5"
        _copy(path, place)
        spoiled = place if which == 0 else parts_folder(place) / file.name
        with spoiled.open("r+b") as handle:
            at = begin + int(rng.integers(size))
            handle.seek(at)
            old = handle.read(1)
            handle.seek(at if kind == "flip" else begin)
            handle.write(bytes([old[0] ^ 1 << int(rng.integers(8))]) if kind == "flip" else b"\xa5" * min(size, 512))
        if verify(place).ok:
            continue  # padding, or bytes that happened to be these
        found = salvage(place)
        assert found.rows == ROWS
        kept = _kept(place)
        assert found.kept == len(kept)
        lost = set(range(ROWS)) - set(kept)
        assert lost <= set(own), f"{name}: rows {lost} were sound"
        if name in ("header", "metadata", "status") or name.endswith("stamp"):
            assert not lost, name
        assert not parts_folder(place).exists()
        assert [one.name for one in found.aside] == [
            "clip.h5.damaged" if which == 0 else f"clip.h5.{file.name[:6]}.damaged"
        ]
        with FeatureWriter(place, **settings(provenance=PROVENANCE)) as writer:
            writer.commit(len(kept), _some(sorted(lost))) if lost else None
            writer.seal()
        with FeatureFile.open(place) as mended:
            assert sorted(mended.id_list()) == sorted(post_id(row) for row in range(ROWS))


def _copy(path: Path, place: Path) -> None:
    parts_folder(place).mkdir(parents=True)
    place.write_bytes(path.read_bytes())
    for part in parts_folder(path).iterdir():
        (parts_folder(place) / part.name).write_bytes(part.read_bytes())


def _some(rows: list[int]):
    from pipeline.extraction.vectors import concatenate

    return concatenate([make_rows(row, row + 1) for row in rows])


def test_a_sound_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [20, 45])
    before = path.read_bytes(), os.stat(path).st_ino
    found = salvage(path)
    assert (found.rows, found.kept, found.aside) == (45, 45, [])
    assert (path.read_bytes(), os.stat(path).st_ino) == before


def test_a_file_cut_short_keeps_what_is_left(tmp_path: Path) -> None:
    views = {"image/pooled": ViewSpec((512,), "float32")}
    path = tmp_path / "clip.h5"
    with FeatureWriter(path, **settings(views=views)) as writer:
        writer.commit(0, make_rows(0, 3000, views=views))
        writer.seal()
    with FeatureFile.open(path) as file:
        image = file.segments[0].image
        begin = image.header.offsets["views/image/pooled"]
        checks_lie_behind = image.header.offsets["checksums/status"] > begin
    os.truncate(path, begin + 2048 * 1600)
    found = salvage(path)
    assert found.rows == 3000
    assert found.kept == (0 if checks_lie_behind else 1536)
    assert path.exists() == (found.kept > 0)
    assert (tmp_path / "clip.h5.damaged").exists()


@pytest.mark.parametrize("content", [b"", b"hello" * 4000, b"\x89HDF\r\n\x1a\n" * 4000])
def test_a_stranger_s_file_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.h5"
    path.write_bytes(content)
    with pytest.raises(CacheError, match="not a feature cache"):
        salvage(path)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("notes.h5", content)]


def test_a_file_that_is_being_written_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with FeatureWriter(path, **settings()) as writer:
        writer.commit(0, make_rows(0, 4))
        with pytest.raises(CacheBusy):
            salvage(path)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.h5"
    _cache(path)
    with path.open("r+b") as handle:
        handle.write(b"\0")
    before = sorted((one.name, one.stat().st_size) for one in tmp_path.rglob("*"))

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("cache.files.write_at", full)
        with pytest.raises(CacheError, match="disk is full"):
            salvage(path)
    assert sorted((one.name, one.stat().st_size) for one in tmp_path.rglob("*")) == before
    assert salvage(path).kept == ROWS


def test_a_file_whose_words_make_no_sense_is_set_aside_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [20])
    with path.open("r+b") as handle:
        handle.seek(path.read_bytes().rindex(b'{"fingerprint"'))
        handle.write(b"\0" * 8)
    assert salvage(path) == Salvaged(path, 20, 0, [tmp_path / "clip.h5.damaged"])
    assert not path.exists()


@pytest.mark.parametrize("which", [0, 2], ids=["sealed", "part"])
def test_a_kill_at_any_operation_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    path = tmp_path / "original" / "clip.h5"
    file = _cache(path)[which]
    with file.open("r+b") as handle:
        handle.seek(100)
        handle.write(b"\0")
    at, killed = 0, True
    while killed:
        place = tmp_path / str(at) / "clip.h5"
        _copy(path, place)
        killed = False
        with faulty(monkeypatch, at):
            try:
                salvage(place)
            except Killed:
                killed = True
        if killed:
            with contextlib.suppress(CacheError):
                FeatureFile.open(place).close()
            salvage(place)
        assert _kept(place) == list(range(ROWS)), f"operation {at}"
        at += 1
    assert at > 10
