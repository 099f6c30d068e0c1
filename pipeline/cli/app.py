"""The commands, what they are called, and the sections they stand in."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli import (
    analyse,
    audit,
    caches,
    compare,
    data,
    demo,
    download,
    extract,
    fit,
    fuse,
    listing,
    sweep,
    synthesize,
    table,
    zero_shot,
)
from pipeline.cli.commands import add, new_app

STAGE_ONE = "Stage one: encode posts, once"
STAGE_TWO = "Stage two: train heads, as often as you like"
RESULTS = "Results"
AROUND = "Look around"

app = new_app(
    "Frozen features of crisis posts (tweet + photo), cached once; light heads trained on them in seconds.",
    name="crisis",
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(version("crisis"))
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done; 1 failed; 2 wrong use; 3 done, but some rows were bad; 130 stopped by Ctrl-C.\n\n"
    "Errors are one sentence; --debug after any command shows the traceback. `crisis COMMAND -h` has the options."
)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


caching = new_app("Look into and look after the feature cache.")
add(caching, "ls", caches.ls)
add(caching, "info", caches.info)
add(caching, "verify", caches.verify)
add(caching, "salvage", caches.salvage)
add(caching, "seal", caches.seal)
add(caching, "merge", caches.merge)
add(caching, "drop", caches.drop)

datasets = new_app(
    "List datasets; draw the sample corpus; count a dataset; fetch photos; write synthetic posts for train."
)
add(datasets, "ls", data.ls)
add(datasets, "stats", data.stats)
add(datasets, "make", data.make)
add(datasets, "download", download.download)
add(datasets, "synthesize", synthesize.synthesize)

add(app, "extract", extract.extract, STAGE_ONE)
app.add_typer(caching, name="cache", rich_help_panel=STAGE_ONE)
add(app, "fit-head", fit.fit_head, STAGE_TWO)
add(app, "sweep", sweep.sweep, STAGE_TWO)
add(app, "zero-shot", zero_shot.zero_shot, STAGE_TWO)
add(app, "fuse", fuse.fuse, RESULTS)
add(app, "analyse", analyse.analyse, RESULTS)
add(app, "audit", audit.audit, RESULTS)
add(app, "compare", compare.compare, RESULTS)
add(app, "table", table.table, RESULTS)
add(app, "demo", demo.demo, AROUND)
app.add_typer(datasets, name="data", rich_help_panel=AROUND)
add(app, "models", listing.models, AROUND)
add(app, "heads", listing.heads, AROUND)
add(app, "balancers", listing.balancers, AROUND)
