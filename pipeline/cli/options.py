"""Flags that several commands share, under the ecosystem's names."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError

Cache = Annotated[Path, typer.Option("--cache", help="The folder of the feature cache.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on standard error.")]
Preset = Annotated[str, typer.Option(help="How to train: fast, or paper as the head's source did.")]
Task = Annotated[str | None, typer.Option(help="informative, humanitarian, humanitarian-002, humanitarian-8, damage.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Fits at a time, one core each; all cores if left out.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="A parameter: NAME=VALUE; may be repeated.")]
Synthetic = Annotated[
    Path | None, typer.Option(help="Posts of `crisis data synthesize`: this folder's join train, and only train.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N posts.")]
Output = Annotated[Path, typer.Option(help="The folder that run folders go to.")]

CACHE = Path("artifacts/cache")
RUNS = Path("artifacts/runs")


def command_line() -> str:
    """The command as it was typed, for a file's provenance."""
    return shlex.join(["crisis", *sys.argv[1:]])


def parameters(preset: str, settings: list[str] | None) -> dict[str, Any]:
    """What `--preset` and `--set` say, as `classifiers.fit` takes it; lists are written 0.1,1,10."""
    return {"preset": preset, **{name: value_of(text) for name, text in assigned(settings).items()}}


def assigned(settings: list[str] | None) -> dict[str, str]:
    """The texts behind NAME= of each `--set`; the last one of a name counts."""
    chosen: dict[str, str] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"--set takes NAME=VALUE, such as --set lr=0.001, but was given '{setting}'.")
        chosen[name.strip().replace("-", "_")] = value.strip()
    return chosen


def value_of(text: str) -> Any:
    """A number, several of them with commas between, or else the text itself."""
    if "," in text:
        return tuple(value_of(part) for part in text.split(",") if part)
    try:
        return float(text)
    except ValueError:
        return text.strip()


def print_json(content: dict[str, Any]) -> None:
    import json

    print(json.dumps(content, ensure_ascii=False))


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Columns aligned by width; all but the first column to the right when they hold numbers."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    numeric = [
        all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows) for column in range(len(header))
    ]
    for line in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        print("  ".join(cells).rstrip())
