"""A cache file from a stranger, with a digest that fits, is at worst refused and never opens another file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from cache_support import forge_header, make_rows, settings, write
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import cache
from cache import CacheError, FeatureFile, FeatureWriter
from cache import header as headers
from cache.skeleton import stored_type


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("original") / "clip.h5"
    write(path, [12])
    return path.read_bytes()


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """A pipe that hangs whoever opens it, and an alarm that turns hanging into a failure."""
    pipe = tmp_path / "secret"
    os.mkfifo(pipe)
    signal.alarm(20)
    yield pipe
    signal.alarm(0)


def _refused(path: Path, match: str = "refused") -> None:
    for opening in (FeatureFile.open, lambda path: FeatureWriter(path, **settings())):
        with pytest.raises(CacheError, match=match) as caught:
            opening(path)
        assert str(path) in str(caught.value)


def _forge(path: Path, original: bytes, edit: Callable[[h5py.File], None]) -> None:
    """Write the file anew with h5py, let ``edit`` spoil it, and give it a header that fits in all it can.

    Names in a link that read ``nowhere`` become ``secret``, which h5py could not have written without opening it.
    """
    header = headers.unpack(original, len(original), "original")
    with h5py.File(path, "w", userblock_size=header.size, libver="earliest") as file:
        for name, table in header.tables.items():
            data = np.ndarray(table.shape, table.dtype, original, header.offsets[name])
            file.create_dataset(name, data=data.astype(stored_type(name, table)))
        text = b'{"fingerprint":"ffffffffffffffff"}'
        file.attrs.create("crisis", np.array(text, dtype=h5py.string_dtype("utf-8", len(text))))
        edit(file)
    with h5py.File(path) as file:
        offsets = _offsets(file, header)
    raw = bytearray(path.read_bytes().replace(b"nowhere", b"secret\0"))
    spans = sorted((offsets[name], table.nbytes) for name, table in header.tables.items())
    raw.extend(bytes(max(0, spans[-1][0] + spans[-1][1] - len(raw))))
    fitting = replace(header, offsets=offsets, length=len(raw))
    raw[: header.size] = headers.pack(fitting)
    path.write_bytes(forge_header(raw))


def _offsets(file: h5py.File, header: headers.Header) -> dict[str, int]:
    """Where the tables lie, or a free place for those that are not plain tables of the right size any more."""
    offsets: dict[str, int] = {}
    for name, table in header.tables.items():
        free = header.offsets[name] + (1 << 20)
        found = file.get(name) if not isinstance(file.get(name, getlink=True), h5py.ExternalLink) else None
        plain = isinstance(found, h5py.Dataset) and found.chunks is None and found.nbytes == table.nbytes
        place = found.id.get_offset() or 0 if plain else 0
        offsets[name] = place if place >= header.size and place not in offsets.values() else free
    return offsets


def test_forging_without_spoiling_gives_a_good_file(tmp_path: Path, original: bytes) -> None:
    path = tmp_path / "clip.h5"
    _forge(path, original, lambda file: None)
    assert FeatureFile.open(path).verify().ok


def _replace(name: str, **how) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        old = file[name]
        shape, dtype = old.shape, old.dtype
        del file[name]
        file.create_dataset(name, **{"shape": shape, "dtype": dtype, **how})

    return edit


VIEW = "views/image/pooled"
SPOILED = {
    "compressed": _replace(VIEW, chunks=(4, 6), compression="gzip"),
    "chunked": _replace(VIEW, chunks=(4, 6)),
    "huge declared shape": _replace(VIEW, shape=(1 << 40, 6), chunks=(1024, 6)),
    "huge contiguous shape": _replace(VIEW, shape=(1 << 40, 6)),
    "other shape": _replace(VIEW, shape=(6, 12)),
    "growing shape": _replace(VIEW, maxshape=(None, 6), chunks=(4, 6)),
    "wrong dtype": _replace(VIEW, dtype="int16"),
    "big-endian": _replace(VIEW, dtype=">f2"),
    "object references": _replace(VIEW, dtype=h5py.ref_dtype),
    "region references": _replace("posts/id", dtype=h5py.regionref_dtype),
    "variable-length ids": _replace("posts/id", dtype=h5py.string_dtype()),
    "compound": _replace("status", dtype=[("a", "u1")]),
    "array of a type": _replace("status", dtype=np.dtype(("u1", (2,)))),
    "enum": _replace("status", dtype=h5py.enum_dtype({"a": 0}, "u1")),
    "missing table": lambda file: file.pop("inputs/text/hash"),
    "extra table": lambda file: file.create_dataset("views/image/extra", data=[1.0]),
    "extra group": lambda file: file.create_group("more"),
    "named type": lambda file: (file.pop("status"), file.__setitem__("status", np.dtype("u1"))),
    "group for a table": lambda file: (file.pop("status"), file.create_group("status")),
    "table for a group": lambda file: (file.pop("captions"), file.create_dataset("captions", data=[1])),
    "one table twice": lambda file: (file.pop("inputs/text"), file.__setitem__("inputs/text", file["inputs/image"])),
    "a cycle": lambda file: (file.pop("inputs/text"), file.__setitem__("inputs/text", file["/"])),
    "soft link": lambda file: (
        file.pop("inputs/text/hash"),
        file.__setitem__("inputs/text/hash", h5py.SoftLink("/inputs/image/hash")),
    ),
    "no provenance": lambda file: file.attrs.__delitem__("crisis"),
    "second attribute": lambda file: file.attrs.__setitem__("more", 1),
    "number as provenance": lambda file: file.attrs.__setitem__("crisis", 7),
    "variable-length provenance": lambda file: file.attrs.__setitem__("crisis", "{}"),
    "reference as provenance": lambda file: file.attrs.__setitem__("crisis", file["status"].ref),
    "list as provenance": lambda file: file.attrs.create("crisis", np.array(b"[]", h5py.string_dtype("utf-8", 2))),
    "broken provenance": lambda file: file.attrs.create("crisis", np.array(b"{'", h5py.string_dtype("utf-8", 2))),
    "other fingerprint": lambda file: file.attrs.create(
        "crisis", np.array(b'{"fingerprint":"e"}', h5py.string_dtype("utf-8", 19))
    ),
    "unknown status": lambda file: file["status"].__setitem__(3, 200),
    "empty id": lambda file: file["posts/id"].__setitem__(3, b""),
    "repeated id": lambda file: file["posts/id"].__setitem__(3, file["posts/id"][5]),
    "falling offsets": lambda file: file["captions/llava/offsets"].__setitem__(3, 0),
    "offsets beyond the blob": lambda file: file["captions/llava/offsets"].__setitem__(12, 1 << 60),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_structure_is_refused(tmp_path: Path, original: bytes, name: str) -> None:
    path = tmp_path / "clip.h5"
    _forge(path, original, SPOILED[name])
    _refused(path, r"refused.*lie where" if name in ("one table twice",) else r"refused(?!.*lie where)")


def test_other_files_are_never_opened(tmp_path: Path, original: bytes, secret: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    def external(file: h5py.File) -> None:
        del file[VIEW]
        file.create_dataset(VIEW, (12, 6), "f2", external=[(str(secret), 0, 144)])

    def virtual(file: h5py.File) -> None:
        del file[VIEW]
        layout = h5py.VirtualLayout((12, 6), "f2")
        layout[:] = h5py.VirtualSource(str(secret), "data", (12, 6))
        file.create_virtual_dataset(VIEW, layout)

    def linked(file: h5py.File) -> None:
        del file[VIEW]
        file[VIEW] = h5py.ExternalLink("nowhere", "/data")

    def linked_group(file: h5py.File) -> None:
        del file["inputs"]
        file["inputs"] = h5py.ExternalLink("nowhere", "/")

    path = tmp_path / "clip.h5"
    for edit, match in (
        (external, "'views/image/pooled' keeps its data in another file"),
        (virtual, "'views/image/pooled' is not stored as one plain block"),
        (linked, "'views/image/pooled' is a link to somewhere else"),
        (linked_group, "'inputs' is a link to somewhere else"),
    ):
        _forge(path, original, edit)
        _refused(path, match)
        path.unlink()


def test_other_kinds_of_files_are_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "clip.h5"
    with h5py.File(path, "w") as file:
        file["posts/id"] = np.arange(3)
    _refused(path, "not a feature cache")
    for content in (b"", b"c", b"crisis-cache", b"hello" * 3000, b"\x80\x04\x95" * 2000):
        path.write_bytes(content)
        _refused(path, r"is empty|cut short|not a feature cache")
    path.unlink()
    for make, match in ((path.mkdir, "not a file"), (lambda: os.mkfifo(path), "not a file")):
        make()
        _refused(path, match)
        path.rmdir() if path.is_dir() else path.unlink()
    path.symlink_to(secret)
    _refused(path, "not a file")


def _with_json(original: bytes, change: Callable[[dict], object]) -> bytes:
    """The file with another JSON in its header and a check that fits."""
    fields = headers._FIELDS
    magic, _, version, size, length, digest, text_length = fields.unpack_from(original)
    plain = json.loads(original[fields.size : fields.size + text_length])
    text = json.dumps(change(plain)).encode()[: size - fields.size]
    raw = bytearray(original)
    raw[:size] = (fields.pack(magic, 0, version, size, length, digest, len(text)) + text).ljust(size, b"\0")
    raw[16:24] = headers.xxhash.xxh3_64_intdigest(bytes(raw[24:size])).to_bytes(8, "little")
    return bytes(raw)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just(1 << 62),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(data=st.data(), junk=JUNK)
def test_nonsense_in_the_header_is_refused(original: bytes, data, junk) -> None:
    def change(plain: dict) -> object:
        key = data.draw(st.sampled_from([*sorted(plain), "all"]))
        if key == "all":
            return junk
        inner = plain[key]
        if isinstance(inner, dict | list) and data.draw(st.booleans()):
            place = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else list(range(len(inner)))))
            inner[place] = junk
        else:
            plain[key] = junk
        return plain

    raw = _with_json(original, change)
    if raw == original:
        return
    try:
        header = headers.unpack(raw, len(raw), "file")
    except CacheError:
        return
    # What is let through is of the right types and inside the file: another start, sequence, fingerprint or shape.
    assert all(0 <= header.offsets[name] <= len(raw) - table.nbytes for name, table in header.tables.items())
    assert isinstance(header.fingerprint, str)
    assert min(header.start, header.sequence) >= 0


def test_header_of_a_newer_format_says_so(tmp_path: Path, original: bytes, monkeypatch) -> None:
    path = tmp_path / "clip.h5"
    header = headers.unpack(original, len(original), "original")
    with monkeypatch.context() as patch:
        patch.setattr(headers, "VERSION", 2)
        path.write_bytes(headers.pack(header) + original[header.size :])
    _refused(path, "format version 2")


_FUZZ = """
import sys
import warnings
import numpy as np
from pathlib import Path
from cache import CacheError, FeatureFile
from cache_support import forge_header
from cache.header import unpack
path = Path(sys.argv[1])
original = path.read_bytes()
header = unpack(original, len(original), "original")
metadata = np.ones(len(original), bool)
metadata[: header.size] = False
for name, table in header.tables.items():
    metadata[header.offsets[name] : header.offsets[name] + table.nbytes] = False
