"""Tables as spreadsheets, scripts and people write them, drawn from a grammar: known rows, written by somebody else's
writer, must be read as they are, or refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

from pipeline.datasets.frames import TextFormat, read_table
from pipeline.errors import DataError, UsageError

WORDS = (
    "flood", "Überflutung", "help!", "日本語", "نجدة", "🔥", "a\u0301", "50 %", "don't", 'say "yes"', '"', "''", "-",
    "=1+1", "+49", "@user", "#tag", "https://t.co/x?a=1&b=2", "1e5", "007", "1.0", "NaN", "NA", "null", "None", "true",
    "1,5", "1;5", "a\tb", "x|y", "two\nlines", "\u00a0", "\ufeff", "\u2028", "C:\\new", "{}", "[1]", "<b>", "\x1b[31m",
    "9" * 18,
)  # fmt: skip
HEADERS = ("id", "tweet_text", "photo", "Is it bad?", "größe", "label (final)", "x/y", "a: b", "extra.1")
PLAIN_1252 = "cp1252"


class Trials:
    """Writes a table and reads it back; a third of them are spoilt on the way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def one(self, rng: random.Random) -> tuple[str, str]:
        header = ["id", *rng.sample(HEADERS[1:], rng.randint(1, 5))]
        rows = [[str(number), *(cell(rng) for _ in header[1:])] for number in range(rng.randint(1, 12))]
        kind = rng.choice(WRITERS)
        spoilt = rng.random() < 0.3
        path, how, rows, said = kind(self._folder, header, rows, rng)
        if spoilt:
            data = bytearray(path.read_bytes())
            spoil(data, rng)
            path.write_bytes(bytes(data))
            said += ", spoilt"
        try:
            table = read_table(path, text=how)
        except (DataError, UsageError) as error:
            return ("refused, spoilt" if spoilt else "FAILED: sound and refused"), f"{said}: {error}"
        except BaseException as error:
            return "FAILED: raised", f"{said}: {type(error).__name__}: {error}"
        finally:
            path.unlink(missing_ok=True)
        if spoilt:
            return "read, spoilt", said
        got = [list(row) for row in zip(*table.columns.values(), strict=True)]
        if list(table.columns) != header:
            return "FAILED: other columns", f"{said}: {list(table.columns)} for {header}"
        if len(got) != len(rows):
            return "FAILED: other rows", f"{said}: {len(got)} for {len(rows)}: {rows}"
        for one, other in zip(rows, got, strict=True):
            if one != other:
                return "FAILED: another cell", f"{said}: {other!r} for {one!r}"
        return "read as written", said


def cell(rng: random.Random) -> str:
    count = rng.choice((0, 1, 1, 2, 3))
    return rng.choice((" ", "", ", ")).join(rng.choice(WORDS) for _ in range(count)).strip(" ")


Written = tuple[Path, TextFormat, list[list[str]], str]


def as_csv(folder: Path, header: list[str], rows: list[list[str]], rng: random.Random) -> Written:
    delimiter = rng.choice((",", ",", ";", "\t", "|"))
    end = rng.choice(("\n", "\r\n"))
    text = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([header, *rows])
    body = text.getvalue()
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", PLAIN_1252))
    if encoding == PLAIN_1252:
        # as far as it goes; what it has no letters for is left out
        rows = [[one.encode(PLAIN_1252, "ignore").decode(PLAIN_1252) for one in row] for row in rows]
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([header, *rows])
        body = text.getvalue()
    data = body.encode(encoding)
    packed = rng.random() < 0.2
    suffix = ".tsv" if delimiter == "\t" and quoting == csv.QUOTE_ALL else ".csv"
    path = folder / f"t{suffix}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(data) if packed else data)
    # what has no letter outside ASCII cannot tell Windows-1252 from UTF-8, and need not; UTF-8 that happens to fit can
    how = TextFormat(encoding=PLAIN_1252) if encoding == PLAIN_1252 else TextFormat(None)
    return path, how, rows, f"{suffix} {encoding} {delimiter!r} {end!r} quoting {quoting}{' gz' if packed else ''}"


def as_json(folder: Path, header: list[str], rows: list[list[str]], rng: random.Random) -> Written:
    ascii_only = rng.random() < 0.5
    objects = [dict(zip(header, row, strict=True)) for row in rows]
    if rng.random() < 0.5:
        whole: Any = rng.choice((objects, {"posts": objects}))
        path = folder / "t.json"
        path.write_text(json.dumps(whole, ensure_ascii=ascii_only, indent=rng.choice((None, 2))), encoding="utf-8")
    else:
        lines = "\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in objects) + rng.choice(("", "\n"))
        packed = rng.random() < 0.3
        path = folder / f"t.jsonl{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    return path, TextFormat(), rows, f"{path.suffix} ascii {ascii_only}"


def as_parquet(folder: Path, header: list[str], rows: list[list[str]], rng: random.Random) -> Written:
    import pandas

    path = folder / "t.parquet"
    pandas.DataFrame(rows, columns=header, dtype=object).to_parquet(path)
    return path, TextFormat(), rows, "parquet"


def as_workbook(folder: Path, header: list[str], rows: list[list[str]], rng: random.Random) -> Written:
    import openpyxl
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    rows = [[ILLEGAL_CHARACTERS_RE.sub("", one) for one in row] for row in rows]
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for number, row in enumerate([header, *rows], start=1):
        for place, one in enumerate(row, start=1):
            here = sheet.cell(number, place)
            here.value = one or None
            # a text that begins with "=" is a formula to openpyxl unless it is told otherwise
            here.data_type = "s" if one else "n"
    path = folder / "t.xlsx"
    book.save(path)
    return path, TextFormat(), rows, "xlsx"


WRITERS = (as_csv, as_csv, as_csv, as_json, as_json, as_parquet, as_workbook)


def spoil(data: bytearray, rng: random.Random) -> None:
    """One to three changes, in place."""
    for _ in range(rng.randint(1, 3)):
        if not data:
            return
        at = rng.randrange(len(data))
        how = rng.randrange(4)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del data[at:]
        elif how == 2:
            data[at:at] = rng.choice((b'"', b"\n", b"\r", b",", b"\0", b"\xff", b"}", b"\xed\xa0\x80"))
        else:
            del data[at : at + rng.randint(1, 10)]
