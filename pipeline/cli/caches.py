"""`crisis cache ls|info`: what lies in the cache, and what made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o

app = typer.Typer(help="Look into the feature cache.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[Path, typer.Argument(help="A feature file.")]


@app.command("ls")
def ls(cache: o.Cache = o.CACHE, json: o.Json = False) -> None:
    """List the feature files: rows, how many are ok, views and size."""
    from cache import list_files

    if not cache.is_dir():
        from pipeline.errors import UsageError

        raise UsageError(f"There is no cache folder '{cache}'; `crisis extract` makes one.")
    found = list_files(cache)
    if json:
        o.print_json({"files": [_info(info) for info in found]})
        return
    rows = [
        [
            f"{info.dataset}/{info.path.name}",
            f"{info.rows:,}",
            f"{info.ok:,}",
            ", ".join(info.views) or "-",
            f"{info.bytes / 1e6:.1f} MB",
            info.error or ("sealed" if info.sealed else "unfinished"),
        ]
        for info in found
    ]
    o.print_table(["file", "rows", "ok", "views", "size", "state"], rows)


@app.command("info")
def info(file: File, json: o.Json = False) -> None:
    """Show what made a feature file: model, weights, precision, versions, command; and its bad rows by reason."""
    import numpy as np

    from cache import FeatureFile, Status
    from pipeline.errors import UsageError

    if not file.exists() and not file.with_name(file.name + ".parts").exists():
        raise UsageError(f"There is no feature file '{file}'; `crisis cache ls` lists them.")
    with FeatureFile.open(file) as opened:
        codes, counts = np.unique(opened.status, return_counts=True)
        content = {
            "file": str(file.resolve()),
            "rows": opened.n,
            "sealed": opened.sealed,
            "status": {Status(int(code)).reason: int(n) for code, n in zip(codes, counts, strict=True)},
            "views": {name: {"shape": list(v.shape), "dtype": v.dtype} for name, v in opened.views.items()},
            "provenance": opened.provenance,
        }
    if json:
        o.print_json(content)
        return
    import json as text

    print(text.dumps(content, indent=2, ensure_ascii=False))


def _info(info: object) -> dict[str, object]:
    from dataclasses import asdict

    content = asdict(info)  # type: ignore[call-overload]
    return {**content, "path": str(content["path"])}
