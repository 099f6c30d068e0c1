"""What a reader of a rebuilt table must know: how what was done here differs from what its source did.

It comes from the configurations of the runs and from what is declared of the source; nothing is written for one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.runs.run import Run, counted
from pipeline.tables.build import Filled


def footnotes(filled: Filled) -> list[str]:
    """Sentences without a full stop, the most important first."""
    source = filled.table.source
    runs = list({run.folder: run for cell in filled.cells for run in cell.runs}.values())
    return [
        f"published: {source.paper}, {source.number}, as printed there; a figure of other systems under another "
        "protocol, not a target",
        *(_of_runs(filled, runs) if runs else ()),
    ]


def _of_runs(filled: Filled, runs: list[Run]) -> Iterator[str]:
    source = filled.table.source
    trained = [run for run in runs if run.config.fused is None]
    views = {label: name for run in trained for name, label in run.config.views.items()}
    theirs = f" ({source.paper}: {source.encoders})" if source.encoders else ""
    yield f"encoders are frozen{theirs}: {_listed(sorted(views))}"
    for modality, model in filled.wishes.models.items():
        named = {encoder.title for kind, encoder in filled.table.encoders if (kind == "image") == (modality == "image")}
        if named:
            yield f"{modality}: {model} stands in the place of {_listed(sorted(named))} (--{modality})"
    if source.photos and any(not name.startswith(("text", "caption")) for name in views.values()):
        yield f"a photo has one view, the same in train and test ({source.paper}: {source.photos})"
    counts = sorted({len(run.config.seeds) for run in runs})
    over = f"over {source.seeds} runs" if source.seeds > 1 else "one run" if source.seeds else "runs not told"
    yield (
        f"ours: mean ± standard deviation over {_listed(map(str, counts))} seeds, in percent; one without a deviation "
        f"is the same for every seed ({source.paper}: {over})"
    )
    yield f"splits: {_listed(dict.fromkeys(f'{run.config.setting}, {run.config.split}' for run in trained))}"
    targets: dict[str, list[str]] = {}
    for run in trained:
        targets.setdefault(run.config.target, []).append(" + ".join(run.config.views))
    said = (f"the {target}'s for {_listed(dict.fromkeys(names))}" for target, names in targets.items())
    yield f"labels: {'; '.join(said)}" + (f" ({source.paper}: {source.labels})" if source.labels else "")
    presets = {run.config.preset: run.config.head for run in trained}
    yield f"training: preset {_listed(presets)}" + _settings(filled)
    balances = dict.fromkeys(
        f"{run.config.balance_label} ({', '.join(f'{name} {value:g}' for name, value in params.items())})"
        for run in trained
        if (params := run.config.balance.get("params"))
    )
    if balances:
        yield f"balancing: {_listed(balances)}" + (f" ({source.paper}: {source.balancing})" if source.balancing else "")
    left_out = dict.fromkeys(counted(run.config.left_out) for run in trained if run.config.left_out)
    if left_out:
        yield f"posts left out: {'; or '.join(left_out)}"
    yield from dict.fromkeys(f"{run.config.task}: {note}" for run in trained for note in run.config.notes)


def _settings(filled: Filled) -> str:
    said = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in filled.wishes.params.items()
    ]
    return f", --set {' '.join(said)}" if said else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
