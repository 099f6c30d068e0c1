"""`crisis sweep`: many heads and tasks in one command, over views that are read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pipeline.cli import options as o
from pipeline.cli.balance import BalanceLists
from pipeline.cli.fit import mean_sd
from pipeline.cli.groups import DatasetFlags, ProtocolFlags, SeedFlags, SourceFlags
from pipeline.cli.words import named, one_of

if TYPE_CHECKING:
    from classifiers import Balance
    from pipeline.protocols.choose import Protocol
    from pipeline.runs.run import Run
    from pipeline.runs.sources import Source

METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "weighted_f1": "weighted F1"}
OVERWRITE = ("only-missing", "always")


def sweep(
    views: SourceFlags,
    protocol: ProtocolFlags,
    seeds: SeedFlags,
    source: DatasetFlags,
    balancing: BalanceLists,
    heads: Annotated[
        str | None, named("classifiers:HEADS", help="Heads, as a,b; all that fit the views if left out.")
    ] = None,
    tasks: Annotated[
        str | None, named("pipeline.datasets.tasks:TASKS", help="Tasks, as x,y; the dataset's usual one if left out.")
    ] = None,
    preset: o.Preset = "fast",
    workers: o.Workers = None,
    settings: o.Settings = None,
    synthetic: o.Synthetic = None,
    cache: o.Cache = o.CACHE,
    output: o.Output = o.RUNS,
    overwrite: Annotated[
        str,
        one_of(
            "pipeline.cli.sweep:OVERWRITE",
            help="only-missing: go on with what is not in the output folder yet; always: train all anew.",
            rich_help_panel="Running",
        ),
    ] = "only-missing",
    metric: Annotated[
        str, one_of("pipeline.cli.sweep:METRICS", help="What decides on dev: macro_f1, weighted_f1 or accuracy.")
    ] = "macro_f1",
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train every head on every task over several seeds; each run is written as soon as it is done.

    Interrupted, the same command goes on with what is missing: a run that is there already, equal in its whole
    configuration and of the same labels, folds and vectors, is not trained again. At the end stands a leaderboard,
    also written as CSV and JSON.
    """
    from classifiers import HeadError, HeadSpec
    from pipeline.errors import CrisisError
    from pipeline.interrupt import LostInterrupts
    from pipeline.log import say, set_quiet, warn
    from pipeline.runs import fit as stage
    from pipeline.runs.leaderboard import leaderboard, write_leaderboard
    from pipeline.runs.material import load_material

    set_quiet(quiet)
    balances = balancing.choose()
    posts = source.open(cache, synthetic)
    asked: list[str | None] = [*_listed(tasks)] or [None]
    for task in asked:
        protocol.check(posts, task)
    sources = views.choose(posts, cache, "logistic")
    modalities = {one.modality for one in sources}
    protocols = _distinct([protocol.choose(posts, task, modalities) for task in asked])
    params = o.parameters(preset, settings)
    chosen = list(dict.fromkeys(_listed(heads))) or _applicable(sources, params, balances)
    _check(chosen, sources, params)
    say(
        f"{len(chosen)} heads x {len(balances)} balances x {len(protocols)} tasks x {seeds.seeds} seeds on "
        f"{' + '.join(s.label for s in sources)}"
    )
    specs = [
        HeadSpec(head, params, balance)
        for head in chosen
        for balance in balances
        if len(balances) == 1 or stage.can_balance(head, balance, len(sources))
    ]
    done: list[Run] = []
    said: set[str] = set()
    failed = 0
    try:
        material = load_material(posts, protocols, sources, views.visibility())
        keep = overwrite == "only-missing"
        with LostInterrupts() as interrupts:
            for found in stage.fit_matrix(
                material, protocols, specs, seeds.numbers(), output, workers=workers, keep=keep
            ):
                if isinstance(found, HeadError):
                    failed += 1
                    warn(str(found))
                else:
                    done.append(found)
                    config = found.config
                    for sentence in found.warnings():
                        if (told := f"{config.task}: {sentence}") not in said:
                            said.add(told)
                            warn(told)
                    say(f"{config.task}: {config.head}, balance {config.balance_label}, done ({len(done)})")
                interrupts.raise_lost()
    except KeyboardInterrupt:
        warn(f"{len(done)} runs are whole and written; the same command goes on with the others")
        raise
    rows = leaderboard(done, metric) if done else []
    if json:
        runs = [run.as_json() for run in done]
        o.print_json({"preset": preset, "failed": failed, "leaderboard": rows, "runs": runs})
    if rows:
        path = write_leaderboard(output, rows)
        if not json:
            print_leaderboard(rows, done)
            o.print_line(f"leaderboard: {path}")
    if failed:
        raise CrisisError(f"{failed} of the runs could not be trained; see the notes above.")


