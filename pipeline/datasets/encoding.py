"""The text of a file, whatever encoding it was written in."""

from __future__ import annotations

import codecs
import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", ",": ",", ";": ";", "\t": "\t", "\\t": "\t"}
"""What `--delimiter` may say, beside any single character."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SURROGATE = re.compile("[\ud800-\udfff]")


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


def bytes_of(path: Path) -> bytes:
    """What is in the file, or in the file that gzip has packed into it."""
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
    bad = len(SURROGATE.findall(marked))
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
