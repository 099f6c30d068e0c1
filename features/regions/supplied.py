"""Regions that were computed elsewhere: a folder of arrays, an HDF5 file, or the published extractors' TSV."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import FeatureError
from features.images import BadImage
from features.regions.region import NAMES, NO_REGIONS, Found
from features.weights import file_digest, folder_digest

_FEATURES = ("features", "feat", "x")
_BOXES = ("boxes", "bbox")
_WIDTH, _HEIGHT = ("image_w", "image_width"), ("image_h", "image_height")
# what the bottom-up-attention extractor and the LXMERT extractor write, without a header
_TSV = {
    6: ("id", "w", "h", "num_boxes", "boxes", "features"),
    10: ("id", "h", "w", "objects", "objects_conf", "attrs", "attrs_conf", "num_boxes", "boxes", "features"),
}

Arrays = tuple[np.ndarray, np.ndarray | None, tuple[float, float] | None]
"""Features [r, F], boxes [r, 4] in the file's own unit, and the photo's width and height where the file says them."""


@dataclass(frozen=True)
class _Entry:
    """One photo in a file: where to read it, and what is known of it beforehand."""

    at: Any
    rows: int
    width: int
    boxed: bool


class SuppliedRegions:
    """Regions from files, keyed by a photo's path in the dataset without its extension, or by its file name alone.

    A folder of `KEY.npz` (`features`, and `boxes` where the model needs them) or `KEY.npy` (features alone); an HDF5
    file with `KEY/features` and `KEY/boxes`, or features alone as `KEY`; a TSV of the bottom-up-attention or the LXMERT
    extractor. Boxes are pixels, unless none exceeds 1. Nothing is unpickled. A digest of all content is the identity.
    """

    def __init__(self, where: Path) -> None:
        self._where = where
        self._read: Callable[[Any], Arrays]
        suffix = where.suffix.lower() if where.is_file() else ""
        try:
            if where.is_dir():
                index, self._read, digest = _folder(where), self._from_folder, folder_digest(where)
            elif suffix in (".h5", ".hdf5"):
                index, self._read, digest = _hdf5(where), self._from_hdf5, file_digest(where)
            elif suffix == ".tsv":
                index, self._read, digest = _tsv(where), self._from_tsv, file_digest(where)
            else:
                raise FeatureError(
                    f"'{where}' is not a folder, .h5 or .tsv file with region features (--set regions=)."
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise FeatureError(f"'{where}' could not be read as region features ({error}) (--set regions=).") from error
        widths = sorted({entry.width for entry in index.values()})
        if len(widths) != 1:
            how = f"differ in width: {', '.join(map(str, widths))}" if widths else "are none"
            raise FeatureError(f"The region features in '{where}' {how} (--set regions=).")
        self._index = index
        self.width = widths[0]
        self.count = max(entry.rows for entry in index.values())
        self.boxed = all(entry.boxed for entry in index.values())
        self.identity: Mapping[str, Any] = {"supplied": digest}

    def find(self, image: Any) -> Found:
        entry = next((self._index[name] for name in image.info.get(NAMES, ()) if name in self._index), None)
        if entry is None or not entry.rows:
            raise BadImage(NO_REGIONS)
        features, boxes, size = self._read(entry.at)
        return Found(np.asarray(features, np.float32), None if boxes is None else _relative(boxes, size or image.size))

    def _from_folder(self, path: Path) -> Arrays:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False), None, None
        with np.load(path, allow_pickle=False) as file:
            boxes, width, height = (_named(file.files, names) for names in (_BOXES, _WIDTH, _HEIGHT))
            size = (float(file[width]), float(file[height])) if width and height else None
            return file[_feature_name(file.files, path)], file[boxes] if boxes else None, size

    def _from_hdf5(self, key: str) -> Arrays:
        import h5py

        with h5py.File(self._where, "r") as file:
            found = file[key]
            if isinstance(found, h5py.Dataset):
                return found[()], None, None
            boxes = _named(found, _BOXES)
            return found[_feature_name(found, key)][()], found[boxes][()] if boxes else None, None

    def _from_tsv(self, offset: int) -> Arrays:
        with self._where.open("rb") as stream:
            stream.seek(offset)
            row = _tsv_row(stream.readline())
        features, boxes = _decoded(row, "features"), _decoded(row, "boxes")
        return features, boxes, (float(row["w"]), float(row["h"]))


def _relative(boxes: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """Boxes in pixels of a photo of `size` (width, height), or from 0 to 1 already, as float32 from 0 to 1."""
    boxes = np.asarray(boxes, np.float64)
    if boxes.max(initial=0.0) > 1.0:
        boxes = boxes / np.array([size[0], size[1], size[0], size[1]])
    return boxes.clip(0.0, 1.0).astype(np.float32)


def _named(have: Iterable[str], names: tuple[str, ...]) -> str | None:
    held = set(have)
    return next((name for name in names if name in held), None)


def _feature_name(have: Iterable[str], where: object) -> str:
    name = _named(have, _FEATURES)
    if name is None:
        raise ValueError(f"{where} has no array named {', '.join(_FEATURES)}")
    return name


def _folder(folder: Path) -> dict[str, _Entry]:
    """Photos by key; of each array only the header is read."""
    index = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".npz", ".npy")):
        if path.suffix == ".npy":
            with path.open("rb") as stream:
                shape, boxed = _shape(stream), False
        else:
            with zipfile.ZipFile(path) as archive:
                have = [name.removesuffix(".npy") for name in archive.namelist()]
                with archive.open(f"{_feature_name(have, path)}.npy") as stream:
                    shape, boxed = _shape(stream), _named(have, _BOXES) is not None
        index[path.relative_to(folder).with_suffix("").as_posix()] = _entry(path, shape, boxed)
    return index


def _shape(stream: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)[0]


def _entry(at: Any, shape: tuple[int, ...], boxed: bool) -> _Entry:
    if len(shape) != 2:
        raise ValueError(f"the features of {at} have the shape {shape} and not [regions, width]")
    return _Entry(at, shape[0], shape[1], boxed)


def _hdf5(path: Path) -> dict[str, _Entry]:
    import h5py

    index: dict[str, _Entry] = {}

    def visit(name: str, found: Any) -> None:
        if isinstance(found, h5py.Group):
            features = _named(found, _FEATURES)
            if features is not None:
                index[name] = _entry(name, found[features].shape, _named(found, _BOXES) is not None)
        elif name.rpartition("/")[0] not in index:
            index[name] = _entry(name, found.shape, False)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return index


def _tsv(path: Path) -> dict[str, _Entry]:
    index = {}
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            row = _tsv_row(line)
            index[row["id"]] = _entry(offset, _decoded(row, "features").shape, True)
            offset += len(line)
    return index


def _tsv_row(line: bytes) -> dict[str, str]:
    fields = line.decode("ascii").rstrip("\r\n").split("\t")
    if len(fields) not in _TSV:
        raise ValueError(f"a row has {len(fields)} fields and not {' or '.join(map(str, _TSV))}")
    return dict(zip(_TSV[len(fields)], fields, strict=True))


def _decoded(row: Mapping[str, str], name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(row[name]), np.float32).reshape(int(row["num_boxes"]), -1)
