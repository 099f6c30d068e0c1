"""Tables as people have them: every cell as text, whatever program wrote the file.

CSV, TSV, JSON Lines, JSON, Parquet and Excel workbooks, the text formats also compressed with gzip. Encoding, delimiter
and quoting are found, or named; what was guessed is said in the notes that come with the table. A row is never made of
what is none: rows that are too long or too short for the header are refused, with their line.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.datasets.delimited import Table, laid_out, read_csv, read_tsv
from pipeline.datasets.encoding import DELIMITERS, FOUND, SURROGATE, TextFormat, bytes_of, decoded
from pipeline.errors import DataError, UsageError

__all__ = ["DELIMITERS", "FOUND", "Table", "TextFormat", "as_text", "decoded", "read_table"]

MOST_COLUMNS = 10_000


def read_table(path: Path, flag: str = "--data", text: TextFormat = FOUND) -> Table:
    """The table in `path`; `flag` is what named the file. Raises `UsageError` where there is no such file or no reader
    for its kind, `DataError` with the line for what cannot be read without guessing.
    """
    if not path.is_file():
        raise UsageError(f"There is no table '{path}' ({flag}).")
    packed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None or (packed and suffix in (".parquet", ".xlsx")):
        raise UsageError(
            f"'{path.name}' is no table that can be read: use .csv, .tsv, .jsonl, .json (all also with .gz), .parquet "
            "or .xlsx."
        )
    try:
        table = reader(path, text)
    except (DataError, UsageError):
        raise
    except (ValueError, OSError, EOFError, zlib.error, RecursionError, MemoryError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise DataError(f"'{path}' could not be read as {suffix[1:].upper()}: {cause}.") from error
    if len(table.columns) > MOST_COLUMNS:
        raise DataError(f"'{path}' has {len(table.columns):,} columns; a table of posts has at most {MOST_COLUMNS:,}.")
    return _without_half_characters(table)


def _read_json_lines(path: Path, how: TextFormat) -> Table:
    """One JSON object a line, read by itself: a column of mixed types must not turn integers into floats."""
    text, note = decoded(bytes_of(path), how.encoding)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_object(_parsed(line, f"line {number}"), f"line {number}"))
    return _of_objects(rows, [note] if note else [])


def _read_json(path: Path, how: TextFormat) -> Table:
    """A list of objects, or an object that holds one such list."""
    text, note = decoded(bytes_of(path), how.encoding)
    found = _parsed(text, "the file")
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        if len(lists) != 1:
            raise ValueError("it must be a list of objects, one a post, or an object with one such list in it")
        found = lists[0]
    if not isinstance(found, list):
        raise ValueError("it must be a list of objects, one a post")
    return _of_objects([_object(row, f"item {n}") for n, row in enumerate(found, start=1)], [note] if note else [])


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where} is no JSON ({error})") from error


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{where} is no JSON object")
    return row


def _of_objects(rows: Sequence[dict[str, Any]], notes: list[str]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table({name: [as_text(row.get(name)) for row in rows] for name in names}, notes)


@contextmanager
def _damage_is_a_value_error() -> Iterator[None]:
    """A damaged Parquet file or workbook, a zip archive of XML, makes its library fail in any way."""
    try:
        yield
    except (UsageError, DataError, ValueError, OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _read_parquet(path: Path, how: TextFormat) -> Table:
    import pandas

    with _damage_is_a_value_error():
        frame = pandas.read_parquet(path, dtype_backend="pyarrow")
        return Table({str(name): [as_text(cell) for cell in frame[name].tolist()] for name in frame.columns})


def _read_workbook(path: Path, how: TextFormat) -> Table:
    """The first sheet of an Excel workbook: its first row names the columns."""
    try:
        import openpyxl
    except ModuleNotFoundError:
        raise UsageError("An Excel workbook needs the extra: pip install 'crisis[excel]'.") from None
    with _damage_is_a_value_error(), closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
        sheet = book.worksheets[0]
        rows = [[as_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        notes = [f"the first of {len(book.sheetnames)} sheets, '{sheet.title}'"] if len(book.sheetnames) > 1 else []
    while rows and not any(rows[0]):
        rows.pop(0)
    width = max((place + 1 for place, cell in enumerate(rows[0]) if cell), default=0) if rows else 0
    numbered = [(number, row[: max(width, _last(row))]) for number, row in enumerate(rows, start=1) if any(row)]
    return laid_out(path, numbered, notes)


def _last(row: Sequence[str]) -> int:
    """Behind the last cell that is not empty."""
    return max((place + 1 for place, cell in enumerate(row) if cell), default=0)


def as_text(value: Any) -> str:
    """A cell as text: "" where it is missing (None, NaN, NA), whole numbers without a point, dates in ISO's form."""
    if isinstance(value, str):
        return value
    import pandas

    if value is None or value is pandas.NA or value is pandas.NaT or value != value:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def _without_half_characters(table: Table) -> Table:
    """Lone surrogates, which JSON can write and nothing can encode, become the replacement character."""
    count = 0
    for cells in table.columns.values():
        for row, cell in enumerate(cells):
            if SURROGATE.search(cell):
                cells[row] = cell.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                count += 1
    if count:
        table.notes.append(f"{count} cells hold half a character (a lone surrogate), read as \ufffd")
    return table


_READERS: dict[str, Callable[[Path, TextFormat], Table]] = {
    ".csv": read_csv,
    ".txt": read_csv,
    ".tsv": read_tsv,
    ".tab": read_tsv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".xlsx": _read_workbook,
}
