"""`crisis demo`: both stages on the embedded sample, in about a minute, with nothing downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli import options as o

TASKS = ("informative", "humanitarian")
SYSTEMS = (
    ("text only", "logistic", ("text",)),
    ("image only", "logistic", ("image",)),
    ("text only", "mlp", ("text",)),
    ("image only", "mlp", ("image",)),
    ("fusion", "logistic", ("image", "text")),
    ("fusion", "concat", ("image", "text")),
    ("fusion", "cross_attention", ("image", "text")),
    ("fusion", "guided_ca", ("image", "text")),
)


def demo(
    artifacts: Annotated[Path, typer.Option(help="The folder for the sample, the cache and the runs.")] = Path(
        "artifacts"
    ),
    posts: Annotated[int, typer.Option(min=100, help="How many posts to draw.")] = 1200,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds per head.")] = 3,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw the sample corpus, extract weights-free features, train heads, print who wins."""
    import time

    from classifiers import HeadSpec
    from features import CARDS, load
    from pipeline.datasets.crisismmd import read_posts
    from pipeline.extraction import extract as stage_one
    from pipeline.log import say, set_quiet
    from pipeline.protocols.choose import choose_protocol
    from pipeline.runs import fit as stage_two
    from pipeline.runs.material import load_material
    from pipeline.runs.sources import choose_sources
    from pipeline.sample import make_sample

    set_quiet(quiet)
    started = time.monotonic()
    folder = artifacts / ("sample" if posts == 1200 else f"sample-{posts}")
    say(f"Stage one: {posts:,} drawn posts in {folder}, model classic")
    make_sample(folder, posts=posts)
    dataset = read_posts(folder, folder.name)
    cache = artifacts / "cache"
    card = CARDS["classic"]
    extracted = stage_one.extract(dataset, card, load(card), cache, stage_one.Options(), o.command_line())
    if not json:
        _print_stage_one(extracted)
    results = []
    for task in TASKS:
        protocol = choose_protocol(dataset, task=task)
        say(f"Stage two: task {task}, {len(SYSTEMS)} systems, {seeds} seeds each")
        for kind, head, modalities in SYSTEMS:
            image, text = ("classic" if modality in modalities else None for modality in ("image", "text"))
            sources = choose_sources(dataset, cache, head, image=image, text=text)
            material = load_material(dataset, [protocol], sources)
            run = stage_two.fit_head(material, protocol, HeadSpec(head), range(seeds), artifacts / "runs")
            results.append({"task": task, "system": kind, "head": head, **run.as_json()})
    seconds = time.monotonic() - started
    if json:
        o.print_json({"extract": extracted.as_json(), "results": results, "seconds": round(seconds, 3)})
    else:
        _print_results(results, seeds)
        o.print_line(f"\n{len(results) * seeds} heads trained; {seconds:.0f} s in all; runs in {artifacts / 'runs'}")


def _print_stage_one(extracted: Any) -> None:
    from pipeline.cli.extract import print_result

    if extracted.reused == extracted.rows:
        o.print_line(f"the cache was there already: all {extracted.reused:,} posts reused, nothing encoded")
    print_result(extracted)


def _print_results(results: list[dict[str, Any]], seeds: int) -> None:
    from pipeline.cli.fit import mean_sd

    rows = []
    for kind, head, modalities in SYSTEMS:
        found = [r for r in results if r["head"] == head and tuple(r["views"]) == modalities]
        rows.append([kind, head, *(mean_sd(r["test"]["macro_f1"]) for r in found)])
    majority = [next(r for r in results if r["task"] == task)["test"]["majority_macro_f1"] for task in TASKS]
    rows.append(["baseline", "majority", *(f"{value * 100:.2f}" for value in majority)])
    o.print_line(
        f"\ntest macro-F1 in percent, mean ± sd over {seeds} seeds (official agreed-label split of the sample)"
    )
    o.print_table(["system", "head", *TASKS], rows)
    for task in TASKS:
        held = [r for r in results if r["task"] == task]
        best = {
            kind: max(r["test"]["macro_f1"]["mean"] for r in held if (r["system"] == "fusion") == (kind == "fusion"))
            for kind in ("fusion", "one modality")
        }
        gain = (best["fusion"] - best["one modality"]) * 100
        o.print_line(f"{task}: the best fusion head is {gain:+.1f} points against the best single modality")