def print_leaderboard(rows: list[dict[str, Any]], done: list[Run], apart: bool = False) -> None:
    """One row per run, the best on dev of each task first: what is chosen is chosen on dev. Runs of different commands
    are told apart by their views and folders.
    """
    words = METRICS[rows[0]["metric"]]
    by_folder = {str(run.folder): run for run in done}
    others = [metric for metric in METRICS if metric != rows[0]["metric"]]
    shown = []
    for row in rows:
        test = by_folder[row["run"]].summary["test"]
        shown.append(
            [
                row["task"],
                row["head"],
                row["balance"],
                *([row["views"]] if apart else []),
                mean_sd({"mean": row["dev"], "sd": row["dev_sd"]}),
                mean_sd({"mean": row["test"], "sd": row["test_sd"]}),
                f"{row['test_low'] * 100:.1f}-{row['test_high'] * 100:.1f}",
                f"{row['majority'] * 100:.2f}",
                "-" if row["rank"] == 1 else f"{row['gap'] * 100:+.2f}{'*' if row['differs'] else ''}",
                _p(row["p_posts_holm"]),
                _p(row["p_seeds_holm"]),
                *(mean_sd(test[metric]) for metric in others),
                *([by_folder[row["run"]].folder.name] if apart else []),
            ]
        )
    header = [
        "task",
        "head",
        "balance",
        *(["views"] if apart else []),
        f"dev {words}",
        f"test {words}",
        "95 %",
        "majority",
        "to the best",
        "p (posts)",
        "p (seeds)",
    ]
    header += [*(f"test {METRICS[metric]}" for metric in others), *(["run"] if apart else [])]
    o.print_table(header, shown)
    o.print_line(
        "the best is the best on dev; 95 %: bootstrap over posts; majority: train's commonest class for all; p: against"
        " the best on test, Holm-corrected, paired (randomisation over posts; t over seeds, corrected where each draws"
        " its own test posts); *: both below 0.05"
    )


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _listed(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def _distinct(protocols: list[Protocol]) -> list[Protocol]:
    """One protocol of each kind: two names may be one task under the setting asked for."""
    from pipeline.log import say

    kept: dict[tuple[str, str, str], Protocol] = {}
    for protocol in protocols:
        key = (protocol.task.name, protocol.setting, protocol.split)
        if key in kept:
            say(f"The task {protocol.task.name} is asked for twice; it is trained once.")
        kept.setdefault(key, protocol)
    return list(kept.values())


def _applicable(sources: list[Source], params: dict[str, Any], balances: list[Balance]) -> list[str]:
    """The heads that belong in a sweep, take as many views as there are and one of the balances, know the preset and
    the settings.
    """
    from classifiers import HEADS, HeadError, HeadSpec
    from pipeline.log import say
    from pipeline.runs.fit import can_balance

    chosen = []
    for card in HEADS.values():
        least, greatest = card.views
        if not card.swept or len(sources) < least or (greatest is not None and len(sources) > greatest):
            continue
        try:
            HeadSpec(card.name, params).split()
        except HeadError as error:
            say(str(error))
            continue
        if not any(can_balance(card.name, balance, len(sources)) for balance in balances):
            continue
        chosen.append(card.name)
    return chosen


def _check(heads: list[str], sources: list[Source], params: dict[str, Any]) -> None:
    """Refuse before anything is trained what no run could use."""
    from classifiers import HeadSpec
    from pipeline.errors import UsageError

    if not heads:
        raise UsageError("No head takes these views with this preset, these settings and balances; the notes say why.")
    for head in heads:
        HeadSpec(head, params).check([source.label for source in sources])
