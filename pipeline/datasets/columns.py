"""What a user says of a table, and what is guessed where nothing is said: which column holds what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.datasets.frames import TextFormat

ROLES = ("text", "image", "label", "group", "event", "id", "split", "knowledge")
FAMILIAR = {
    "text": ("text", "tweet_text"),
    "image": ("image_path", "image"),
    "label": ("label",),
    "id": ("post_id", "id"),
}
"""The names that are taken without a word, the first that is there."""

OTHERS = {
    "text": ("tweet", "full_text", "message", "content", "body"),
    "image": ("photo", "image_url", "media", "image_file", "filename"),
    "label": ("category", "class", "target"),
    "id": ("tweet_id", "id_str"),
}
"""The names that are taken where there is no familiar one, and said, in this order."""


@dataclass(frozen=True)
class Columns:
    """Which column holds what (None means: the usual name if the table has it, else nothing), and how the file and its
    cells are to be read.
    """

    text: str | None = None
    image: str | None = None
    label: str | None = None
    group: str | None = None
    event: str | None = None
    id: str | None = None
    split: str | None = None
    knowledge: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    image_root: Path | None = None
    image_separator: str | None = None
    clean_labels: bool = False

    @property
    def format(self) -> TextFormat:
        """How a text file is written; `UsageError` for what cannot be."""
        return TextFormat(self.encoding, self.delimiter)

    def flags(self) -> list[str]:
        """The command-line flags that say the same."""
        words = []
        for one in fields(self):
            value, flag = getattr(self, one.name), one.name.replace("_", "-")
            if value is True:
                words.append(f"--{flag}")
            elif value:
                words += [f"--{flag}-column" if one.name in ROLES else f"--{flag}", str(value)]
        return words

    def found(self, have: Collection[str]) -> dict[str, str]:
        """The column of each role that has one. No other name is guessed where a flag gives it to another role."""
        named = {role: getattr(self, role) for role in ROLES if getattr(self, role) is not None}
        free = set(have).difference(named.values())
        guessed = {
            role: next((name for name in FAMILIAR[role] if name in have), None)
            or next((name for name in OTHERS[role] if name in free), None)
            for role in FAMILIAR
            if role not in named
        }
        return {**named, **{role: name for role, name in guessed.items() if name is not None}}

    def notes(self, found: Mapping[str, str], have: Iterable[str]) -> list[str]:
        """What was guessed by a name that is not familiar, and what was not found."""
        guessed = [
            f"{role} = '{name}'"
            for role, name in found.items()
            if getattr(self, role) is None and name not in FAMILIAR[role]
        ]
        notes = [f"columns: {', '.join(guessed)}"] if guessed else []
        missing = [role for role in ("text", "image") if role not in found]
        return notes + [f"no {role} column found; columns are {', '.join(have)}" for role in missing]
