"""CSV, TSV and their kin: which delimiter and quoting a file has, and its rows as columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets.encoding import DELIMITERS, TextFormat, bytes_of, decoded
from pipeline.errors import DataError

LARGEST_CELL = 10_000_000
_CARRIAGE = "\ue00d"
"""Stands for a carriage return within a cell while the csv module, which would end the row there, reads the text."""


@dataclass
class Table:
    """The columns of a table by name, every cell a str ("" where it is missing), and what a user should know of how it
    was read.
    """

    columns: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)


def read_csv(path: Path, how: TextFormat) -> Table:
    text, note = decoded(bytes_of(path), how.encoding)
    text = _one_line_end(text)
    delimiter = how.delimiter
    first, _, rest = text.partition("\n")
    if delimiter is None and re.fullmatch(r"sep=.", first):
        # Excel's own way of naming it
        delimiter, text = first[-1], rest
    delimiter = delimiter or _delimiter(text.partition("\n")[0])
    notes = [note] if note else []
    if delimiter != "," and how.delimiter is None:
        notes.append(f"read with the delimiter {_named(delimiter)}")
    return laid_out(path, _quoted_rows(text, delimiter), notes)


def read_tsv(path: Path, how: TextFormat) -> Table:
    """Unquoted, as CrisisMMD is distributed, unless the file shows that its quotes are quoting."""
    text, note = decoded(bytes_of(path), how.encoding)
    text = _one_line_end(text)
    delimiter = how.delimiter or "\t"
    notes = [note] if note else []
    if _is_quoted(text, delimiter):
        notes.append("read with quoted cells")
        return laid_out(path, _quoted_rows(text, delimiter), notes)
    plain = ((number, line.split(delimiter)) for number, line in enumerate(text.split("\n"), start=1) if line)
    return laid_out(path, plain, notes)


def _one_line_end(text: str) -> str:
    """Rows end with a line feed, with or without a carriage return before it; a file that has only carriage returns
    ends its rows with them. Any other carriage return belongs to its cell.
    """
    if "\r" in text and "\n" not in text:
        return text.replace("\r", "\n")
    return text.replace("\r\n", "\n")


def _delimiter(header: str) -> str:
    """The one that cuts the header into most columns, outside of quotes; a comma where none does."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)


def _named(delimiter: str) -> str:
    return next((name for name, one in DELIMITERS.items() if one == delimiter and len(name) > 2), f"'{delimiter}'")


def _is_quoted(text: str, delimiter: str) -> bool:
    """Whether quotes in an otherwise unquoted format are quoting.

    They are where every cell that begins with one is well quoted, and one of them needs it: it holds a delimiter, a
    line end or a doubled quote, or it is the name of a column, as all of them are. A tweet that merely begins with a
    quote is kept as it stands.
    """
    if '"' not in text:
        return False
    try:
        rows = [row for _, row in _quoted_rows(text, delimiter)]
    except ValueError:
        return False
    if any(len(row) != len(rows[0]) for row in rows):
        return False
    if all(re.fullmatch(r'"[^"]*"', name) for name in text.partition("\n")[0].split(delimiter)):
        return True
    opened = rf'(?:^|(?<=[{re.escape(delimiter)}\n]))"((?:[^"]|"")*)"(?=[{re.escape(delimiter)}\n]|$)'
    return any(re.search(rf'["\n{re.escape(delimiter)}]', cell) for cell in re.findall(opened, text))


def _quoted_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their last line; `ValueError` with the line where quotes do not close."""
    csv.field_size_limit(LARGEST_CELL)
    protected = text.replace("\r", _CARRIAGE) if "\r" in text else text
    reader = csv.reader(_lines(protected), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"line {reader.line_num}: {error}; a cell that begins with a quote must end with one, and quotes "
                "within it must be doubled"
            ) from error
        if row:
            yield reader.line_num, [cell.replace(_CARRIAGE, "\r") for cell in row] if "\r" in text else row


def _lines(text: str) -> Iterator[str]:
    """Lines with their line feed; no other character ends one, since tweets hold exotic line separators."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def laid_out(path: Path, rows: Iterable[tuple[int, list[str]]], notes: list[str]) -> Table:
    """The rows as columns under the names of the first one, each as long as the header."""
    rows = iter(rows)
    _, header = next(rows, (0, []))
    names = _distinct_names(header)
    width = len(names)
    kept: list[list[str]] = []
    short: list[tuple[int, int]] = []
    for line, row in rows:
        if len(row) > width:
            if any(row[width:]):
                raise DataError(
                    f"'{path}' line {line} has {len(row)} cells where the header has {width}; mend it or name every "
                    "column."
                )
            row = row[:width]
        elif len(row) < width:
            short.append((line, len(kept)))
        kept.append(row)
    if short:
        notes.append(_settle_short(path, kept, short, width))
    columns = {name: [row[column] for row in kept] for column, name in enumerate(names)}
    return Table(columns, notes)


def _settle_short(path: Path, rows: list[list[str]], short: Sequence[tuple[int, int]], width: int) -> str:
    """Rows that lack their last cells are filled where these are empty in most other rows, too, as spreadsheets leave
    them out; any other short row is a piece of a broken one, and refused.
    """
    at = {position for _, position in short}
    full = [row for position, row in enumerate(rows) if position not in at]
    for line, position in short:
        lacked = range(len(rows[position]), width)
        if not full or any(2 * sum(row[column] == "" for row in full) < len(full) for column in lacked):
            raise DataError(
                f"'{path}' line {line} has {len(rows[position])} cells where the header has {width}; if a cell holds a "
                "line break, put the cell in quotes or take the break out."
            )
        rows[position] = rows[position] + [""] * len(lacked)
    return f"{len(short)} rows lack their last cells, which are read as empty"


def _distinct_names(header: Sequence[str]) -> list[str]:
    """Column names without the spaces around them; a name that repeats is numbered, one that is empty is its place."""
    names: list[str] = []
    for place, name in enumerate(header, start=1):
        name = name.strip().removeprefix("\ufeff") or f"column {place}"
        unique, count = name, 1
        while unique in names:
            count += 1
            unique = f"{name}.{count}"
        names.append(unique)
    return names
