"""Listing, merging, dropping and verifying whole files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_support import leftovers, make_rows, salts_of, settings, write

from cache import CacheBusy, CacheError, FeatureFile, FeatureWriter, drop, list_files, merge, verify


def _shift(path: Path, start: int, stop: int, seal: bool, **other: object) -> None:
    """A file of its own whose first row is dataset row ``start``."""
    with FeatureWriter(path, **settings(**other)) as writer:
        middle = (start + stop) // 2
        writer.commit(0, make_rows(start, middle))
        writer.commit(middle - start, make_rows(middle, stop))
        if seal:
            writer.seal()


def test_list_tells_sealed_parts_bad_rows_and_unreadable_files(tmp_path: Path) -> None:
    assert list_files(tmp_path / "none") == []
    write(tmp_path / "crisismmd" / "clip@12345678.h5", [20])
    write(tmp_path / "crisismmd" / "blip@abcdef00.h5", [5, 9], seal=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "odd.h5").write_bytes(b"odd")
    blip, clip, odd = list_files(tmp_path)
    assert (clip.dataset, clip.encoder, clip.fingerprint) == ("crisismmd", "clip", "f" * 16)
    assert (clip.rows, clip.ok, clip.bad) == (20, 14, {"image missing": 4, "empty text": 2})
    assert (clip.sealed, clip.parts, clip.bytes) == (True, 0, clip.path.stat().st_size)
    assert (blip.encoder, blip.rows, blip.sealed, blip.parts) == ("blip", 9, False, 2)
    assert set(clip.views) == {"image/pooled", "text/tokens"}
    assert clip.error == blip.error == ""
    assert (odd.encoder, odd.rows) == ("odd", 0)
    assert "not a feature cache" in odd.error


def test_merge_lays_files_end_to_end(tmp_path: Path) -> None:
    """Sealed files and files of parts alike."""
    inputs = [tmp_path / f"{number}.h5" for number in range(3)]
    _shift(inputs[0], 0, 9, seal=True)
    _shift(inputs[1], 9, 14, seal=False)
    _shift(inputs[2], 14, 30, seal=True)
    output = tmp_path / "merged" / "clip.h5"
    assert merge(inputs, output) == output
    with FeatureFile.open(output) as file:
        assert file.sealed
        assert salts_of(file).tolist() == [0] * 30
    assert leftovers(output) == []
    assert verify(output).ok
    with FeatureWriter(output, **settings()) as writer:
        writer.commit(30, make_rows(30, 34))
        writer.seal()
    assert FeatureFile.open(output).n == 34


def test_merge_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one.h5", "same.h5", "other.h5"))
    _shift(one, 0, 9, seal=True)
    _shift(same, 8, 12, seal=True)
    _shift(other, 20, 24, seal=True, provenance={"fingerprint": "e"})
    for inputs, match in (
        ([one, same], "both hold the post 900000008"),
        ([one, other], "different encoders"),
        ([], "nothing"),
    ):
        with pytest.raises(CacheError, match=match):
            merge(inputs, tmp_path / "out.h5")
        assert not (tmp_path / "out.h5").exists()
    with pytest.raises(CacheError, match="exists already"):
        merge([one], same)


def test_drop_removes_all_of_a_file_but_not_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [4])
    with FeatureWriter(path, **settings()) as writer:
        writer.commit(4, make_rows(4, 5))
        with pytest.raises(CacheBusy):
            drop(path)
        assert writer.committed.n == 5
    drop(path)
    assert list(tmp_path.iterdir()) == []
    for ask in (drop, verify):
        with pytest.raises(CacheError, match="no feature cache"):
            ask(path)
