"""`crisis cache ls|info|verify|salvage|seal|merge|drop`: what lies in the cache, what made it, is it sound."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options as o

if TYPE_CHECKING:
    from cache import Report

File = Annotated[Path, typer.Argument(help="A feature file.")]
Files = Annotated[list[Path], typer.Argument(help="Feature files.")]


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


def info(file: File, json: o.Json = False) -> None:
    """Show what made a feature file: model, weights, precision, versions, command; and its bad rows by reason."""
    import numpy as np

    from cache import FeatureFile, Status
    from pipeline.errors import UsageError
    from pipeline.extraction.extract import texts_read

    if not file.exists() and not file.with_name(file.name + ".parts").exists():
        raise UsageError(f"There is no feature file '{file}'; `crisis cache ls` lists them.")
    with FeatureFile.open(file) as opened:
        codes, counts = np.unique(opened.status, return_counts=True)
        content = {
            "file": str(file.resolve()),
            "rows": opened.n,
            "sealed": opened.sealed,
            "status": {Status(int(code)).reason: int(n) for code, n in zip(codes, counts, strict=True)},
            "texts": texts_read(opened.provenance),
            "views": {name: {"shape": list(v.shape), "dtype": v.dtype} for name, v in opened.views.items()},
            "provenance": opened.provenance,
        }
    if json:
        o.print_json(content)
        return
    import json as text

    o.print_line(text.dumps(content, indent=2, ensure_ascii=False))


def verify(files: Files, json: o.Json = False) -> None:
    """Read every byte against its checksums and name the rows that are damaged; exit code 1 if any is."""
    import cache

    reports = {file: cache.verify(file) for file in files}
    if json:
        o.print_json({"files": [_report(file, report) for file, report in reports.items()]})
    else:
        for file, report in reports.items():
            o.print_line(f"{file}: {report}" if report.ok else str(report))
    if not all(report.ok for report in reports.values()):
        raise typer.Exit(1)


def salvage(file: File, json: o.Json = False) -> None:
    """Make a sound feature file of the rows that are sound in a damaged one, which is set aside."""
    import cache
    from pipeline.inputs.hashing import is_known

    done = cache.salvage(file, trust=is_known)
    command = _again(file, done.provenance or {})
    if json:
        aside = [str(one) for one in done.aside]
        o.print_json({"file": str(file), "rows": done.rows, "kept": done.kept, "aside": aside, "command": command})
        return
    if not done.aside:
        o.print_line(f"{file}: all of its {done.rows:,} rows are sound; nothing was done")
        return
    o.print_line(f"{file}: {done.kept:,} of {done.rows:,} rows are sound and were kept")
    o.print_line(f"set aside, to be deleted at will: {', '.join(map(str, done.aside))}")
    if not done.kept:
        o.print_line("nothing could be used; extract anew with the command that you gave then")
    elif command is not None:
        o.print_line(f"what is missing is added by: {command}")


def seal(file: File, json: o.Json = False) -> None:
    """Lay the committed parts of an unfinished extraction into one file, without going on with it."""
    from cache import FeatureFile, FeatureWriter

    with FeatureFile.open(file) as opened:
        views, modalities, captions = opened.views, opened.modalities, opened.caption_names
        provenance = opened.provenance
    with FeatureWriter(file, views=views, modalities=modalities, provenance=provenance, captions=captions) as writer:
        sealed = writer.seal()
    if json:
        o.print_json({"file": str(sealed)})
    else:
        o.print_line(str(sealed))


def merge(
    files: Files, output: Annotated[Path, typer.Option(help="The new file; must not exist.")], json: o.Json = False
) -> None:
    """Lay files of one encoder over different posts, one after the other, into a new sealed file."""
    import cache
    from pipeline.errors import UsageError
    from pipeline.inputs.hashing import hashing_at

    if len({hashing_at(file) for file in files}) > 1:
        raise UsageError("Old and new files know their inputs by different digests; extract the old ones anew.")
    merged = cache.merge(files, output).resolve()
    with cache.FeatureFile.open(merged) as opened:
        rows = opened.n
    if json:
        o.print_json({"file": str(merged), "rows": rows})
    else:
        o.print_line(f"{merged}: {rows:,} rows")


def drop(
    file: File, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json: o.Json = False
) -> None:
    """Delete a feature file and its parts."""
    import cache

    if json and not yes:
        from pipeline.errors import UsageError

        raise UsageError("--json asks nothing; add --yes to delete the file.")
    cache.require_ours(file)
    found = cache.describe(file)
    if not yes:
        typer.confirm(f"Delete {file} ({found.rows:,} rows, {found.bytes / 1e6:.1f} MB)?", abort=True, err=True)
    cache.drop(file)
    for stamps in file.parent.glob(f".{glob.escape(file.stem)}.*.stamps"):
        stamps.unlink(missing_ok=True)
    if json:
        o.print_json({"file": str(file), "rows": found.rows, "bytes": found.bytes})
    else:
        o.print_line(f"dropped {file}")


def _again(file: Path, provenance: Mapping[str, Any]) -> str | None:
    """The command that adds what a file lacks, as far as its provenance says."""
    from pipeline.inputs.commands import extract_command

    flags, dataset = provenance.get("flags"), provenance.get("dataset_flags")
    if not isinstance(flags, list) or not isinstance(dataset, str):
        return None
    return extract_command(shlex.join(map(str, flags)), dataset, file.parent.parent)


def _report(file: Path, report: Report) -> dict[str, object]:
    damage = [
        {
            "file": str(d.file),
            "table": d.table,
            "rows": [d.first, d.last],
            "posts": [d.first_id, d.last_id],
        }
        for d in report.damage
    ]
    return {"file": str(file), "ok": report.ok, "rows": report.rows, "damage": damage, "errors": report.sentences}


def _info(info: object) -> dict[str, object]:
    from dataclasses import asdict

    content = asdict(info)  # type: ignore[call-overload]
    return {**content, "path": str(content["path"])}
