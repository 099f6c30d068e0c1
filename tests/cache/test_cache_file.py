"""What is committed is what is read, through parts, sealed files and plain h5py alike."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from cache_support import CAPTIONS, MODALITIES, VIEWS, leftovers, make_rows, post_id, salts_of, settings, values, write
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cache import CacheError, FeatureFile, FeatureWriter, Rows, Status, ViewSpec
from cache.snapshot import parts_folder


@pytest.mark.parametrize("seal", [False, True], ids=["parts", "sealed"])
def test_committed_rows_are_read_back_bit_equal(tmp_path: Path, seal: bool) -> None:
    path = tmp_path / "new" / "folders" / "clip.h5"
    write(path, [3, 4, 11], seal)
    with FeatureFile.open(path) as file:
        assert (file.n, file.sealed, file.path) == (11, seal, path)
        assert (file.views, file.modalities, file.caption_names) == (VIEWS, MODALITIES, CAPTIONS)
        assert (file.fingerprint, file.provenance) == ("f" * 16, {"fingerprint": "f" * 16})
        assert salts_of(file).tolist() == [0] * 11
        reference = make_rows(0, 11)
        overall = np.where(reference.status["image"] > 0, reference.status["image"], reference.status["text"])
        np.testing.assert_array_equal(file.status, overall)
        assert file.verify().ok
        assert file.verify().rows == 11
    if seal:
        assert leftovers(path) == []


def test_any_h5py_script_opens_a_sealed_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [6])
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["views/image/pooled"][:], values("image/pooled", 0, 6))
        assert file["views/image/pooled"].chunks is None
        assert [one.decode() for one in file["posts/id"][:]] == [post_id(row) for row in range(6)]
        assert h5py.check_string_dtype(file["posts/id"].dtype).encoding == "utf-8"
        assert json.loads(file["status"].attrs["codes"])[1] == "image missing"
        assert file.attrs["crisis"].decode() == '{"fingerprint":"ffffffffffffffff"}'
        offset = file["views/text/tokens"].id.get_offset()
    mapped = np.memmap(path, "<f4", "r", offset, (6, 2, 3))
    np.testing.assert_array_equal(mapped, values("text/tokens", 0, 6))


def test_a_part_is_an_hdf5_file_too(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [6], seal=False)
    (part,) = parts_folder(path).iterdir()
    assert part.name == "000001-0000000000-0000000006.h5"
    with h5py.File(part) as file:
        np.testing.assert_array_equal(file["views/text/tokens"][:], values("text/tokens", 0, 6))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the time of day."""
    write(tmp_path / "one.h5", [3, 8])
    time.sleep(1.1)
    write(tmp_path / "two.h5", [3, 8])
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sequence_of_commits_and_seals_reads_as_an_array_would(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("any") / "clip.h5"
    expected: list[int] = []
    with FeatureWriter(path, **settings()) as writer:
        for salt in range(data.draw(st.integers(1, 7))):
            start = data.draw(st.integers(0, len(expected)))
            stop = data.draw(st.integers(start + 1, start + 6))
            writer.commit(start, make_rows(start, stop, salt))
            expected[start:stop] = [salt] * (stop - start)
            if data.draw(st.booleans()):
                writer.seal()
            assert salts_of(writer.committed).tolist() == expected
            rows = np.array(data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=9)), int)
            taken = writer.committed.take("text/tokens", rows)
            np.testing.assert_array_equal(taken, writer.committed.read("text/tokens")[rows])
    with FeatureFile.open(path) as file:
        assert salts_of(file).tolist() == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    ids=st.lists(TEXTS.filter(bool), min_size=1, max_size=6, unique=True),
    captions=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=6, max_size=6),
    data=st.data(),
)
def test_any_text_survives(tmp_path_factory, ids: list[str], captions: list[str], data) -> None:
    path, n = tmp_path_factory.mktemp("text") / "clip.h5", len(ids)
    groups = data.draw(st.lists(TEXTS, min_size=n, max_size=n))
    rows = Rows(
        ids, groups, {}, {"text": np.zeros(n, np.uint8)}, {"text": np.zeros((n, 16), np.uint8)},
        {"text": np.zeros(n, np.uint64)}, {"llava": captions[:n]},
    )  # fmt: skip
    with FeatureWriter(path, views={}, modalities=["text"], captions=["llava"], provenance=P) as writer:
        writer.commit(0, rows)
        for file in (writer.committed, FeatureFile.open(writer.seal())):
            assert (file.id_list(), file.group_list()) == (ids, groups)
            assert file.captions("llava").to_list() == captions[:n]
            assert file.rows_of(ids).tolist() == list(range(n))


