"""The code blocks of a Markdown page: which there are, which are run, and why the others are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RUN = ("python", "sh")
SHOWN = ("text", "json", "toml")
"""What is shown only: a tree of folders, what a command answers, a part of a file."""

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n\n?)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NAMED = re.compile(r"# ([\w-]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block. `reason`: why it is not run, if it is not."""

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def file(self) -> str | None:
        """The file that a Python block is, if its first line says so (`# my_head.py`)."""
        named = _NAMED.match(self.text) if self.language == "python" else None
        return named[1] if named else None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order, those that are only shown left out.

    Raises `ValueError` for a block in any other language: it must be run, or be marked as one that is only shown.
    """
    content, found = page.read_text(encoding="utf-8"), []
    for match in _BLOCK.finditer(content):
        line = content[: match.start("language")].count("\n") + 1
        language = match["language"]
        if language not in RUN + SHOWN:
            raise ValueError(f"{page.name}:{line}: a block is one of {', '.join(RUN + SHOWN)}, not '{language}'")
        if language in RUN:
            found.append(Block(page, line, language, match["text"], match["reason"]))
    return found
