"""`crisis analyse`: how the heads of a finished run use their modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli import options as o


def analyse(
    run: Annotated[Path, typer.Argument(help="The folder of a run with two or more views.")],
    alone: Annotated[
        list[Path] | None,
        typer.Option(help="The run of a model of one modality; give one per modality (else: the head's read-outs)."),
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="How many neighbours Sim^k compares.")] = 10,
    cache: o.Cache = o.CACHE,
    json: o.Json = False,
) -> None:
    """Which modality a fusion leans on: accuracy without each view, each view's read-out, d_util, Sim^k."""
    from pipeline.runs.analyse import analyse_run
    from pipeline.runs.run import Run

    found = analyse_run(Run.open(run), cache, [Run.open(folder) for folder in alone or ()], neighbours)
    if json:
        o.print_json(found)
    else:
        print_analysis(found)


def print_analysis(found: dict[str, Any]) -> None:
    """Tables over the views, in percent where they are shares."""
    from pipeline.cli.fit import mean_sd

    o.print_line(f"{found['head']}: {found['posts']:,} test posts, accuracy {mean_sd(found['accuracy'])}")
    rows = [
        [
            view,
            mean_sd(lost),
            mean_sd(found["read_outs"][view]) if "read_outs" in found else "-",
            mean_sd(found["similarity"][view]),
        ]
        for view, lost in found["lost"].items()
    ]
    o.print_table(["view", "lost without it", "accuracy of its read-out", f"Sim^{found['neighbours']}"], rows)
    if "d_util" in found:
        first, second = found["lost"]
        d_util = f"{found['d_util']['mean']:.3f} ± {found['d_util']['sd']:.3f}"
        o.print_line(f"d_util {d_util} (above 0: leans on {first}, below: on {second})")
    if found["one_right"]:
        o.print_line("\nposts that one modality alone is right about, all seeds together:")
        rows = [
            [view, f"{count['right']:,}", f"{count['wrong']:,}", _percent(count["share"])]
            for view, count in found["one_right"].items()
        ]
        o.print_table(["right alone", "fusion right", "fusion wrong", "fusion right, %"], rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
