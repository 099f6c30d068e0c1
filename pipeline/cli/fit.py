"""`crisis fit-head`: stage two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.cli import options as o
from pipeline.cli.balance import BalanceFlags
from pipeline.cli.groups import DatasetFlags, ProtocolFlags, SeedFlags, SourceFlags
from pipeline.cli.words import named

if TYPE_CHECKING:
    from pipeline.runs.run import Run


def fit_head(
    views: SourceFlags,
    protocol: ProtocolFlags,
    seeds: SeedFlags,
    source: DatasetFlags,
    balancing: BalanceFlags,
    head: Annotated[str, named("classifiers:HEADS", help="The head; `crisis heads` lists them.")] = "guided_ca",
    task: o.Task = None,
    preset: o.Preset = "fast",
    workers: o.Workers = None,
    settings: o.Settings = None,
    synthetic: o.Synthetic = None,
    cache: o.Cache = o.CACHE,
    output: o.Output = o.RUNS,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a head on cached features over several seeds; print and keep how good it is."""
    from classifiers import HeadSpec
    from pipeline.log import say, set_quiet, warn
    from pipeline.runs import fit as stage
    from pipeline.runs.material import load_material

    set_quiet(quiet)
    given = o.parameters(preset, settings)
    HeadSpec(head, balancing.rest(given)).split()
    posts = source.open(cache, synthetic)
    protocol.check(posts, task)
    sources = views.choose(posts, cache, head)
    chosen = protocol.choose(posts, task, {one.modality for one in sources})
    balance, params = balancing.choose(given, chosen.task)
    whose = "" if chosen.target == "pair" else f", labels of the {chosen.target}"
    say(f"Task: {chosen.task.name} ({len(chosen.task.classes)} classes{whose}); split: {chosen.split}")
    material = load_material(posts, [chosen], sources, views.visibility())
    spec = HeadSpec(head, params, balance)
    result = stage.fit_head(material, chosen, spec, seeds.numbers(), output, workers=workers)
    for sentence in result.warnings():
        warn(sentence)
    if json:
        o.print_json(result.as_json())
    else:
        print_result(result)


def mean_sd(metric: Mapping[str, Any]) -> str:
    """ "84.61 ± 0.20": mean and standard deviation over seeds, in percent; the mean alone where nothing varied."""
    spread = f" ± {metric['sd'] * 100:.2f}" if metric["sd"] else ""
    return f"{metric['mean'] * 100:.2f}{spread}"


def _percent(share: float | None) -> str:
    return "100 %" if share is None else f"{share:g} %"


def print_result(result: Run) -> None:
    config = result.config
    balanced = "" if config.balance_label == "none" else f", balance {config.balance_label}"
    o.print_line(f"{config.head} on {' + '.join(config.views.values())}, preset {config.preset}{balanced}")
    if config.eval_setting or config.mix_share is not None:
        o.print_line(f"evaluation setting {config.eval_setting or 'all views'}, mix share {_percent(config.mix_share)}")
    whose = "" if config.target == "pair" else f", labels of the {config.target}"
    asked = f"task {config.task}{whose}, setting {config.setting}, split {config.split}"
    o.print_line(f"{asked}, {len(config.seeds)} seeds")
    rows = [
        [
            part,
            f"{found['rows']:,}",
            *(mean_sd(found[metric]) for metric in ("accuracy", "macro_f1", "weighted_f1")),
            f"{found['majority_accuracy'] * 100:.2f}",
            f"{found['majority_macro_f1'] * 100:.2f}",
        ]
        for part, found in result.summary.items()
    ]
    header = ["part", "posts", "accuracy", "macro-F1", "weighted F1", "majority accuracy", "majority macro-F1"]
    o.print_table(header, rows)
    if "events" in result.summary["test"]:
        _print_events(result.summary["test"]["events"])
    o.print_line(f"run: {result.folder}")


def _print_events(events: dict[str, Any]) -> None:
    o.print_line("\nheld out, one event at a time (macro-F1 within the event):")
    rows = [
        [event, f"{found['rows']:,}", mean_sd(found["macro_f1"]), f"{found['majority_macro_f1'] * 100:.2f}"]
        for event, found in events.items()
    ]
    count = len(events)
    ours = sum(found["macro_f1"]["mean"] for found in events.values()) / count
    base = sum(found["majority_macro_f1"] for found in events.values()) / count
    rows.append(["mean over events", "", f"{ours * 100:.2f}", f"{base * 100:.2f}"])
    o.print_table(["event", "posts", "macro-F1", "majority macro-F1"], rows)
