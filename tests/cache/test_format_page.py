"""docs/cache-format.md is enough to read a cache: this reader knows the page, and nothing of `cache`.

Files are made in a process of their own, so that nothing of ours is imported here.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cache-format.md"
ROOT = PAGE.parents[1]
MAGIC = b"crisis-cache\x0d\x0a\x1a\x0a"
ROWS = 2500

WRITER = """
import sys
import numpy as np
sys.path[:0] = [{root!r}, {here!r}]
from cache import FeatureWriter
from cache_support import make_rows, settings
path, sealed = sys.argv[1], int(sys.argv[2])
provenance = {{"fingerprint": "ab" * 32, "dataset": "made"}}
with FeatureWriter(path, **settings(provenance=provenance)) as writer:
    writer.commit(0, make_rows(0, 1500))
    writer.commit(1500, make_rows(1500, 2300))
    if sealed:
        writer.seal()
    writer.commit(900, make_rows(900, 1000, salt=1))
    writer.commit(2300, make_rows(2300, {rows}))
    if sealed == 2:
        writer.seal()
views = make_rows(0, {rows}).views
for name, again in make_rows(900, 1000, salt=1).views.items():
    views[name][900:1000] = again
np.savez(path + ".npz", **views)
"""


class Stored:
    """One stored file, read and checked as the page says."""

    def __init__(self, path: Path) -> None:
        self.raw = path.read_bytes()
        magic, check, version, size, length, digest, text = struct.unpack_from("<16sQIIQ16sI", self.raw)
        assert (magic, version, length) == (MAGIC, 1, len(self.raw))
        assert size & (size - 1) == 0
        assert 4096 <= size <= 1 << 20
        assert xxhash.xxh3_64_intdigest(self.raw[24:size]) == check
        self.size = size
        header = json.loads(self.raw[60 : 60 + text])
        assert not self.raw[60 + text : size].strip(b"\0")
        self.schema, self.start, self.sequence = header["schema"], header["start"], header["sequence"]
        self.rows, self.id_width, self.group_width, self.caption_bytes = header["sizes"]
        self.fingerprint, self.offsets = header["fingerprint"], header["offsets"]
        self.tables = self._tables()
        assert set(self.offsets) == set(self.tables)
        assert self._skeleton() == digest
        self._check_blocks()
        self._check_hdf5(path)

    def array(self, path: str) -> np.ndarray:
        dtype, shape = self.tables[path]
        begin = self.offsets[path]
        return np.frombuffer(self.raw[begin : begin + self._bytes(path)], dtype).reshape(shape)

    def captions(self, name: str) -> list[str]:
        offsets, blob = self.array(f"captions/{name}/offsets").tolist(), self.array(f"captions/{name}/blob").tobytes()
        assert (offsets[0], offsets[-1]) == (0, len(blob))
        spans = list(pairwise(offsets))
        assert all(blob[end - 1] == 0 for _, end in spans)
        return [blob[begin : end - 1].decode() for begin, end in spans]

    def _tables(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        n = self.rows
        tables = {"posts/id": (f"S{self.id_width}", (n,)), "posts/group": (f"S{self.group_width}", (n,))}
        tables["status"] = ("u1", (n,))
        for name in self.schema["modalities"]:
            tables[f"inputs/{name}/status"] = ("u1", (n,))
            tables[f"inputs/{name}/hash"] = ("u1", (n, 16))
            tables[f"inputs/{name}/stamp"] = ("<u8", (n,))
        for name in self.schema["captions"]:
            tables[f"captions/{name}/offsets"] = ("<u8", (n + 1,))
            tables[f"captions/{name}/blob"] = ("u1", (self.caption_bytes[name],))
        for name, (dtype, *shape) in self.schema["views"].items():
            tables[f"views/{name}"] = (np.dtype(dtype).newbyteorder("<"), (n, *shape))
        for path, (dtype, shape) in list(tables.items()):
            blocks = -(-shape[0] // self._block_rows(path, np.dtype(dtype), shape))
            tables[f"checksums/{path}"] = ("<u8", (blocks,))
        return {path: (np.dtype(dtype), shape) for path, (dtype, shape) in tables.items()}

    def _block_rows(self, path: str, dtype: np.dtype, shape: tuple[int, ...]) -> int:
        row = dtype.itemsize * int(np.prod(shape[1:]))
        return max(1, (1_048_576 if self._is_bulk(path) else 65_536) // row)

    @staticmethod
    def _is_bulk(path: str) -> bool:
        return path.startswith("views/") or (path.startswith("captions/") and path.endswith("/blob"))

    def _bytes(self, path: str) -> int:
        dtype, shape = self.tables[path]
        return dtype.itemsize * int(np.prod(shape))

    def _skeleton(self) -> bytes:
        state, begin = xxhash.xxh3_128(), self.size
        bulk = sorted((self.offsets[path], self._bytes(path)) for path in self.tables if self._is_bulk(path))
        for offset, count in bulk:
            state.update(self.raw[begin:offset])
            begin = offset + count
        state.update(self.raw[begin:])
        return state.intdigest().to_bytes(16, "big")

    def _check_blocks(self) -> None:
        for path, (dtype, shape) in self.tables.items():
            if path.startswith("checksums/"):
                continue
            row = dtype.itemsize * int(np.prod(shape[1:]))
            step, begin, end = self._block_rows(path, dtype, shape) * row, self.offsets[path], self._bytes(path)
            blocks = [self.raw[begin + low : begin + min(low + step, end)] for low in range(0, end, step)]
            assert [xxhash.xxh3_64_intdigest(block) for block in blocks] == self.array(f"checksums/{path}").tolist()

    def _check_hdf5(self, path: Path) -> None:
        """The HDF5 library sees the same tables at the same places, and the provenance."""
        with h5py.File(path) as file:
            assert file.userblock_size == self.size
            self.provenance = json.loads(file.attrs["crisis"])
            self.codes = json.loads(file["status"].attrs["codes"])
            found = {}
            file.visititems(lambda name, node: found.update({name: node}) if isinstance(node, h5py.Dataset) else None)
            assert set(found) == set(self.tables)
            for name, dataset in found.items():
                assert dataset.id.get_offset() == self.offsets[name]
                np.testing.assert_array_equal(dataset[()], self.array(name))
        assert self.provenance["fingerprint"] == self.fingerprint


def state(path: Path) -> list[tuple[Stored, int]]:
    """For each dataset row the file that holds it and the row there."""
    layers = [Stored(path)] if path.exists() else []
    last = layers[0].sequence if layers else 0
    name = re.compile(r"(\d{6,})-(\d{10,})-(\d{10,})\.h5")
    folder = path.with_name(path.name + ".parts")
    parts = {one: name.fullmatch(one.name) for one in folder.iterdir()} if folder.is_dir() else {}
    said = sorted((*map(int, match.groups()), one) for one, match in parts.items() if match)
    for sequence, start, stop, part in said:
        if sequence <= last:
            continue
        stored = Stored(part)
        assert (stored.sequence, stored.start, stored.start + stored.rows) == (sequence, start, stop)
        assert sequence == (layers[-1].sequence if layers else 0) + 1
        layers.append(stored)
    rows: list[tuple[Stored, int]] = []
    for stored in layers:
        assert (stored.schema, stored.fingerprint) == (layers[0].schema, layers[0].fingerprint)
        assert stored.start <= len(rows)
        rows[stored.start : stored.start + stored.rows] = [(stored, row) for row in range(stored.rows)]
    return rows


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["parts alone", "a sealed file and parts", "sealed"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("format") / "made@abababab.h5"
    program = WRITER.format(root=str(ROOT), here=str(Path(__file__).parent), rows=ROWS)
    subprocess.run([sys.executable, "-c", program, str(path), str(request.param)], check=True)
    return path


def test_a_reader_made_from_the_page_reads_every_row(made: Path) -> None:
    rows = state(made)
    assert len(rows) == ROWS
    expected = np.load(str(made) + ".npz")
    for view in ("image/pooled", "text/tokens"):
        found = np.stack([stored.array(f"views/{view}")[row] for stored, row in rows])
        np.testing.assert_array_equal(found, expected[view])
    ids = [stored.array("posts/id")[row].decode() for stored, row in rows]
    assert ids[:4] == ["900000000_é", "900000001", "900000002", "900000003_é"]
    assert len(set(ids)) == ROWS


def test_statuses_captions_and_provenance_are_those_of_the_page(made: Path) -> None:
    rows = state(made)
    stored = rows[0][0]
    table = re.findall(r"^\| (\d) \| ([a-z -]+) \|", PAGE.read_text(), re.MULTILINE)
    assert stored.codes == [reason for _, reason in table]
    assert [int(code) for code, _ in table] == list(range(len(table)))
    for stored, row in rows[::37]:
        image, text = (int(stored.array(f"inputs/{name}/status")[row]) for name in ("image", "text"))
        assert int(stored.array("status")[row]) == (image or text)
    assert {stored.provenance["dataset"] for stored, _ in rows} == {"made"}
    texts = {id(stored): stored.captions("llava") for stored, _ in rows}
    assert texts[id(rows[1][0])][rows[1][1]] == "a flooded street 1.0"
    assert texts[id(rows[902][0])][rows[902][1]] == "río crecido 902.1"
