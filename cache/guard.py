"""Checks that the HDF5 data of a file is exactly what its header says, before anything trusts it.

A stranger's file can carry a valid digest, so the structure is checked as well: the known groups and datasets and no
others, plain hard links, contiguous storage at the declared place inside this very file, the right types. Nothing is
followed, nothing but one attribute is read, and the HDF5 library sees only the mapped bytes, never a path.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from cache.errors import CacheError
from cache.header import Header
from cache.schema import Table
from cache.seeking import SeekableFile
from cache.skeleton import ATTRIBUTE, LONGEST_TEXT, stored_type

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _MappedFile(SeekableFile):
    """The mapped bytes as a file object that can only be read."""

    def __init__(self, buffer: np.ndarray) -> None:
        super().__init__(len(buffer))
        self._buffer = buffer.data

    def readinto(self, target: WriteableBuffer) -> int:
        wanted = memoryview(target).cast("B")
        found = self._buffer[self.position : self.position + len(wanted)]
        wanted[: len(found)] = found
        wanted[len(found) :] = bytes(len(wanted) - len(found))
        self.position += len(wanted)
        return len(wanted)


def read_provenance(buffer: np.ndarray, header: Header, name: str) -> dict[str, Any]:
    """Check the HDF5 structure in ``buffer`` (uint8 [length]) against the header; return the provenance.

    Raises CacheError with a sentence for anything that differs.
    """
    try:
        with h5py.File(_MappedFile(buffer), "r") as file:
            if file.userblock_size != header.size:
                raise CacheError("its HDF5 data does not begin behind the header")
            _check_group(file.id, "", header.tables, header)
            return _read_json(file.id)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise CacheError(f"{name} is refused: its HDF5 structure cannot be read ({error}).") from error
    except CacheError as error:
        raise CacheError(f"{name} is refused: {error}.") from error


def _check_group(group: h5py.h5g.GroupID, prefix: str, tables: dict[str, Table], header: Header) -> None:
    """Walk one level; only the folders and datasets named by ``tables`` may be there."""
    wanted = {path[len(prefix) :].split("/")[0] for path in tables if path.startswith(prefix)}
    present = {group.get_objname_by_idx(index) for index in range(group.get_num_objs())}
    if present != {name.encode() for name in wanted}:
        raise CacheError(f"the group '/{prefix}' does not hold exactly the tables of a cache")
    for name in sorted(wanted):
        path, key = prefix + name, name.encode()
        if group.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise CacheError(f"'{path}' is a link to somewhere else")
        found = h5py.h5o.open(group, key)
        if path in tables and isinstance(found, h5py.h5d.DatasetID):
            _check_dataset(found, path, tables[path], header)
        elif path not in tables and isinstance(found, h5py.h5g.GroupID):
            _check_group(found, path + "/", tables, header)
        else:
            raise CacheError(f"'{path}' is not the kind of object it should be")


def _check_dataset(dataset: h5py.h5d.DatasetID, path: str, table: Table, header: Header) -> None:
    settings = dataset.get_create_plist()
    if settings.get_layout() != h5py.h5d.CONTIGUOUS or settings.get_nfilters():
        raise CacheError(f"'{path}' is not stored as one plain block")
    if settings.get_external_count():
        raise CacheError(f"'{path}' keeps its data in another file")
    space = dataset.get_space()
    if space.get_simple_extent_dims() != table.shape or space.get_simple_extent_dims(maxdims=True) != table.shape:
        raise CacheError(f"'{path}' declares another shape than {table.shape}")
    if not dataset.get_type().equal(h5py.h5t.py_create(stored_type(path, table), logical=True)):
        raise CacheError(f"'{path}' has another type than {table.dtype}")
    if table.nbytes and dataset.get_offset() != header.offsets[path]:
        raise CacheError(f"'{path}' does not lie where the header says")


def _read_json(root: h5py.h5g.GroupID) -> dict[str, Any]:
    if h5py.h5a.get_num_attrs(root) != 1 or not h5py.h5a.exists(root, ATTRIBUTE.encode()):
        raise CacheError(f"it does not carry exactly one attribute, '{ATTRIBUTE}'")
    attribute = h5py.h5a.open(root, ATTRIBUTE.encode())
    kind = attribute.get_type()
    fixed = isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str()
    if not fixed or attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        raise CacheError("its provenance is not a plain text")
    if kind.get_size() > LONGEST_TEXT:
        raise CacheError("its provenance is too long")
    text = np.empty((), dtype=h5py.string_dtype("utf-8", kind.get_size()))
    attribute.read(text)
    provenance = json.loads(text.item())
    if not isinstance(provenance, dict):
        raise CacheError("its provenance is not a JSON object")
    return provenance
