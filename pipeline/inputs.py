"""The inputs of encoders: which post has which text and photo, what state each is in, and whether it changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import xxhash

from cache import Status
from features.images import BadImage, decode
from pipeline.datasets.posts import Posts

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

    def load(self, post: int, digest: bytes) -> Any:
        """What the encoder takes: a cleaned text, or a decoded photo.

        Raises `BadImage`, also when the input is no longer the one that `examine` saw (`digest`).
        """


class TextInputs:
    modality = "text"

    def __init__(self, posts: Posts, clean: Callable[[str], str]) -> None:
        self._texts = posts.texts
        self._clean = clean

    def key(self, post: int) -> str:
        return self._texts[post]

    def stamp(self, post: int) -> int:
        return xxhash.xxh3_64_intdigest(self._texts[post].encode())

    def examine(self, post: int) -> Input:
        text = self._texts[post]
        digest = xxhash.xxh3_128_digest(text.encode())
        return Input(Status.OK if self._clean(text).strip() else Status.EMPTY_TEXT, digest)

    def load(self, post: int, digest: bytes) -> str:
        return self._clean(self._texts[post])


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
            if os.stat(file).st_size > MAX_BYTES:
                return Input(Status.IMAGE_TOO_LARGE)
            with open(file, "rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
            return Input(Status.IMAGE_MISSING)
        except OSError:
            return Input(Status.IMAGE_UNDECODABLE)
        return Input(Status.OK, digest.digest())

    def load(self, post: int, digest: bytes) -> Any:
        try:
            data = Path(str(self.file(post))).read_bytes()
        except OSError:
            raise BadImage(Status.IMAGE_UNDECODABLE.reason, passing=True) from None
        if xxhash.xxh3_128_digest(data) != digest:
            raise BadImage(Status.IMAGE_UNDECODABLE.reason, passing=True)
        return decode(data)


def inputs_of(posts: Posts, modality: str, clean: Callable[[str], str]) -> Inputs:
    """The inputs of "image" or "text"."""
    return ImageInputs(posts) if modality == "image" else TextInputs(posts, clean)
