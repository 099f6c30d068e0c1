"""Unquoted tab-separated files, as CrisisMMD is distributed: a quote is a character, an empty field is a field."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import DataError


def read_tsv(path: Path) -> dict[str, list[str]]:
    """Columns by header name (lower case), every field the text that stands in the file, byte for byte.

    Rows end with a line feed (a carriage return before it belongs to the ending); no other character ends
    one, since tweets hold exotic line separators. Raises `DataError` naming file and line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path.name} could not be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 (byte {error.start}).") from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    header = [name.lower() for name in lines[0].split("\t")]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if line == "":
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise DataError(f"{path.name} line {number} has {len(fields)} fields where the header has {len(header)}.")
        rows.append(fields)
    return {name: [fields[column] for fields in rows] for column, name in enumerate(header)}
