"""What a command prints: lines and tables for people, or one JSON object; nothing in them acts on a terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.log import printable

GAP = "  "
# a number, its spread, its unit ("84.6 ± 0.2", "<0.001", "95.1-96.2", "+1.5*", "12.0 MB"), or a mark that there is none
_NUMBER = re.compile(r"([+<-]?\d[\d.,]*(-\d[\d.]*)?( ± \d[\d.]*)?\*?( \S{1,2})?|-)?")
NARROWEST = 10

_answer: dict[str, Any] | None = None


def print_line(text: str = "") -> None:
    """One line, or several, of a result."""
    print("\n".join(map(printable, text.split("\n"))))


def print_json(content: dict[str, Any]) -> None:
    """The command's one JSON object; it is printed at the command's end, with the error if there is one (`flush`)."""
    global _answer
    _answer = content


def flush(json: bool, error: str | None = None, code: int = 0) -> None:
    """Print the JSON object of a command that ends, if it has one, or if it must have one because it failed."""
    global _answer
    content, _answer = _answer, None
    if error is not None and json:
        content = {**(content or {}), "error": error, "exit_code": code}
    if content is not None:
        import json as text

        print(printable(text.dumps(content, ensure_ascii=False)), flush=True)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """A title, and below it what is to be said, each under its name; broken to the width of a terminal."""
    print(bold(printable(title)))
    widest = max(map(len, facts), default=0)
    room = max(shutil.get_terminal_size().columns - widest - 4, NARROWEST) if _on_terminal() else None
    for name, value in facts.items():
        lines = textwrap.wrap(printable(value), room, break_on_hyphens=False) if room else [printable(value)]
        print(f"  {name.ljust(widest)}  {lines[0]}")
        for line in lines[1:]:
            print(f"  {'':{widest}}  {line}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns aligned by width; all but the first column to the right when they hold numbers.

    On a terminal, long cells are broken so that the table is no wider than it; in a pipe a row is always one line.
    """
    lines = [[printable(cell) for cell in line] for line in (header, *rows)]
    numeric = [all(map(_is_number, column)) for column in zip(*lines[1:], strict=True)] or [False] * len(header)
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    if _on_terminal():
        widths = _fitted(widths, lines, numeric, shutil.get_terminal_size().columns)
    for number, line in enumerate(lines):
        for cells in _broken(line, widths):
            aligned = zip(cells, widths, numeric, strict=True)
            text = GAP.join(_padded(cell, width, right) for cell, width, right in aligned).rstrip()
            print(bold(text) if number == 0 else text)
        if number == 0:
            print(dim(GAP.join("-" * width for width in widths)))


def bold(text: str) -> str:
    return _styled("1", text)


def dim(text: str) -> str:
    return _styled("2", text)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _styled(code: str, text: str) -> str:
    """`text` in bold or dim, on a terminal that may be given colours (see no-color.org)."""
    plain = not _on_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _width(text: str) -> int:
    """How many places `text` takes: two for a wide character (Chinese, emoji), none for one that joins another."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _fitted(widths: list[int], lines: list[list[str]], numeric: list[bool], room: int) -> list[int]:
    """Widths that fit into `room` where they can: the widest column gives first, numbers and the names in the first
    column stay whole.
    """
    fitted = list(widths)
    least = []
    for place, column in enumerate(zip(*lines, strict=True)):
        whole = place == 0 or numeric[place]
        body = max(map(_width, column[1:]), default=0) if whole else min(widths[place], NARROWEST)
        least.append(max(body, *(_width(word) for word in column[0].split()), 1))
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - room
    while excess > 0:
        place = max(range(len(fitted)), key=lambda one: (fitted[one] > least[one], fitted[one]))
        if fitted[place] <= least[place]:
            break
        fitted[place] -= 1
        excess -= 1
    return fitted


def _broken(line: list[str], widths: list[int]) -> list[list[str]]:
    """The lines that one row takes when each cell is broken to its column's width."""
    cells = [
        [cell] if _width(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(line, widths, strict=True)
    ]
    height = max(map(len, cells))
    return [[cell[place] if place < len(cell) else "" for cell in cells] for place in range(height)]
