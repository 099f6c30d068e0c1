"""Every flipped bit and every truncation is found, and rotten rows are named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cache_support import MODALITIES, make_rows, post_id, settings, write

from cache import CacheDamaged, CacheError, FeatureFile, FeatureWriter, ViewSpec, verify
from cache.header import unpack
from cache.snapshot import parts_folder
from cache.stored import map_image

FLIPS = 500


def _two_parts_and_a_sealed_file(path: Path) -> list[Path]:
    write(path, [20, 45])
    write_more = [(45, 60), (60, 71)]
    with FeatureWriter(path, **settings()) as writer:
        for start, stop in write_more:
            writer.commit(start, make_rows(start, stop))
    return [path, *sorted(parts_folder(path).iterdir())]


def _places(file: Path, count: int, rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Bits to flip, equally many in each table, the header and the metadata: (table or "", byte, bit)."""
    header = unpack(file.read_bytes(), file.stat().st_size, file.name)
    spans = [(path, header.offsets[path], table.nbytes) for path, table in header.tables.items() if table.nbytes]
    inside = np.zeros(header.length, bool)
    for _, begin, size in spans:
        inside[begin : begin + size] = True
    chosen = []
    for number in range(count):
        if number % 3 == 0:
            chosen.append(("", int(rng.choice(np.flatnonzero(~inside))), int(rng.integers(8))))
        else:
            path, begin, size = spans[int(rng.integers(len(spans)))]
            chosen.append((path, begin + int(rng.integers(size)), int(rng.integers(8))))
    return chosen


@pytest.mark.parametrize("which", [0, 1], ids=["sealed", "part"])
def test_no_flipped_bit_is_silent(tmp_path: Path, which: int) -> None:
    path = tmp_path / "set" / "clip.h5"
    file = _two_parts_and_a_sealed_file(path)[which]
    raw = file.read_bytes()
    header = unpack(raw, len(raw), "file")
    reference = {view: FeatureFile.open(path).read(view).tobytes() for view in header.schema.views}
    for table, byte, bit in _places(file, FLIPS, np.random.default_rng(which)):
        with file.open("r+b") as handle:
            handle.seek(byte)
            handle.write(bytes([raw[byte] ^ 1 << bit]))
        report = verify(path)
        assert not report.ok, f"bit {bit} of byte {byte} ({table or 'metadata'}) flipped in silence"
        if table and not table.startswith("checksums/"):
            row = _row_of(header, raw, table, byte)
            hit = [one for one in report.damage if one.table == table and one.file == file]
            assert any(one.first <= row <= one.last for one in hit), f"row {row} of {table} is not named"
        _never_wrong(path, reference)
        with file.open("r+b") as handle:
            handle.seek(byte)
            handle.write(raw[byte : byte + 1])
    assert verify(path).ok


def _row_of(header, raw: bytes, table: str, byte: int) -> int:
    place = (byte - header.offsets[table]) // header.tables[table].row_bytes
    if table.endswith("/blob"):
        begin = header.offsets["captions/llava/offsets"]
        offsets = np.frombuffer(raw, "<u8", header.sizes.rows + 1, begin)
        place = int(np.searchsorted(offsets, place, "right")) - 1
    return header.start + min(place, header.sizes.rows - 1)


def _never_wrong(path: Path, reference: dict[str, bytes]) -> None:
    """A checked read gives the right arrays or an error."""
    try:
        with FeatureFile.open(path) as file:
            read = {view: file.read(view, verify=True).tobytes() for view in reference}
    except CacheError:
        return
    assert read == reference


def test_damage_in_a_large_view_names_few_rows_and_their_posts(tmp_path: Path) -> None:
    views = {"image/pooled": ViewSpec((512,), "float32")}
    path = tmp_path / "clip.h5"
    with FeatureWriter(path, **settings(views=views)) as writer:
        writer.commit(0, make_rows(0, 3000, views=views))
        writer.seal()
    file = FeatureFile.open(path)
    offset = file.segments[0].image.header.offsets["views/image/pooled"]
    with path.open("r+b") as handle:
        handle.seek(offset + 1700 * 2048)
        handle.write(b"\xff\xff")
    (damage,) = verify(path).damage
    assert (damage.table, damage.first, damage.last) == ("views/image/pooled", 1536, 2047)
    assert (damage.first_id, damage.last_id) == (post_id(1536), post_id(2047))
    assert len(file.verify().damage) == 1
    with pytest.raises(CacheDamaged, match="Rows 1536 to 2047 of 'views/image/pooled'"):
        file.read("image/pooled", verify=True)
    with pytest.raises(CacheDamaged, match="Rows 1536"):
        file.take("image/pooled", [3, 1700], verify=True)
    assert len(file.take("image/pooled", [3, 1400, 2300], verify=True)) == 3


def test_sealing_never_hides_damage_and_new_rows_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [20, 45], seal=False)
    part = sorted(parts_folder(path).iterdir())[1]
    header = unpack(part.read_bytes(), part.stat().st_size, "part")
    with part.open("r+b") as handle:
        handle.seek(header.offsets["views/text/tokens"] + 9)
        handle.write(b"\xee")
    with FeatureWriter(path, **settings()) as writer:
        with pytest.raises(CacheDamaged, match="'views/text/tokens'"):
            writer.seal()
        assert not path.exists()
        assert len(list(parts_folder(path).iterdir())) == 2
        (damage,) = verify(path).damage
        writer.commit(damage.first, make_rows(damage.first, damage.last + 1))
        writer.seal()
    assert verify(path).ok


@pytest.mark.parametrize("which", [0, 1], ids=["sealed", "part"])
def test_every_truncation_is_a_clear_error(tmp_path: Path, which: int) -> None:
    path = tmp_path / "set" / "clip.h5"
    file = _two_parts_and_a_sealed_file(path)[which]
    descriptor = os.open(file, os.O_RDWR)
    os.pwrite(descriptor, b"\0", file.stat().st_size)
    with pytest.raises(CacheDamaged, match="has grown"):
        FeatureFile.open(path)
    for length in range(file.stat().st_size - 2, -1, -1):
        os.ftruncate(descriptor, length)
        with pytest.raises(CacheDamaged, match=r"is cut short|is empty"):
            map_image(file)
    os.close(descriptor)
    with pytest.raises(CacheDamaged, match="is empty"):
        FeatureFile.open(path)
    assert not verify(path).ok


def test_missing_part_is_found(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [5, 9, 14], seal=False)
    sorted(parts_folder(path).iterdir())[1].unlink()
    with pytest.raises(CacheDamaged, match="part 2 is missing"):
        FeatureFile.open(path)
    assert not verify(path).ok


def test_renamed_or_copied_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [5, 9], seal=False)
    first, second = sorted(parts_folder(path).iterdir())
    second.write_bytes(first.read_bytes())
    with pytest.raises(CacheError, match="renamed or copied"):
        FeatureFile.open(path)


def test_rot_in_every_modality_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write(path, [30])
    raw = path.read_bytes()
    header = unpack(raw, len(raw), "file")
    for name in MODALITIES:
        for kind in ("status", "hash", "stamp"):
            spoiled = bytearray(raw)
            spoiled[header.offsets[f"inputs/{name}/{kind}"]] ^= 1
            path.write_bytes(spoiled)
            with pytest.raises(CacheDamaged, match="damaged"):
                FeatureFile.open(path)
            assert [one.table for one in verify(path).damage] == [f"inputs/{name}/{kind}"]
