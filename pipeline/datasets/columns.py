"""What a user says of a table: which column holds what."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None means: the usual name if the table has it, else nothing."""

    text: str | None = None
    image: str | None = None
    label: str | None = None
    group: str | None = None
    event: str | None = None
    id: str | None = None
    split: str | None = None
    knowledge: str | None = None

    def flags(self) -> list[str]:
        """The command-line flags that say the same."""
        said = [(role.name, getattr(self, role.name)) for role in fields(self)]
        return [word for role, column in said if column for word in (f"--{role}-column", column)]
