"""`crisis table`: the tables of the sources, rebuilt from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import DatasetFlags, FirstSeed
from pipeline.cli.words import argument, named, one_of
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.datasets.posts import Posts
    from pipeline.tables.build import Filled

FORMATS = ("text", "markdown", "latex", "csv", "json")


def table(
    source: DatasetFlags,
    paper_table: Annotated[
        str | None, argument("pipeline.tables.registry:TABLES", help="The table, such as farah-3.3.")
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Show all tables, what each needs, and what of it is in the cache.")
    ] = False,
    format: Annotated[
        str, one_of("pipeline.cli.table:FORMATS", help="text, markdown, latex (booktabs), csv or json.")
    ] = "text",
    image: Annotated[
        str | None,
        named(
            "features:CARDS",
            help="An image model in the place of those that the table names.",
            rich_help_panel="Views",
        ),
    ] = None,
    text: Annotated[
        str | None,
        named("features:CARDS", help="A text model in the place of those that it names.", rich_help_panel="Views"),
    ] = None,
    preset: o.Preset = "fast",
    settings: o.Settings = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="How many seeds; the table's number if left out.", rich_help_panel="Seeds"
        ),
    ] = None,
    seed: FirstSeed = 0,
    workers: o.Workers = None,
    cache: o.Cache = o.CACHE,
    output: o.Output = o.RUNS,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Rebuild a table of a paper from the cache: our figures with their deviations, the published ones beside them.

    Runs are kept in the output folder, so that the same command prints the table at once and a changed one trains only
    what changed. What is not in the cache is named, with the commands that make it, and so is what this project cannot
    do. Exit code 3: done, but some rows that are ours have no figures (the notes say why).
    """
    from pipeline.log import say, set_quiet, warn
    from pipeline.tables.build import build
    from pipeline.tables.registry import table_named
    from pipeline.tables.training import Wishes

    set_quiet(quiet)
    if list_all == (paper_table is not None):
        raise UsageError("Name one table, or give --list, which shows them all.")
    form = "json" if json else format
    wanted = table_named(paper_table) if paper_table is not None else None
    posts = source.open(cache)
    models = {modality: model for modality, model in (("image", image), ("text", text)) if model is not None}
    if wanted is None:
        _list(posts, cache, models, form)
        return
    params = o.parameters(preset, settings)
    del params["preset"]
    numbers = range(seed, seed + (seeds or wanted.seeds))
    say(f"{wanted.source.paper}, {wanted.source.number}: {wanted.title}; {len(numbers)} seeds")
    filled = build(wanted, posts, cache, Wishes(numbers, output, models, preset, params, workers))
    say(f"{filled.trained} runs trained")
    for command in filled.commands:
        warn(f"missing in the cache; make it with: {command}")
    if filled.commands:
        say("models that are in the cache can stand in the place of others: --image, --text")
    _print(filled, form)
    if not filled.whole:
        raise typer.Exit(3)


def _print(filled: Filled, form: str) -> None:
    from pipeline.tables import show
    from pipeline.tables.notes import footnotes

    if form == "json":
        o.print_json(show.as_json(filled))
    elif form == "text":
        o.print_line(filled.table.title)
        o.print_table(show.header(filled), show.lines(filled))
        for note in footnotes(filled):
            o.print_line(f"- {note}")
    else:
        made = {"markdown": show.as_markdown, "latex": show.as_latex, "csv": show.as_csv}
        o.print_line(made[form](filled))


def _list(posts: Posts, cache: Path, models: dict[str, str], form: str) -> None:
    """Every table with its rows, and which of the encoders that it needs are in the cache."""
    from pipeline.tables.needs import needs_of
    from pipeline.tables.registry import TABLES

    if form not in ("text", "json"):
        raise UsageError("--list is shown as text or json.")
    needs = [needs_of(one, posts, cache, models) for one in TABLES.values()]
    if form == "json":
        o.print_json({"dataset": posts.name, "cache": str(cache), "tables": needs})
        return
    rows: list[list[str]] = [
        [
            str(need["name"]),
            f"{need['source']}: {need['title']}",
            f"{need['ours']} of {need['rows']}",
            _said(need["there"]),
            _said(dict.fromkeys(need["missing"], "")),
        ]
        for need in needs
    ]
    o.print_table(["table", "what it is", "rows that are ours", f"in the cache of {posts.name}", "missing"], rows)
    o.print_line("`crisis table NAME` names the commands that make what is missing.")


def _said(encoders: dict[str, Any]) -> str:
    return ", ".join(f"{name} ({file})" if file else name for name, file in encoders.items()) or "-"
