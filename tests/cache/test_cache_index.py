"""Ids are found exactly, whatever their hashes, beside a plain dict as the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import CacheError, index
from cache.index import GrowingIds, IdIndex, as_ids, hash_ids

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@pytest.fixture(params=["64 bits", "1 bit", "0 bits"])
def hashing(request, monkeypatch) -> None:
    """Also with hashes that collide all the time."""
    keep = {"64 bits": 2**64 - 1, "1 bit": 1, "0 bits": 0}[request.param]
    monkeypatch.setattr(index, "hash_ids", lambda ids: hash_ids(ids) & np.uint64(keep))


def _check(stored: list[str], asked: list[str]) -> None:
    reference = {name: row for row, name in enumerate(stored)}
    found = IdIndex(as_ids(stored)).rows_of(as_ids(asked))
    assert found.tolist() == [reference.get(name, -1) for name in asked]


@pytest.mark.usefixtures("hashing")
class TestAgainstADict:
    def test_rows_of(self) -> None:
        @given(st.lists(NAMES, unique=True, max_size=30), st.lists(NAMES, max_size=30), st.randoms())
        def check(stored: list[str], others: list[str], random) -> None:
            asked = stored + others
            random.shuffle(asked)
            _check(stored, asked)
            _check(stored, stored)

        check()

    def test_repeats_are_named(self) -> None:
        for stored in (["a", "b", "a"], ["b", "b"], ["c" * 30, "a", "c" * 30]):
            with pytest.raises(CacheError, match=f"'{max(stored, key=stored.count)}' is there twice"):
                IdIndex(as_ids(stored)).require_distinct(Path("x"))
        IdIndex(as_ids(["a", "b", "c", "aa"])).require_distinct(Path("x"))


def test_hash_does_not_depend_on_the_arrays_width() -> None:
    ids = np.array([b"a", b"12345678", b"123456789", "é".encode() * 9])
    for width in (18, 24, 40, 41):
        np.testing.assert_array_equal(hash_ids(ids.astype(f"S{width}")), hash_ids(ids))


def test_similar_ids_do_not_collide() -> None:
    ids = np.array([f"{910806102391918592 + row}_{row % 4}" for row in range(200_000)], "S24")
    hashes = hash_ids(ids)
    assert len(np.unique(hashes)) == len(ids)
    for bits in (hashes >> np.uint64(56), hashes & np.uint64(255)):
        counts = np.bincount(bits.astype(int), minlength=256)
        assert counts.min() > 600
        assert counts.max() < 960


def test_ids_the_cache_cannot_hold_are_absent() -> None:
    assert IdIndex(as_ids(["a", "b"])).rows_of(as_ids(["a\0", "", "\ud800", "b"])).tolist() == [-1, -1, -1, 1]
    assert IdIndex(as_ids([])).rows_of(as_ids(["a"])).tolist() == [-1]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_growing_ids_find_every_earlier_id(lengths: list[int]) -> None:
    growing, count = GrowingIds(), 0
    for length in lengths:
        ids = as_ids([f"post-{'x' * (row % 11)}{row}" for row in range(count, count + length)])
        growing.check(count, ids)
        growing.put(count, ids)
        count += length
    for row in range(count):
        with pytest.raises(CacheError, match=f"in row {row} already"):
            growing.check(count, as_ids([f"post-{'x' * (row % 11)}{row}"]))
    assert len(growing._runs) <= 1 + np.log2(count + 1)
