"""The inputs of encoders: which post has which text and photo, what state each is in, and whether it changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cache import Status
from features.images import BadImage, DecodeSize, decode
from features.regions.region import NAMES
from features.text import Text, joined
from pipeline.datasets.posts import Posts
from pipeline.inputs.hashing import NO_HASH, SHA256, Hashing
from pipeline.inputs.opened import opened
from pipeline.inputs.texts import TextSource

MAX_BYTES = 256 << 20
"""Larger files are refused as photos before they are read."""


@dataclass(frozen=True)
class Input:
    """One post's input as found: `status` OK or why it cannot be used, and the digest of its bytes."""

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

    def __init__(self, source: TextSource, clean: Callable[[str], str], hashing: Hashing = SHA256) -> None:
        self._source = source
        self._clean = clean
        self._hashing = hashing

    def key(self, post: int) -> str:
        tweet, companion = self._source.tweets, self._source.companions
        return "\0".join(column[post] for column in (tweet, companion) if column is not None)

    def stamp(self, post: int) -> int:
        return SHA256.stamp(self.key(post).encode())

    def examine(self, post: int) -> Input:
        status = self._source.status_of(post)
        if status == Status.OK and not joined(self.load(post)).strip():
            status = Status.EMPTY_TEXT
        return Input(status, self._hashing.digest(self.key(post).encode()))

    def load(self, post: int, digest: bytes = NO_HASH, least: DecodeSize | None = None) -> Text:
        tweets, companions = self._source.tweets, self._source.companions
        if tweets is None:
            assert companions is not None
            return companions[post]
        tweet = self._clean(tweets[post])
        return tweet if companions is None else (tweet, companions[post])


class ImageInputs:
    modality = "image"

    def __init__(self, posts: Posts, hashing: Hashing = SHA256) -> None:
        self._posts = posts
        self._hashing = hashing
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
        # a copy may have the size and the time of what it replaces; its inode, or the time of its change, it cannot
        told = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        return SHA256.stamp(":".join(map(str, told)).encode())

    def examine(self, post: int) -> Input:
        if not self._posts.images[post]:
            return Input(Status.IMAGE_MISSING)
        file = self.file(post)
        if file is None:
            return Input(Status.IMAGE_OUTSIDE)
        try:
            digest = self._hashing.new()
            with opened(file) as stream:
                if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                    return Input(Status.IMAGE_TOO_LARGE)
                while block := stream.read(1 << 20):
                    digest.update(block)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
            return Input(Status.IMAGE_MISSING)
        except OSError:
            return Input(Status.IMAGE_UNDECODABLE)
        return Input(Status.OK, self._hashing.finish(digest))

    def load(self, post: int, digest: bytes, least: DecodeSize | None = None) -> Any:
        try:
            with opened(str(self.file(post))) as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError:
            raise BadImage(Status.IMAGE_UNDECODABLE.reason, passing=True) from None
        if self._hashing.digest(data) != digest:
            raise BadImage(Status.IMAGE_UNDECODABLE.reason, passing=True)
        image = decode(data, least)
        image.info[NAMES] = self._posts.photo_names(self._posts.images[post])
        return image


class PairInputs:
    """The photo of each post together with its text; a pair is as bad as the worse of the two."""

    modality = "joint"

    def __init__(self, images: ImageInputs, texts: TextInputs, hashing: Hashing = SHA256) -> None:
        self._images = images
        self._texts = texts
        self._hashing = hashing
        self._photo_of: dict[bytes, bytes] = {}

    def key(self, post: int) -> str:
        return f"{self._images.key(post)}\0{self._texts.key(post)}"

    def stamp(self, post: int) -> int:
        image = self._images.stamp(post)
        return SHA256.stamp(f"{image}:{self._texts.stamp(post)}".encode()) if image else 0

    def examine(self, post: int) -> Input:
        image, text = self._images.examine(post), self._texts.examine(post)
        status = image.status if image.status != Status.OK else text.status
        digest = self._hashing.digest(image.hash + text.hash)
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


def inputs_of(
    posts: Posts,
    modality: str,
    clean: Callable[[str], str],
    source: TextSource | None = None,
    hashing: Hashing = SHA256,
) -> Inputs:
    """The inputs of "image", "text" or "joint"; texts are the posts' own unless `source` says otherwise."""
    images = ImageInputs(posts, hashing)
    if modality == "image":
        return images
    texts = TextInputs(source or TextSource("tweet", posts.texts), clean, hashing)
    return texts if modality == "text" else PairInputs(images, texts, hashing)
