"""Rows that follow from their number alone, so that any state of a cache can be checked without remembering it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import xxhash

from cache import FeatureFile, FeatureWriter, Rows, Status, ViewSpec
from cache.header import pack, skeleton_digest, unpack

VIEWS = {"image/pooled": ViewSpec((6,), "float16"), "text/tokens": ViewSpec((2, 3), "float32")}
MODALITIES = ("image", "text")
CAPTIONS = ("llava",)


def settings(**other: object) -> dict:
    """Arguments of a FeatureWriter."""
    given = {"views": VIEWS, "modalities": MODALITIES, "captions": CAPTIONS, "provenance": {"fingerprint": "f" * 16}}
    return {**given, **other}


def post_id(row: int) -> str:
    return f"9{row:08d}" + "_é" * (row % 3 == 0)


def caption(row: int, salt: int = 0) -> str:
    return ["", "a flooded street", "río crecido"][row % 3] + f" {row}.{salt}" * (row % 3 > 0)


def input_hash(row: int, salt: int) -> np.ndarray:
    return np.frombuffer(xxhash.xxh3_128_digest(f"{row}/{salt}".encode()), np.uint8)


def values(view: str, start: int, stop: int, salt: int = 0, views: dict[str, ViewSpec] = VIEWS) -> np.ndarray:
    """Rows [start, stop) of a view: each row differs from every other row and salt."""
    spec = views[view]
    size = int(np.prod(spec.shape))
    flat = np.arange(start, stop)[:, None] * 7 + np.arange(size) * 3 + salt * 1009
    return (flat % 2039).astype(spec.dtype).reshape(-1, *spec.shape)


def make_rows(start: int, stop: int, salt: int = 0, views: dict[str, ViewSpec] = VIEWS) -> Rows:
    """Rows [start, stop) of the one dataset of these tests; another salt means another input."""
    numbers = range(start, stop)
    hashes = [input_hash(row, salt) for row in numbers]
    return Rows(
        ids=[post_id(row) for row in numbers],
        groups=[f"g{row // 2}" for row in numbers],
        views={view: values(view, start, stop, salt, views) for view in views},
        status={
            "image": np.array([Status.IMAGE_MISSING if row % 5 == 4 else 0 for row in numbers], np.uint8),
            "text": np.array([Status.EMPTY_TEXT if row % 7 == 6 else 0 for row in numbers], np.uint8),
        },
        hashes={name: np.array(hashes) for name in MODALITIES},
        stamps={name: np.array([row * 10 + salt for row in numbers], np.uint64) for name in MODALITIES},
        captions={"llava": [caption(row, salt) for row in numbers]},
    )


def salts_of(file: FeatureFile) -> np.ndarray:
    """The salt each row was written with, int64 [n], after checking that every table of the row agrees on it."""
    stamps = file.stamps("image").astype(np.int64)
    salts = stamps - np.arange(file.n) * 10
    wanted: dict[str, list] = {"captions": [], "image/pooled": [], "text/tokens": [], "hash": []}
    for row, salt in enumerate(salts.tolist()):
        assert 0 <= salt < 10, f"row {row} is garbage"
        wanted["captions"].append(caption(row, salt))
        wanted["hash"].append(input_hash(row, salt))
        for view in VIEWS:
            wanted[view].append(values(view, row, row + 1, salt)[0])
    reference = make_rows(0, file.n)
    assert file.id_list() == reference.ids
    assert file.group_list() == reference.groups
    assert list(file.captions("llava")) == wanted["captions"]
    for view in VIEWS:
        np.testing.assert_array_equal(file.read(view, verify=True), np.array(wanted[view]))
    for name in MODALITIES:
        np.testing.assert_array_equal(file.status_of(name), reference.status[name])
        np.testing.assert_array_equal(file.hashes(name), np.array(wanted["hash"]))
        np.testing.assert_array_equal(file.stamps(name).astype(np.int64), stamps)
    return salts


def write(path: Path, stops: list[int], seal: bool = True) -> None:
    """Commit parts that end at ``stops`` and seal them."""
    with FeatureWriter(path, **settings()) as writer:
        start = 0
        for stop in stops:
            writer.commit(start, make_rows(start, stop))
            start = stop
        if seal:
            writer.seal()


def forge_header(raw: bytearray, **changes: object) -> bytearray:
    """A file's bytes with a header (changed as told) whose digest and check are right: what a stranger can make."""
    header = replace(unpack(bytes(raw[: 1 << 20]), len(raw), "original"), **changes)
    header = replace(header, digest=skeleton_digest(np.frombuffer(raw, np.uint8), header))
    raw[: header.size] = pack(header)
    return raw


def leftovers(path: Path) -> list[str]:
    """Names beside a sealed cache file that should not be there."""
    return sorted(entry.name for entry in path.parent.iterdir() if entry != path)
