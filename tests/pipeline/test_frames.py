"""Tables are read as whoever wrote them meant them, or refused in one sentence; no row becomes a post that is none."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.datasets.frames import Table, TextFormat, decoded, read_table
from pipeline.errors import DataError, UsageError

ROWS = [["1", "flood in Cañada", "yes"], ["2", "it's “over”", "no"], ["3", "a, b; c", "yes"]]
HEADER = ["id", "text", "label"]


def write(path: Path, rows: list[list[str]], encoding: str = "utf-8", **dialect: object) -> Path:
    stream = io.StringIO()
    csv.writer(stream, **{"lineterminator": "\n", **dialect}).writerows([HEADER, *rows])
    path.write_bytes(stream.getvalue().encode(encoding))
    return path


def rows_of(table: Table) -> list[list[str]]:
    return [list(row) for row in zip(*table.columns.values(), strict=True)]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "windows-1252"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encoding_and_delimiter_are_found(tmp_path: Path, encoding: str, delimiter: str, ending: str) -> None:
    table = read_table(write(tmp_path / "t.csv", ROWS, encoding, delimiter=delimiter, lineterminator=ending))
    assert list(table.columns) == HEADER
    assert rows_of(table) == ROWS
    assert any("1252" in note for note in table.notes) == (encoding == "windows-1252")
    assert any("delimiter" in note for note in table.notes) == (delimiter != ",")


def test_a_few_bytes_that_are_not_utf_8_do_not_change_the_others(tmp_path: Path) -> None:
    data = "id,text\n1,Überschwemmung in Köln und Düsseldorf\n2,caf".encode() + b"\xe9\n"
    (tmp_path / "t.csv").write_bytes(data)
    table = read_table(tmp_path / "t.csv")
    assert table.columns["text"] == ["Überschwemmung in Köln und Düsseldorf", "caf�"]
    assert table.notes == ["1 bytes that are not UTF-8 are read as �"]


def test_what_is_named_is_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ROWS[:1], "mac-roman", delimiter="#")
    table = read_table(path, text=TextFormat("mac-roman", "#"))
    assert rows_of(table) == ROWS[:1]
    with pytest.raises(UsageError, match="There is no encoding 'utf-9'"):
        TextFormat("utf-9")
    with pytest.raises(UsageError, match="cannot be a delimiter"):
        TextFormat(delimiter='"')
    assert TextFormat(delimiter="semicolon").delimiter == ";"


def test_excels_own_line_about_its_delimiter(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\nid;text\n1;a, b\n")
    assert read_table(tmp_path / "t.csv").columns == {"id": ["1"], "text": ["a, b"]}


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_bare_carriage_return_belongs_to_its_cell(tmp_path: Path, name: str) -> None:
    delimiter = "\t" if name.endswith("tsv") else ","
    lines = [delimiter.join(row) for row in (HEADER, ["1", "water rising\rstay inside", "no"], ["2", "dry", "yes"])]
    (tmp_path / name).write_bytes("\n".join(lines).encode())
    assert read_table(tmp_path / name).columns["text"] == ["water rising\rstay inside", "dry"]


def test_rows_that_end_with_carriage_returns_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"id,text\r1,a\r2,b\r")
    assert read_table(tmp_path / "t.csv").columns == {"id": ["1", "2"], "text": ["a", "b"]}


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("broken", [["2", "water rising\nstay inside", "no"], ["2", "no", "water\nstay inside"]])
def test_a_line_break_within_a_cell_never_makes_a_post(tmp_path: Path, name: str, broken: list[str]) -> None:
    delimiter = "\t" if name.endswith("tsv") else ","
    lines = [delimiter.join(row) for row in (HEADER, ["1", "a", "yes"], broken, ["3", "b", "no"])]
    (tmp_path / name).write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line [34] has [12] cells where the header has 3"):
        read_table(tmp_path / name)


def test_cells_that_a_spreadsheet_left_out_at_the_end_are_empty(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text,label,note\n1,a,yes,\n2,b,no\n3,c,yes,\n4,d,no,,,\n")
    table = read_table(tmp_path / "t.csv")
    assert table.columns["note"] == ["", "", "", ""]
    assert table.notes == ["1 rows lack their last cells, which are read as empty"]
    (tmp_path / "t.csv").write_text("id,text\n1,a\n2,b,c\n")
    with pytest.raises(DataError, match="line 3 has 3 cells where the header has 2"):
        read_table(tmp_path / "t.csv")


def test_tsv_keeps_quotes_unless_they_are_quoting(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('id\ttext\n1\t"Help" she said\n2\t"all of it"\n3\t6" of water\n')
    assert read_table(path).columns["text"] == ['"Help" she said', '"all of it"', '6" of water']
    path.write_text('id\ttext\n1\t"two\nlines"\n2\t"say ""hi"""\n')
    table = read_table(path)
    assert table.columns["text"] == ["two\nlines", 'say "hi"']
    assert table.notes == ["read with quoted cells"]


