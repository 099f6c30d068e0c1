"""`crisis data ls|make|stats`: the datasets there are, the sample corpus, and what a dataset holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import DatasetFlags
from pipeline.log import warn


def make(
    output: Annotated[Path, typer.Option(help="The folder to draw into; new, or the same sample.")],
    posts: Annotated[int, typer.Option(min=20, help="How many posts.")] = 1200,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another corpus.")] = 0,
    json: o.Json = False,
) -> None:
    """Draw a corpus of CrisisMMD's shape: invented events, rendered photos, templated tweets, splits."""
    from pipeline.sample import make_sample

    summary = make_sample(output, posts=posts, seed=seed)
    if json:
        o.print_json(
            {"output": str(output.resolve()), "posts": summary.posts, "seed": seed, "damaged": dict(summary.damaged)}
        )
        return
    o.print_line(f"{output.resolve()}: {summary.posts:,} posts; damaged on purpose:")
    for post, what in summary.damaged.items():
        o.print_line(f"  {post}: {what}")


def ls(json: o.Json = False) -> None:
    """List the datasets, ours and those that installed packages bring."""
    from pipeline.datasets import DATASETS

    listed = dict(DATASETS)
    for problem in DATASETS.problems:
        warn(problem)
    if json:
        o.print_json({name: {"summary": one.summary, "needs_data": one.needs_data} for name, one in listed.items()})
        return
    o.print_table(["dataset", "what it is"], [[name, one.summary] for name, one in listed.items()])


def stats(
    source: DatasetFlags,
    cache: o.Cache = o.CACHE,
    json: o.Json = False,
) -> None:
    """Count posts, labels per modality, agreement of text and image labels, and splits."""
    from pipeline.datasets.stats import dataset_stats

    found = dataset_stats(source.open(cache))
    if json:
        o.print_json(found)
    else:
        _print_stats(found)


def _print_stats(found: dict[str, Any]) -> None:
    o.print_line(f"{found['posts']:,} posts in {found['groups']:,} groups (tweets)")
    for event, count in found["events"].items():
        o.print_line(f"  {event}: {count:,}")
    for task, by_modality in found["labels"].items():
        o.print_line(f"\n{task}")
        classes = sorted({name for counts in by_modality.values() for name in counts})
        rows = [[name, *(f"{counts.get(name, 0):,}" for counts in by_modality.values())] for name in classes]
        o.print_table(["class", *by_modality], rows)
    for task, by_event in found["agreement"].items():
        o.print_line(f"\n{task}: do text and image labels agree?")
        rows = [[e, f"{c['concordant']:,}", f"{c['discordant']:,}"] for e, c in by_event.items()]
        o.print_table(["event", "concordant", "discordant"], rows)
    for split_set, by_task in found["splits"].items():
        o.print_line(f"\nsplit set {split_set}")
        rows = [
            [task, *(f"{sum(by_split[split].values()):,}" for split in by_split)] for task, by_split in by_task.items()
        ]
        header = ["task", *next(iter(by_task.values()), {})]
        o.print_table(header, rows)
