"""What a table needs from the cache, and what of that is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.tables.encoder import Missing, commands_of, find_encoder
from pipeline.tables.layout import NotOurs, PaperTable


def needs_of(table: PaperTable, posts: Posts, cache: Path, models: Mapping[str, str]) -> dict[str, Any]:
    """Plain JSON values: the table, how many of its rows are ours, per encoder that is "there" its cache file, those
    that are "missing", and the "commands" that make them. `models` stand in the place of encoders as in `Wishes`.
    """
    there: dict[str, str] = {}
    missing: list[Missing] = []
    for modality, named in table.encoders:
        encoder = named.called(models.get("text" if modality == "caption" else modality))
        title = f"{modality}: {encoder.title}" + (f" of {encoder.text}" if encoder.text.startswith("tweet+") else "")
        try:
            found = find_encoder(posts, cache, modality, encoder)
        except UsageError as error:
            there[title] = f"unclear: {error}"
            continue
        if isinstance(found, Missing):
            missing.append(found)
        else:
            there[title] = found.label
    return {
        "name": table.name,
        "source": f"{table.source.paper}, {table.source.number}",
        "title": table.title,
        "rows": len(table.rows),
        "ours": sum(not isinstance(row.system, NotOurs) for row in table.rows),
        "there": there,
        "missing": list(dict.fromkeys(one.encoder.title for one in missing)),
        "commands": commands_of(missing),
    }
