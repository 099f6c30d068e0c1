"""What a cache file holds: its views, modalities and captions, and the tables that follow from them.

The shape of every table follows from the schema and a handful of sizes, so a file cannot declare a shape of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.errors import CacheError

BULK_BLOCK = 1 << 20
TABLE_BLOCK = 1 << 16
DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_PIECE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
_MAX_TEXT_WIDTH = 1024


@dataclass(frozen=True)
class ViewSpec:
    """Shape of one row of a view, ``(D,)`` or ``(T, D)``, and the name of its numpy dtype."""

    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.dtype not in DTYPES:
            raise CacheError(f"A view cannot be stored as {self.dtype!r}; use one of {', '.join(DTYPES)}.")
        plain = all(type(size) is int and 0 < size < 1 << 31 for size in self.shape)
        if not 1 <= len(self.shape) <= 3 or not plain:
            raise CacheError(f"A view's row cannot have the shape {self.shape!r}; use (D,) or (T, D).")


@dataclass(frozen=True)
class Table:
    """One dataset of the file: little-endian dtype and full shape."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        return self.row_bytes * self.shape[0]


@dataclass(frozen=True)
class Sizes:
    """The numbers that, with the schema, decide every table's shape. Widths are bytes per string."""

    rows: int
    id_width: int
    group_width: int
    caption_bytes: dict[str, int]


@dataclass(frozen=True)
class Schema:
    """The views, modalities and captions of a cache file, all in sorted order."""

    views: dict[str, ViewSpec]
    modalities: tuple[str, ...]
    captions: tuple[str, ...]

    @classmethod
    def of(cls, views: Mapping[str, ViewSpec], modalities: Sequence[str], captions: Sequence[str] = ()) -> Schema:
        """Check the names and sort them. Raises CacheError for a name the file could not hold."""
        for name in (*modalities, *captions):
            if not isinstance(name, str) or not _PIECE.fullmatch(name):
                raise CacheError(f"{name!r} cannot name a modality or a caption; use letters, digits, '_', '-', '.'.")
        for name in views:
            pieces = name.split("/") if isinstance(name, str) else []
            if len(pieces) != 2 or not all(_PIECE.fullmatch(piece) for piece in pieces):
                raise CacheError(f"{name!r} cannot name a view; use '<modality>/<name>', such as 'image/pooled'.")
        if not views and not captions:
            raise CacheError("A cache needs at least one view or one caption.")
        if not modalities or len(set(modalities)) != len(modalities) or len(set(captions)) != len(captions):
            raise CacheError("A cache needs at least one modality, and no name twice.")
        return cls({name: views[name] for name in sorted(views)}, tuple(sorted(modalities)), tuple(sorted(captions)))

    def tables(self, sizes: Sizes) -> dict[str, Table]:
        """Every dataset of a file with these sizes, in the order in which they are laid out."""
        rows = sizes.rows
        tables = {
            "posts/id": Table(np.dtype(f"S{sizes.id_width}"), (rows,)),
            "posts/group": Table(np.dtype(f"S{sizes.group_width}"), (rows,)),
            "status": Table(np.dtype("u1"), (rows,)),
        }
        for name in self.modalities:
            tables[f"inputs/{name}/status"] = Table(np.dtype("u1"), (rows,))
            tables[f"inputs/{name}/hash"] = Table(np.dtype("u1"), (rows, 16))
            tables[f"inputs/{name}/stamp"] = Table(np.dtype("<u8"), (rows,))
        for name in self.captions:
            tables[f"captions/{name}/offsets"] = Table(np.dtype("<u8"), (rows + 1,))
            tables[f"captions/{name}/blob"] = Table(np.dtype("u1"), (sizes.caption_bytes[name],))
        for name, spec in self.views.items():
            tables[f"views/{name}"] = Table(np.dtype(spec.dtype).newbyteorder("<"), (rows, *spec.shape))
        sums = {f"checksums/{path}": Table(np.dtype("<u8"), (block_count(path, t),)) for path, t in tables.items()}
        return {**tables, **sums}

    def as_json(self) -> dict[str, object]:
        """The schema as plain lists and strings."""
        views = {name: [spec.dtype, *spec.shape] for name, spec in self.views.items()}
        return {"views": views, "modalities": list(self.modalities), "captions": list(self.captions)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Schema:
        """Read back what ``as_json`` made. Raises CacheError, KeyError, TypeError or ValueError for anything else."""
        views = {str(name): ViewSpec(tuple(spec[1:]), spec[0]) for name, spec in plain["views"].items()}
        return cls.of(views, list(plain["modalities"]), list(plain["captions"]))


def is_bulk(path: str) -> bool:
    """Whether a table is too large for the digest of the rest and is held by its block checksums alone."""
    return path.startswith("views/") or (path.startswith("captions/") and path.endswith("/blob"))


def block_rows(path: str, table: Table) -> int:
    """Rows (bytes for a caption blob) under one checksum: about 1 MiB of a view, 64 KiB of a small table."""
    return max(1, (BULK_BLOCK if is_bulk(path) else TABLE_BLOCK) // table.row_bytes)


def block_count(path: str, table: Table) -> int:
    """Number of checksums of a table."""
    return -(-table.shape[0] // block_rows(path, table))


ID_STEP, GROUP_STEP = 8, 1
"""Widths of ids are multiples of 8 bytes, so that they hash as words; groups are not looked up."""


def text_width(longest: int, step: int) -> int:
    """Stored width in bytes of strings of up to ``longest`` bytes: a multiple of ``step``, at least one."""
    if longest > _MAX_TEXT_WIDTH:
        raise CacheError(f"A post id or group is {longest} bytes long; the cache holds up to {_MAX_TEXT_WIDTH}.")
    return max(step, -(-longest // step) * step)
