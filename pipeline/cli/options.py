"""Flags that several commands share, under the ecosystem's names."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.output import print_facts as print_facts
from pipeline.cli.output import print_json as print_json
from pipeline.cli.output import print_line as print_line
from pipeline.cli.output import print_table as print_table
from pipeline.cli.words import complete_parameter, named, one_of
from pipeline.errors import UsageError

Cache = Annotated[Path, typer.Option("--cache", help="The folder of the feature cache.", rich_help_panel="Output")]
Json = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on standard output.", rich_help_panel="Output")
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no notes on standard error.", rich_help_panel="Output"),
]
Preset = Annotated[
    str,
    one_of("classifiers.presets:PRESETS", "--preset", help="How to train: fast, or paper as the head's source did."),
]
Task = Annotated[
    str | None,
    named(
        "pipeline.datasets.tasks:TASKS",
        "--task",
        help="informative, humanitarian, humanitarian-abavisani, humanitarian-8, damage.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Fits at a time, one core each; all cores if left out.", rich_help_panel="Running"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A parameter of the head, its trainer or the balancer; may be repeated.",
        autocompletion=complete_parameter,
    ),
]
Synthetic = Annotated[
    Path | None,
    typer.Option(
        help="Posts of `crisis data synthesize`: this folder's join train, and only train.", rich_help_panel="Dataset"
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N posts.", rich_help_panel="Dataset")]
Output = Annotated[Path, typer.Option("--output", help="The folder that run folders go to.", rich_help_panel="Output")]

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
