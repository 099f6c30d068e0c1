"""The tables by name: adding one is adding its file and its line here."""

from __future__ import annotations

from crisis_registry import did_you_mean
from pipeline.errors import UsageError
from pipeline.tables import abavisani, farah_chapter3, farah_chapter4, farah_chapter5, munia, teng
from pipeline.tables.layout import PaperTable

_PAPERS = (farah_chapter3, farah_chapter4, farah_chapter5, abavisani, munia, teng)
TABLES: dict[str, PaperTable] = {table.name: table for paper in _PAPERS for table in paper.TABLES}


def table_named(name: str) -> PaperTable:
    """The table `name`; `UsageError` with the nearest where there is none."""
    if name not in TABLES:
        raise UsageError(
            f"There is no table '{name}'{did_you_mean(name, TABLES)}; `crisis table --list` shows those there are."
        )
    return TABLES[name]
