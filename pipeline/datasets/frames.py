"""Tables as people have them: every cell as text, whatever program wrote the file.

CSV, TSV, JSON Lines, JSON, Parquet and Excel workbooks, the text formats also compressed with gzip. Encoding, delimiter
and quoting are found, or named; what was guessed is said in the notes that come with the table. A row is never made of
what is none: rows that are too long or too short for the header are refused, with their line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas

LARGEST_CELL = 10_000_000
MOST_COLUMNS = 10_000
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", ",": ",", ";": ";", "\t": "\t", "\\t": "\t"}
"""What `--delimiter` may say, beside any single character."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CARRIAGE = "\ue00d"
"""Stands for a carriage return within a cell while the csv module, which would end the row there, reads the text."""


@dataclass(frozen=True)
class TextFormat:
    """How a text table is written, where the user says so; None: to be found."""

    encoding: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise UsageError(
                    f"There is no encoding '{self.encoding}'; choose utf-8, utf-16, windows-1252 or another that "
                    "Python knows (--encoding)."
                ) from None
        if self.delimiter is not None:
            named = DELIMITERS.get(self.delimiter, self.delimiter)
            if len(named) != 1 or named in '"\r\n':
                raise UsageError(
                    f"'{self.delimiter}' cannot be a delimiter; give comma, semicolon, tab, pipe or one character "
                    "(--delimiter)."
                )
            object.__setattr__(self, "delimiter", named)


FOUND = TextFormat()


@dataclass
class Table:
    """The columns of a table by name, every cell a str ("" where it is missing), and what a user should know of how it
    was read.
    """

    columns: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    def frame(self) -> pandas.DataFrame:
        import pandas

        return pandas.DataFrame(self.columns, dtype=object)


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


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() == ".gz":
        with gzip.open(path) as stream:
            return stream.read()
    return path.read_bytes()


def decoded(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    """The text of a file's bytes, and what to say of its encoding ("" for plain UTF-8).

    A byte-order mark decides; else UTF-8 where it fits, UTF-16 where every other byte is zero, UTF-8 with the damaged
    bytes replaced where most of what is not ASCII fits, and Windows-1252 for the rest. Raises `ValueError` for what is
    none of them.
    """
    if encoding is not None:
        return data.decode(encoding), ""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data.decode(name), "" if name == "utf-8-sig" else f"read as {name.upper()}"
    if (guess := _utf_16(data)) is not None:
        return data.decode(guess), "read as UTF-16"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        pass
    marked = data.decode("utf-8", "surrogateescape")
    bad = len(_SURROGATE.findall(marked))
    if sum(one > "\x7f" for one in marked) - bad > bad:
        return data.decode("utf-8", "replace"), f"{bad} bytes that are not UTF-8 are read as \ufffd"
    try:
        return data.decode("windows-1252"), "read as Windows-1252 (it is not UTF-8); --encoding names another encoding"
    except UnicodeDecodeError:
        raise ValueError("it is neither UTF-8, UTF-16 nor Windows-1252; name its encoding with --encoding") from None


def _utf_16(data: bytes) -> str | None:
    """UTF-16 without a mark: of Western text every other byte is zero, of UTF-8 none is."""
    head = data[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < len(head) // 4 or len(head) < 4:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _read_csv(path: Path, how: TextFormat) -> Table:
    text, note = decoded(_bytes(path), how.encoding)
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
    return _laid_out(path, _quoted_rows(text, delimiter), notes)


def _read_tsv(path: Path, how: TextFormat) -> Table:
    """Unquoted, as CrisisMMD is distributed, unless the file shows that its quotes are quoting."""
    text, note = decoded(_bytes(path), how.encoding)
    text = _one_line_end(text)
    delimiter = how.delimiter or "\t"
    notes = [note] if note else []
    if _is_quoted(text, delimiter):
        notes.append("read with quoted cells")
        return _laid_out(path, _quoted_rows(text, delimiter), notes)
    plain = ((number, line.split(delimiter)) for number, line in enumerate(text.split("\n"), start=1) if line)
    return _laid_out(path, plain, notes)


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
    line end or a doubled quote. A tweet that merely begins with a quote is kept as it stands.
    """
    if '"' not in text:
        return False
    try:
        rows = [row for _, row in _quoted_rows(text, delimiter)]
    except ValueError:
        return False
    if any(len(row) != len(rows[0]) for row in rows):
        return False
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


def _laid_out(path: Path, rows: Iterable[tuple[int, list[str]]], notes: list[str]) -> Table:
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


def _read_json_lines(path: Path, how: TextFormat) -> Table:
    """One JSON object a line, read by itself: a column of mixed types must not turn integers into floats."""
    text, note = decoded(_bytes(path), how.encoding)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_object(_parsed(line, f"line {number}"), f"line {number}"))
    return _of_objects(rows, [note] if note else [])


def _read_json(path: Path, how: TextFormat) -> Table:
    """A list of objects, or an object that holds one such list."""
    text, note = decoded(_bytes(path), how.encoding)
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


def _read_parquet(path: Path, how: TextFormat) -> Table:
    import pandas

    frame = pandas.read_parquet(path, dtype_backend="pyarrow")
    return Table({str(name): [as_text(cell) for cell in frame[name].tolist()] for name in frame.columns})


def _read_workbook(path: Path, how: TextFormat) -> Table:
    """The first sheet of an Excel workbook: its first row names the columns."""
    try:
        import openpyxl
    except ModuleNotFoundError:
        raise UsageError("An Excel workbook needs the extra: pip install 'crisis[excel]'.") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (KeyError, ValueError, OSError):
        raise
    except Exception as error:
        # a damaged workbook fails in any way: it is a zip archive of XML
        raise ValueError(str(error) or type(error).__name__) from error
    try:
        sheet = book.worksheets[0]
        rows = [[as_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        notes = [f"the first of {len(book.sheetnames)} sheets, '{sheet.title}'"] if len(book.sheetnames) > 1 else []
    finally:
        book.close()
    while rows and not any(rows[0]):
        rows.pop(0)
    width = max((place + 1 for place, cell in enumerate(rows[0]) if cell), default=0) if rows else 0
    numbered = [(number, row[: max(width, _last(row))]) for number, row in enumerate(rows, start=1) if any(row)]
    return _laid_out(path, numbered, notes)


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
            if _SURROGATE.search(cell):
                cells[row] = cell.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                count += 1
    if count:
        table.notes.append(f"{count} cells hold half a character (a lone surrogate), read as \ufffd")
    return table


_READERS: dict[str, Callable[[Path, TextFormat], Table]] = {
    ".csv": _read_csv,
    ".txt": _read_csv,
    ".tsv": _read_tsv,
    ".tab": _read_tsv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".xlsx": _read_workbook,
}