P = {"fingerprint": "a"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64"])
def test_every_bit_pattern_survives(tmp_path: Path, dtype: str) -> None:
    """NaN payloads, infinities, negative zero: bits, not values, are kept."""
    raw = np.random.default_rng(0).integers(0, 256, (50, 4, np.dtype(dtype).itemsize), np.uint8)
    array = raw.view(dtype)[..., 0]
    views = {"image/x": ViewSpec((4,), dtype)}
    rows = make_rows(0, 50)
    rows.views = {"image/x": array}
    with FeatureWriter(tmp_path / "clip.h5", **settings(views=views)) as writer:
        writer.commit(0, rows)
        assert writer.committed.read("image/x").tobytes() == array.tobytes()
        writer.seal()
        assert writer.committed.read("image/x").tobytes() == array.tobytes()


def test_read_fills_a_given_array_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    write(tmp_path / "clip.h5", [9])
    with FeatureFile.open(tmp_path / "clip.h5") as file:
        out = np.empty((9, 6), np.float16)
        assert file.read("image/pooled", out) is out
        np.testing.assert_array_equal(out, values("image/pooled", 0, 9))
        readonly = np.empty((9, 6), np.float16)
        readonly.flags.writeable = False
        for wrong in (np.empty((9, 6)), np.empty((8, 6), "f2"), np.empty((6, 9), "f2").T, readonly):
            with pytest.raises(CacheError, match="contiguous, writable"):
                file.read("image/pooled", wrong)


def test_large_views_come_as_a_read_only_map_that_outlives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [9])
    with FeatureFile.open(path, map_above=10) as file:
        mapped = file.read("image/pooled")
        taken = file.take("image/pooled", [2])
    path.unlink()
    assert not mapped.flags.writeable
    with pytest.raises(ValueError):
        mapped.flags.writeable = True
    np.testing.assert_array_equal(mapped, values("image/pooled", 0, 9))
    taken[:] = 0


def test_take_never_takes_a_neighbour(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    for stops in ([9], [3, 9]):
        path.unlink(missing_ok=True)
        write(path, stops, seal=len(stops) == 1)
        with FeatureFile.open(path) as file:
            for rows in ([-1], [0, 9], file.rows_of(["absent"])):
                with pytest.raises(CacheError, match="between 0 and 8"):
                    file.take("image/pooled", rows)
            for rows in ([[1]], [0.5], [True]):
                with pytest.raises(CacheError, match="row numbers"):
                    file.take("image/pooled", rows)
            assert file.take("image/pooled", []).shape == (0, 6)
    with pytest.raises(CacheError, match="was closed"):
        file.read("image/pooled")


def test_captions_are_a_sequence(tmp_path: Path) -> None:
    write(tmp_path / "clip.h5", [5, 12], seal=False)
    with FeatureFile.open(tmp_path / "clip.h5") as file:
        captions, expected = file.captions("llava"), make_rows(0, 12).captions["llava"]
        assert (len(captions), captions[3], captions[-1]) == (12, expected[3], expected[-1])
        assert (captions[2:9], captions[::-3], captions[7:2]) == (expected[2:9], expected[::-3], [])
        for row in (12, -13):
            with pytest.raises(IndexError):
                captions[row]


def test_names_that_are_not_there_are_told(tmp_path: Path) -> None:
    write(tmp_path / "clip.h5", [5])
    with FeatureFile.open(tmp_path / "clip.h5") as file:
        for ask in (lambda: file.read("image/x"), lambda: file.captions("x"), lambda: file.stamps("audio")):
            with pytest.raises(CacheError, match="it has"):
                ask()
    with pytest.raises(CacheError, match="no feature cache"):
        FeatureFile.open(tmp_path / "none.h5")


def test_a_night_of_parts_needs_no_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, list(range(2, 102, 2)), seal=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd"))) if Path("/proc/self/fd").is_dir() else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 12, hard))
    try:
        with FeatureFile.open(path) as file:
            assert salts_of(file).tolist() == [0] * 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_status_reasons_go_both_ways() -> None:
    assert [Status.from_reason(status.reason) for status in Status] == list(Status)
    assert Status.IMAGE_MISSING.reason == "image missing"
    with pytest.raises(CacheError, match="no status"):
        Status.from_reason("tired")