def test_quotes_that_do_not_close_swallow_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,text\n1,"never closed\n2,b\n3,c\n')
    with pytest.raises(DataError, match="must end with one"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
def test_text_formats_may_be_compressed(tmp_path: Path, suffix: str) -> None:
    plain = tmp_path / f"t{suffix}"
    records = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
    if suffix == ".jsonl":
        plain.write_text("".join(json.dumps(one) + "\n" for one in records))
    elif suffix == ".json":
        plain.write_text(json.dumps({"meta": 1, "posts": records}))
    else:
        write(plain, ROWS, delimiter="\t" if suffix == ".tsv" else ",")
    packed = tmp_path / f"t{suffix}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert rows_of(read_table(packed)) == rows_of(read_table(plain)) == ROWS
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(DataError, match="could not be read"):
        read_table(packed)


def test_one_table_in_every_format_is_one_table(tmp_path: Path) -> None:
    """Whole numbers beside missing cells are floats in Parquet, JSON and Excel, and missing ones NaN or null."""
    pytest.importorskip("openpyxl", reason="the extra excel (openpyxl) is not installed")
    frame = pandas.DataFrame({"id": ["a", "b", "c"], "text": ["x", None, "nan"], "label": [1, None, 0]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.astype({"label": "Int64"}).to_csv(tmp_path / "t.csv", index=False)
    frame.to_json(tmp_path / "n.jsonl", orient="records", lines=True)
    rows = frame.astype(object).where(frame.notna(), float("nan")).to_dict("records")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "t.json").write_text(json.dumps(rows))
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    for name in ("t.parquet", "t.csv", "n.jsonl", "t.jsonl", "t.json", "t.xlsx"):
        columns = read_table(tmp_path / name).columns
        assert columns == {"id": ["a", "b", "c"], "text": ["x", "", "nan"], "label": ["1", "", "0"]}, name


def test_digits_of_json_stay(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": 901671684478029825, "text": 1.5}\n{"id": 2, "text": true}\n')
    assert read_table(tmp_path / "t.jsonl").columns == {"id": ["901671684478029825", "2"], "text": ["1.5", "True"]}


def test_half_a_character_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "1", "text": "rising \\ud83c"}\n{"id": "2", "text": "\\ud83d\\ude00"}\n')
    table = read_table(tmp_path / "t.jsonl")
    assert table.columns["text"] == ["rising �", "😀"]
    assert table.notes == ["1 cells hold half a character (a lone surrogate), read as �"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", "[" * 200_000, "nested too deeply"),
        ("t.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("t.json", '{"a": 1}', "list of objects"),
        ("t.csv", "id,text\n1," + "x" * 11_000_000, "field larger"),
        ("t.csv", ",".join(f"c{i}" for i in range(10_001)) + "\n", "has 10,001 columns"),
        ("t.parquet", "PAR1 no parquet", "could not be read as PARQUET"),
        ("t.xlsx", "no workbook", "could not be read as XLSX"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((DataError, UsageError), match=said):
        read_table(tmp_path / name)


def test_names_of_columns_are_distinct_and_never_empty(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id, text ,,text\n1,a,b,c\n")
    assert list(read_table(tmp_path / "t.csv").columns) == ["id", "text", "column 3", "text.2"]


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3).filter(any), max_size=6),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_spreadsheet_writes_comes_back(
    tmp_path: Path, rows: list[list[str]], delimiter: str, ending: str, quoting: int, encoding: str
) -> None:
    path = write(tmp_path / "t.csv", rows, encoding, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    assert rows_of(read_table(path)) == rows


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_a_sentence(data: bytes) -> None:
    try:
        text, _ = decoded(data)
    except (UnicodeError, ValueError):
        return
    assert isinstance(text, str)


def test_a_tsv_whose_every_cell_is_quoted_is_read_without_the_quotes(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('"id"\t"tweet text"\n"1"\t"hello"\n"2"\t"he said ""no"""\n')
    columns = read_table(tmp_path / "t.tsv").columns
    assert columns == {"id": ["1", "2"], "tweet text": ["hello", 'he said "no"']}
    (tmp_path / "t.tsv").write_text('id\ttweet text\n1\t"hello"\n2\t"he" said\n')
    assert read_table(tmp_path / "t.tsv").columns["tweet text"] == ['"hello"', '"he" said']
