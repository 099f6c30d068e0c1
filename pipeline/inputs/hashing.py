"""How inputs are told apart: by a digest that nobody can forge; older cache files keep the one they began with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from cache import CacheError, FeatureFile
from pipeline.errors import DataError

SIZE = 16
"""Bytes of a digest."""
NO_HASH = bytes(SIZE)
KEY = "hashing"
"""Where a file's provenance names its way of hashing."""


@dataclass(frozen=True)
class Hashing:
    """`new` begins a digest as `hashlib` does; `SIZE` bytes of it are kept, 128 bits."""

    name: str
    new: Callable[[], Any]

    def digest(self, data: bytes) -> bytes:
        state = self.new()
        state.update(data)
        return self.finish(state)

    def finish(self, state: Any) -> bytes:
        """The digest of what `state` was given."""
        return bytes(state.digest()[:SIZE])

    def stamp(self, data: bytes) -> int:
        """64 bits; never 0, which stands for no stamp."""
        return int.from_bytes(self.digest(data)[:8], "little") or 1


SHA256 = Hashing("sha256-128", hashlib.sha256)
XXH3 = Hashing("xxh3-128", xxhash.xxh3_128)
"""Fast, but two inputs with one digest can be made at will. Files of earlier versions have it, and keep it."""

_KNOWN = {one.name: one for one in (SHA256, XXH3)}


def hashing_of(file: FeatureFile) -> Hashing:
    """The way of hashing that the rows of a file have. Raises `DataError` for one of a later version."""
    name = file.provenance.get(KEY, XXH3.name)
    if name not in _KNOWN:
        raise DataError(f"{file.path} hashes its inputs by '{name}', which this version does not know; update crisis.")
    return _KNOWN[name]


def is_known(provenance: Mapping[str, Any]) -> bool:
    """Whether the way of hashing that a file names is one of ours."""
    return provenance.get(KEY, XXH3.name) in _KNOWN


def hashing_at(path: Path) -> Hashing:
    """That of the cache file at `path`, finished or not; where there is none that can be read, that of new files."""
    try:
        with FeatureFile.open(path) as file:
            return hashing_of(file)
    except CacheError:
        return SHA256
