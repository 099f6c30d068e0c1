"""The table that names the fetched photos by file: all its columns as they were, and one more for the addresses."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

from cache import files
from pipeline.datasets.encoding import DELIMITERS
from pipeline.download.links import is_address, plain

PHOTOS = "photos"
TABLE = "posts.csv"


def parts_of(cell: str, separator: str | None) -> list[str]:
    """The photos that a cell names."""
    if separator is None:
        return [cell]
    return [part.strip() for part in cell.split(DELIMITERS.get(separator, separator)) if part.strip()] or [""]


def address_of(part: str) -> str | None:
    """The address that a photo is asked for under; None where the cell names a file, or an address that cannot be."""
    return plain(part) if is_address(part) else None


def write_table(
    path: Path, columns: Mapping[str, list[str]], image: str, separator: str | None, names: Mapping[str, str]
) -> None:
    """Write `columns` as a CSV file in which `image` holds the files of `names` (address to name) and "" for photos
    that are not there; "<image>_address" holds what it held before.
    """

    def file_of(part: str) -> str:
        if not is_address(part):
            return part
        name = names.get(address_of(part) or "")
        return f"{PHOTOS}/{name}" if name else ""

    between = "" if separator is None else DELIMITERS.get(separator, separator)
    cells = [between.join(filter(None, map(file_of, parts_of(cell, separator)))) for cell in columns[image]]
    told = _free(f"{image}_address", columns.__contains__)
    written = {**columns, image: cells, told: columns[image]}
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(written)
    writer.writerows(zip(*written.values(), strict=True))
    files.write_whole(path, table.getvalue().encode())


def _free(name: str, taken: Callable[[str], bool]) -> str:
    while taken(name):
        name += "_"
    return name
