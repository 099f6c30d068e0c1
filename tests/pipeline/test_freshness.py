"""Whether an input is still the one that a row was made from."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureFile
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Options, extract
from pipeline.inputs.freshness import CHANGED, GONE, SAME, input_states
from pipeline.inputs.hashing import XXH3, Hashing, hashing_of
from pipeline.inputs.inputs import ImageInputs, Input, inputs_of
from tests.pipeline.support import Counting, classic_card, make_posts


def states(posts: Posts, file: Path, modality: str) -> list[int]:
    rows = np.arange(len(posts))
    with FeatureFile.open(file) as opened:
        inputs = inputs_of(posts, modality, str, hashing=hashing_of(opened))
        return input_states(inputs, opened, rows, rows).tolist()


@pytest.fixture
def posts(tmp_path: Path) -> Posts:
    posts = make_posts(tmp_path / "data", count=4, photos=4)
    return replace(posts, images=[f"images/{photo}.png" for photo in range(4)], texts=["a", "b", "c", "d"])


def test_a_photo_is_the_same_changed_or_gone(posts: Posts, tmp_path: Path) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    assert states(posts, file, "image") == [SAME] * 4
    photo = [posts.root / image for image in posts.images]
    os.utime(photo[0], (1, 1))
    photo[1].write_bytes(photo[2].read_bytes())
    photo[3].unlink()
    assert states(posts, file, "image") == [SAME, CHANGED, SAME, GONE]


def test_a_text_is_the_same_or_changed(posts: Posts, tmp_path: Path) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    assert states(replace(posts, texts=["a", "B", "", "d"]), file, "text") == [SAME, CHANGED, CHANGED, SAME]


def swapped(photo: Path, other: bytes) -> None:
    """Put another photo in the place of `photo`, of the same size and time, as an archive of fixed times does."""
    was = photo.stat()
    photo.rename(photo.with_suffix(".old"))
    photo.write_bytes(other.ljust(was.st_size, b"\0")[: was.st_size])
    os.utime(photo, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (photo.stat().st_size, photo.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)


def test_another_photo_of_the_same_size_and_time_is_noticed(posts: Posts, tmp_path: Path) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    first = posts.root / posts.images[0]
    swapped(first, (posts.root / posts.images[1]).read_bytes())
    assert states(posts, file, "image") == [CHANGED, SAME, SAME, SAME]
    first.unlink()
    first.with_suffix(".old").rename(first)
    assert states(posts, file, "image") == [SAME] * 4


def test_what_was_copied_is_read_once_and_then_known(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    copied = replace(posts, root=tmp_path / "copy")
    shutil.copytree(posts.root, copied.root)
    read: list[int] = []
    examine = ImageInputs.examine

    def counted(self: ImageInputs, post: int) -> Input:
        read.append(post)
        return examine(self, post)

    monkeypatch.setattr(ImageInputs, "examine", counted)
    assert states(copied, file, "image") == [SAME] * 4
    assert read == [0, 1, 2, 3]
    assert states(copied, file, "image") == [SAME] * 4
    assert read == [0, 1, 2, 3], "what was found the same is not read again"
    assert states(posts, file, "image") == [SAME] * 4, "nor are the originals forgotten"
    assert read == [0, 1, 2, 3]
    (copied.root / copied.images[2]).write_bytes(b"another")
    assert states(copied, file, "image") == [SAME, SAME, CHANGED, SAME]
    extract(copied, classic_card(), Counting(), tmp_path / "cache", Options(), "test")
    (copied.root / copied.images[2]).write_bytes((posts.root / posts.images[2]).read_bytes())
    assert states(copied, file, "image")[2] == CHANGED, "an old stamp does not speak for a row that was made anew"


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\0" * 1000, b"\xff" * 96])
def test_a_broken_file_of_stamps_is_as_none(posts: Posts, tmp_path: Path, content: bytes) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    os.utime(posts.root / posts.images[0], (1, 1))
    assert states(posts, file, "image") == [SAME] * 4
    (stamps,) = file.parent.glob(".*.image.stamps")
    stamps.write_bytes(content)
    (posts.root / posts.images[1]).write_bytes(b"another")
    assert states(posts, file, "image") == [SAME, CHANGED, SAME, SAME]


def test_recheck_reads_every_input(posts: Posts, tmp_path: Path) -> None:
    first = Counting()
    extract(posts, classic_card(), first, tmp_path / "cache", Options(), "test")
    photo = posts.root / posts.images[0]
    was = photo.stat()
    other = bytearray(photo.read_bytes())
    other[-1] ^= 1
    with photo.open("r+b") as stream:  # in place, as on a file system that keeps neither inode nor change time
        stream.write(other)
    os.utime(photo, ns=(was.st_atime_ns, was.st_mtime_ns))
    stat = os.stat
    told = os.stat_result((*was[:10],), {"st_ctime_ns": was.st_ctime_ns, "st_mtime_ns": was.st_mtime_ns})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", lambda path, **how: told if str(path) == str(photo) else stat(path, **how))
        found = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test")
        assert found.reused == 4
        found = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(recheck="content"), "test")
        assert found.reused == 3


def test_files_of_earlier_versions_keep_their_digests_and_lose_nothing(posts: Posts, tmp_path: Path) -> None:
    """The first file is made as versions before this did: by xxh3, with other stamps, and without saying so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.extraction.extract.hashing_at", lambda path: XXH3)
        patch.setattr("pipeline.extraction.extract.KEY", "not known then")
        patch.setattr(Hashing, "stamp", lambda self, data: 7)
        file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    with FeatureFile.open(file) as opened:
        assert hashing_of(opened) is XXH3
        before = opened.read("image/statistics")
    for modality in ("image", "text"):
        assert states(posts, file, modality) == [SAME] * 4
    (posts.root / posts.images[3]).write_bytes(b"another")
    assert states(posts, file, "image") == [SAME, SAME, SAME, CHANGED]
    more = replace(posts.take([0, 1, 2, 3, 0]), ids=[*posts.ids, "new"], texts=[*posts.texts, "e"])
    more = replace(more, images=[*posts.images[:3], "", posts.images[0]])
    encoder = Counting()
    extract(more, classic_card(), encoder, tmp_path / "cache", Options(), "test")
    assert (encoder.images, encoder.texts) == (0, 1), "an equal photo is known by the file's own digest"
    with FeatureFile.open(file) as opened:
        assert hashing_of(opened) is XXH3
        assert np.array_equal(opened.read("image/statistics")[[0, 1, 2, 4]], before[[0, 1, 2, 0]])


def test_new_files_are_told_apart_by_sha256(posts: Posts, tmp_path: Path) -> None:
    file = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "test").file
    with FeatureFile.open(file) as opened:
        for row, image in enumerate(posts.images):
            expected = hashlib.sha256((posts.root / image).read_bytes()).digest()[:16]
            assert opened.hashes("image")[row].tobytes() == expected
        assert opened.hashes("text")[0].tobytes() == hashlib.sha256(b"a").digest()[:16]
