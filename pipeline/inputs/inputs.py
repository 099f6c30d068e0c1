"""The inputs of encoders: which post has which text and photo, what state each is in, and whether it changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import xxhash

from cache import Status
from features.images import BadImage, DecodeSize, decode
from features.regions.region import NAMES
from features.text import Text, joined
from pipeline.datasets.posts import Posts
from pipeline.inputs.texts import TextSource

NO_HASH = bytes(16)

MAX_BYTES = 256 << 20
"""Larger files are refused as photos before they are read."""


@dataclass(frozen=True)
class Input:
    """One post's input as found: `status` OK or why it cannot be used, and the xxh3-128 of its bytes."""

    status: Status
    hash: bytes = NO_HASH


class Inputs(Protocol):
    """One modality of a dataset. `post` is a row number of the posts."""

    modality: str

    def key(self, post: int) -> str:
        """Equal keys mean the same input, without looking at it."""

    def stamp(self, post: int) -> int:
        """A cheap mark that changes when the input does (64 bits; 0: there is none)."""

    def examine(self, post: int) -> Input:
        """Look at the input's bytes, without decoding them."""

    def load(self, post: int, digest: bytes, least: DecodeSize | None = None) -> Any:
        """What the encoder takes: a cleaned text, or a decoded photo (also for a pair; `least`: see `decode`).

        Raises `BadImage`, also when the input is no longer the one that `examine` saw (`digest`).
        """


class TextInputs:
    """The texts of `source`. Only what the author wrote is cleaned, and before anything is put behind it."""

    modality = "text"

    def __init__(self, source: TextSource, clean: Callable[[str], str]) -> None:
        self._source = source
        self._clean = clean

    def key(self, post: int) -> str:
        tweet, companion = self._source.tweets, self._source.companions
        return "\0".join(column[post] for column in (tweet, companion) if column is not None)

    def stamp(self, post: int) -> int:
        return xxhash.xxh3_64_intdigest(self.key(post).encode())

    def examine(self, post: int) -> Input:
        status = self._source.status_of(post)
        if status == Status.OK and not joined(self.load(post)).strip():
            status = Status.EMPTY_TEXT
        return Input(status, xxhash.xxh3_128_digest(self.key(post).encode()))

    def load(self, post: int, digest: bytes = NO_HASH, least: DecodeSize | None = None) -> Text:
        tweets, companions = self._source.tweets, self._source.companions
        if tweets is None:
            assert companions is not None
            return companions[post]
        tweet = self._clean(tweets[post])
        return tweet if companions is None else (tweet, companions[post])


def _opened(file: str) -> BinaryIO:
    """An ordinary file, opened for reading; `OSError` for a pipe, a socket or a device, which could be waited for, or
    read, for ever.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(kind, os.strerror(kind), file)
    return open(descriptor, "rb")


class ImageInputs:
    modality = "image"

    def __init__(self, posts: Posts) -> None:
        self._posts = posts
        self._files: dict[str, str | None] = {}

    def key(self, post: int) -> str:
        return self._posts.images[post]

    def file(self, post: int) -> str | None:
        """The photo's file; None when the post's path leads outside the dataset's folder."""
        image = self._posts.images[post]
        if image not in self._files:
            self._files[image] = self._posts.image_file(image)
        return self._files[image]

    def stamp(self, post: int) -> int:
        file = self.file(post) if self._posts.images[post] else None
        if file is None:
            return 0
        try:
            state = os.stat(file)
        except (OSError, ValueError):
            return 0
        return xxhash.xxh3_64_intdigest(f"{state.st_size}:{state.st_mtime_ns}".encode())

    def examine(self, post: int) -> Input:
        if not self._posts.images[post]:
            return Input(Status.IMAGE_MISSING)
        file = self.file(post)
        if file is None:
            return Input(Status.IMAGE_OUTSIDE)
        try:
            digest = xxhash.xxh3_128()
            with _opened(file) as stream:
                if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                    return Input(Status.IMAGE_TOO_LARGE)
                while block := stream.read(1 << 20):
                    digest.update(block)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
            return Input(Status.IMAGE_MISSING)
        except OSError:
            return Input(Status.IMAGE_UNDECODABLE)
        return Input(Status.OK, digest.digest())

    def load(self, post: int, digest: bytes, least: DecodeSize | None = None) -> Any:
        try:
            with _opened(str(self.file(post))) as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError:
            raise BadImage(Status.IMAGE_UNDECODABLE.reason, passing=True) from None
        if xxhash.xxh3_128_digest(data) != digest:
            raise BadImage(Status.IMAGE_UNDECODABLE.reason, passing=True)
        image = decode(data, least)
        image.info[NAMES] = self._posts.photo_names(self._posts.images[post])
        return image


class PairInputs:
    """The photo of each post together with its text; a pair is as bad as the worse of the two."""

    modality = "joint"

    def __init__(self, images: ImageInputs, texts: TextInputs) -> None:
        self._images = images
        self._texts = texts
        self._photo_of: dict[bytes, bytes] = {}

    def key(self, post: int) -> str:
        return f"{self._images.key(post)}\0{self._texts.key(post)}"

    def stamp(self, post: int) -> int:
        image = self._images.stamp(post)
        return xxhash.xxh3_64_intdigest(f"{image}:{self._texts.stamp(post)}".encode()) if image else 0

    def examine(self, post: int) -> Input:
        image, text = self._images.examine(post), self._texts.examine(post)
        status = image.status if image.status != Status.OK else text.status
        digest = xxhash.xxh3_128_digest(image.hash + text.hash)
        self._photo_of[digest] = image.hash
        return Input(status, digest)

    def load(self, post: int, digest: bytes, least: DecodeSize | None = None) -> Any:
        return self._images.load(post, self._photo_of[digest], least)

    def photo(self, post: int) -> str:
        """Equal for pairs that share a photo."""
        return self._images.key(post)

    def text_status(self, post: int) -> Status:
        """The state of the post's text, whatever its photo's."""
        return self._texts.examine(post).status

    def text(self, post: int) -> Text:
        """The cleaned text that goes with the photo."""
        return self._texts.load(post)


def inputs_of(posts: Posts, modality: str, clean: Callable[[str], str], source: TextSource | None = None) -> Inputs:
    """The inputs of "image", "text" or "joint"; texts are the posts' own unless `source` says otherwise."""
    if modality == "image":
        return ImageInputs(posts)
    texts = TextInputs(source or TextSource("tweet", posts.texts), clean)
    return texts if modality == "text" else PairInputs(ImageInputs(posts), texts)