places = np.flatnonzero(metadata & (np.frombuffer(original, "u1") != 0))
rng = np.random.default_rng(int(sys.argv[2]))
refused = 0
for _ in range(int(sys.argv[3])):
    raw = bytearray(original)
    for place in rng.choice(places, rng.integers(1, 4)):
        raw[place] = rng.choice([rng.integers(256), raw[place] ^ 1 << rng.integers(8), 255])
    path.write_bytes(forge_header(raw))
    try:
        FeatureFile.open(path).close()
    except CacheError:
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=pytest.mark.slow)])
def test_scrambled_hdf5_metadata_never_kills_the_reader(tmp_path: Path, original: bytes, count: int) -> None:
    """With a digest that fits, so that the HDF5 library does get to see it; in a process of its own."""
    path = tmp_path / "clip.h5"
    path.write_bytes(original)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{Path(__file__).parent}"}
    command = [sys.executable, "-c", _FUZZ, str(path), "1", str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > count // 3


def test_pickle_is_neither_read_nor_written() -> None:
    for source in (Path(__file__).parents[2] / "cache").glob("*.py"):
        assert "pickle" not in source.read_text(), source


def test_unusual_rows_cannot_be_committed(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "clip.h5", **settings()) as writer:
        for spoil, match in (
            (lambda rows: rows.ids.__setitem__(1, "a\0b"), "NUL"),
            (lambda rows: rows.ids.__setitem__(1, "\ud800"), "proper text"),
            (lambda rows: rows.ids.__setitem__(1, ""), "empty post id"),
            (lambda rows: rows.ids.__setitem__(1, rows.ids[0]), "same id twice"),
            (lambda rows: rows.ids.__setitem__(1, "x" * 2000), "2000 bytes"),
            (lambda rows: rows.groups.pop(), "group ids"),
            (lambda rows: rows.captions["llava"].pop(), "captions"),
            (lambda rows: rows.captions["llava"].__setitem__(0, "\ud800"), "proper text"),
            (lambda rows: rows.views.pop("image/pooled"), "views"),
            (lambda rows: rows.views.update({"image/pooled": np.zeros((3, 6), "f4")}), "float32"),
            (lambda rows: rows.views.update({"image/pooled": np.zeros((3, 7), "f2")}), r"\(3, 7\)"),
            (lambda rows: rows.views.update({"image/pooled": [0] * 3}), "list"),
            (lambda rows: rows.status.update({"image": np.full(3, 99, np.uint8)}), "unknown status 99"),
            (lambda rows: rows.hashes.update({"image": np.zeros((3, 8), np.uint8)}), "hash of image"),
            (lambda rows: rows.stamps.pop("text"), "stamp"),
        ):
            rows = make_rows(0, 3)
            spoil(rows)
            with pytest.raises(CacheError, match=match):
                writer.commit(0, rows)
        assert writer.committed is None


ODD = {
    "fifo": lambda place, hangs: os.mkfifo(place),
    "link to a fifo": lambda place, hangs: place.symlink_to(hangs),
    "socket": lambda place, hangs: _socket(place),
    "link to a device": lambda place, hangs: place.symlink_to("/dev/zero"),
    "link loop": lambda place, hangs: place.symlink_to(place.name),
    "folder": lambda place, hangs: place.mkdir(),
}


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        before = os.getcwd()
        os.chdir(place.parent)  # the address of a socket is short
        try:
            one.bind(place.name)
        finally:
            os.chdir(before)


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["clip.h5", "clip.h5.parts", "part", "clip.h5.lock", "clip.h5.owner", "clip.h5.tmp"])
def test_nothing_waits_for_what_is_not_a_file(
    tmp_path: Path, secret: Path, original: bytes, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    path = tmp_path / "set" / "clip.h5"
    path.parent.mkdir()
    place = path.with_name(name)
    if name == "part":
        place = path.with_name("clip.h5.parts") / "000001-0000000000-0000000012.h5"
        place.parent.mkdir()
    elif name != "clip.h5":
        path.write_bytes(original)
    if name == "clip.h5.owner":
        monkeypatch.setattr(fcntl, "flock", _no_flock)
    ODD[kind](place, secret)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for job in (
            FeatureFile.open,
            lambda path: FeatureWriter(path, **settings()).close(),
            cache.verify,
            cache.describe,
            cache.salvage,
            lambda path: cache.merge([path], path.with_name("merged.h5")),
            lambda path: cache.list_files(path.parent),
            cache.drop,
        ):
            with contextlib.suppress(CacheError):
                job(path)
    assert secret.exists()


def _no_flock(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
