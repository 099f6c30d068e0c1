"""`crisis fuse`: decision fusion of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.words import one_of
from pipeline.errors import UsageError


def fuse(
    runs: Annotated[
        list[Path], typer.Argument(help="Two or more run folders, such as a text and an image run; one with --members.")
    ],
    rule: Annotated[
        str, one_of("classifiers.decision:RULES", help="mean (also called score fusion), max, or, and.")
    ] = "mean",
    positive: Annotated[
        str | None, typer.Option(help="For or/and: the positive class; informative in that task.")
    ] = None,
    members: Annotated[
        int | None, typer.Option(help="Of one run: average every N seeds, which makes N times fewer ensembles.")
    ] = None,
    output: o.Output = o.RUNS,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Put the stored predictions of runs together by a rule; nothing is trained. The outcome is a run itself."""
    from pipeline.cli.fit import print_result
    from pipeline.log import set_quiet, warn
    from pipeline.runs.fuse import fuse_runs, fuse_seeds
    from pipeline.runs.run import Run

    set_quiet(quiet)
    if members is None:
        result = fuse_runs([Run.open(folder) for folder in runs], rule, positive, output)
    elif len(runs) > 1 or rule != "mean":
        raise UsageError("--members averages the seeds of one run; give one run folder and no other rule.")
    else:
        result = fuse_seeds(Run.open(runs[0]), members, output)
    for sentence in result.warnings():
        warn(sentence)
    if json:
        o.print_json(result.as_json())
    else:
        print_result(result)
