"""CSV files that people open in a spreadsheet: no cell of ours is a formula there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes a cell for a formula by (OWASP, CSV injection)."""


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with an apostrophe before each text that a spreadsheet would run; numbers stay as they are."""
    return {name: f"'{cell}" if _is_formula(cell) else cell for name, cell in row.items()}


def _is_formula(cell: Any) -> bool:
    return isinstance(cell, str) and cell.startswith(_FORMULA)
