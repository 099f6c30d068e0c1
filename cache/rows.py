"""One batch of rows on its way into a cache file, and the checks it must pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from cache.errors import CacheError
from cache.schema import GROUP_STEP, ID_STEP, Schema, text_width


class Status(IntEnum):
    """Why a row has its vector, or has none."""

    OK = 0
    IMAGE_MISSING = 1
    IMAGE_UNDECODABLE = 2
    IMAGE_TOO_LARGE = 3
    EMPTY_TEXT = 4
    NON_FINITE = 5
    IMAGE_OUTSIDE = 6
    BLANK = 7
    NO_REGIONS = 8

    @property
    def reason(self) -> str:
        """The reason in words, such as ``"image missing"``."""
        return _REASONS[self]

    @classmethod
    def from_reason(cls, reason: str) -> Status:
        """The status with this reason. Raises CacheError for an unknown one."""
        for status, words in _REASONS.items():
            if words == reason:
                return status
        raise CacheError(f"{reason!r} is no status of a row; the cache knows {', '.join(_REASONS.values())}.")


_REASONS = {
    Status.OK: "ok",
    Status.IMAGE_MISSING: "image missing",
    Status.IMAGE_UNDECODABLE: "image undecodable",
    Status.IMAGE_TOO_LARGE: "image too large",
    Status.EMPTY_TEXT: "empty text",
    Status.NON_FINITE: "non-finite vector",
    Status.IMAGE_OUTSIDE: "image outside folder",
    Status.BLANK: "replaced by a blank image",
    Status.NO_REGIONS: "no region features",
}


@dataclass
class Rows:
    """``n`` consecutive rows.

    ids, groups: ``n`` strings (UTF-8, no NUL; ids not empty and distinct).
    views: view name -> array [n, *shape] of exactly the declared dtype.
    status: modality -> uint8 [n], codes of ``Status``.
    hashes: modality -> uint8 [n, 16], hash of each row's input.
    stamps: modality -> uint64 [n], a cheap stamp that changes with the input's file; 0 = none.
    captions: caption name -> ``n`` strings.
    """

    ids: list[str]
    groups: list[str]
    views: dict[str, np.ndarray]
    status: dict[str, np.ndarray]
    hashes: dict[str, np.ndarray]
    stamps: dict[str, np.ndarray]
    captions: dict[str, list[str]] = field(default_factory=dict)


def encode_texts(texts: Sequence[str], what: str, step: int) -> np.ndarray:
    """Strings as a fixed-length UTF-8 array, dtype ``S<width>``, width a multiple of ``step``.

    Raises CacheError for a string that such an array cannot give back (NUL, lone surrogate, too long, not a str).
    """
    try:
        encoded = [text.encode() for text in texts]
    except (AttributeError, UnicodeEncodeError) as error:
        raise CacheError(f"A {what} is not a proper text ({error}); mend the post list.") from error
    if any(b"\0" in text for text in encoded):
        raise CacheError(f"A {what} holds a NUL character, which the cache cannot keep; mend the post list.")
    width = text_width(max(map(len, encoded), default=0), step)
    return np.array(encoded, dtype=f"S{width}")


def overall_status(status: dict[str, np.ndarray]) -> np.ndarray:
    """The first status that is not ok over the sorted modalities, uint8 [n]."""
    names = sorted(status)
    overall = status[names[0]].copy()
    for name in names[1:]:
        np.copyto(overall, status[name], where=overall == Status.OK)
    return overall


def tables_of(rows: Rows, schema: Schema) -> dict[str, np.ndarray]:
    """Turn a batch into the file's tables (without checksums), keyed by path.

    Raises CacheError when names, lengths, dtypes or shapes are not those of the schema: nothing is cast silently.
    """
    n = len(rows.ids)
    if n == 0:
        raise CacheError("There are no rows to commit.")
    ids = encode_texts(rows.ids, "post id", ID_STEP)
    if len(set(rows.ids)) != n or (ids == b"").any():
        raise CacheError("A batch holds an empty post id or the same id twice; each post needs its own.")
    if len(rows.groups) != n:
        raise CacheError(f"A batch of {n} posts came with {len(rows.groups)} group ids; give one per post.")
    _same_names("status", rows.status, schema.modalities)
    tables = {"posts/id": ids, "posts/group": encode_texts(rows.groups, "group id", GROUP_STEP)}
    for name in schema.modalities:
        _fits(f"status of {name}", rows.status[name], "uint8", (n,))
        if rows.status[name].max() > max(Status):
            raise CacheError(f"A batch holds the unknown status {rows.status[name].max()} for {name}.")
    tables["status"] = overall_status(rows.status)
    for kind, given, dtype, shape in (
        ("status", rows.status, "uint8", (n,)),
        ("hash", rows.hashes, "uint8", (n, 16)),
        ("stamp", rows.stamps, "uint64", (n,)),
    ):
        _same_names(kind, given, schema.modalities)
        for name in schema.modalities:
            _fits(f"{kind} of {name}", given[name], dtype, shape)
            tables[f"inputs/{name}/{kind}"] = given[name]
    _same_names("captions", rows.captions, schema.captions)
    for name in schema.captions:
        offsets, blob = pack_captions(rows.captions[name], name, n)
        tables[f"captions/{name}/offsets"], tables[f"captions/{name}/blob"] = offsets, blob
    _same_names("views", rows.views, schema.views)
    for name, spec in schema.views.items():
        _fits(f"view {name}", rows.views[name], spec.dtype, (n, *spec.shape))
        tables[f"views/{name}"] = rows.views[name]
    return tables


def pack_captions(texts: Sequence[str], name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Captions as offsets uint64 [n + 1] into a blob of UTF-8 bytes, uint8 [total]; a NUL ends each caption."""
    if len(texts) != n:
        raise CacheError(f"A batch of {n} posts came with {len(texts)} captions {name!r}; give one per post.")
    try:
        encoded = [text.encode() + b"\0" for text in texts]
    except (AttributeError, UnicodeEncodeError) as error:
        raise CacheError(f"A caption {name!r} is not a proper text ({error}).") from error
    offsets = np.zeros(n + 1, np.uint64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(encoded), np.uint8)


def _same_names(what: str, given: Collection[str], wanted: Collection[str]) -> None:
    if set(given) != set(wanted):
        raise CacheError(f"A batch came with {what} for {sorted(given)}, but the cache holds {sorted(wanted)}.")


def _fits(what: str, array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        found = f"{array.dtype}{array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise CacheError(f"The {what} is {found}, but the cache holds {dtype}{shape}.")
