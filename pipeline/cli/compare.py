"""`crisis compare`: any finished runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.words import one_of


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Two or more run folders, of one task: fit-head, sweep, fuse, zero-shot or table."),
    ],
    metric: Annotated[
        str, one_of("pipeline.cli.sweep:METRICS", help="What decides on dev: macro_f1, weighted_f1 or accuracy.")
    ] = "macro_f1",
    on_common: Annotated[
        bool, typer.Option("--on-common", help="Where only some posts are in all of the runs, compare them on these.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Put runs of different commands into one table, with the intervals and tests of the leaderboard of a sweep.

    They must know their common posts under the same labels. Where only some posts are in all of the runs, --on-common
    compares them on these, all figures being those of the common posts.
    """
    from pipeline.cli.sweep import print_leaderboard
    from pipeline.log import set_quiet, warn
    from pipeline.runs import compare as stage
    from pipeline.runs.run import Run

    set_quiet(quiet)
    found = stage.compare([Run.open(folder) for folder in runs], metric, on_common)
    for note in found.notes:
        warn(note)
    if json:
        o.print_json(
            {"posts": found.posts, "of": found.every, "notes": list(found.notes), "leaderboard": list(found.rows)}
        )
        return
    print_leaderboard(list(found.rows), list(found.runs), apart=True)
    if found.posts < found.every:
        o.print_line(f"over the {found.posts:,} of {found.every:,} dev and test posts that are in all of the runs")
