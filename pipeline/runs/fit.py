"""Stage two: train heads on loaded views over several seeds, and write a run of each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from classifiers import FittedHead, HeadError, HeadSpec, Job, Outcome, fit_each, head_card
from classifiers.balance import Balance, check_balance
from classifiers.metrics import majority_label
from pipeline.log import say
from pipeline.protocols.choose import Protocol
from pipeline.runs.config import RunConfig
from pipeline.runs.division import Division, Fit, divide, trained_config
from pipeline.runs.evaluation import Evaluation, Prediction
from pipeline.runs.material import Material
from pipeline.runs.run import PARTS, Run


def fit_head(
    material: Material,
    protocol: Protocol,
    spec: HeadSpec,
    seeds: Sequence[int],
    runs: Path,
    *,
    workers: int | None = None,
) -> Run:
    """Train the head of `spec` once per seed and fold, evaluate on dev and test, and write the run into `runs`.

    Posts whose features are not usable are left out of training and evaluation, and counted. Raises `HeadError` where
    the head cannot be trained, `CrisisError` where no usable post is left in a part.
    """
    (found,) = fit_matrix(material, [protocol], [spec], seeds, runs, workers=workers)
    if isinstance(found, HeadError):
        raise found
    return found


def fit_matrix(
    material: Material,
    protocols: Sequence[Protocol],
    specs: Sequence[HeadSpec],
    seeds: Sequence[int],
    runs: Path,
    *,
    workers: int | None = None,
    keep: bool = False,
) -> Iterator[Run | HeadError]:
    """Every spec on every protocol, each as `fit_head`, over views that are read once.

    Gives each run as soon as it is whole and written, so that Ctrl-C loses only what is under way; a head that cannot
    be trained gives its error, and the others go on. With `keep`, a run that is in `runs` already, whole and with a
    configuration that is equal in everything, is given from there.
    """
    divisions = [divide(material, protocol, seeds) for protocol in protocols]
    labels = {str(index): division.labels for index, division in enumerate(divisions)}
    jobs: list[Job] = []
    owners: list[tuple[_Cell, int]] = []
    for (name, division), spec in itertools.product(zip(labels, divisions, strict=True), specs):
        cell = _Cell(division, spec, trained_config(division, spec))
        if keep and cell.config is not None and (run := Run.find(runs, cell.config)) is not None:
            yield run
            continue
        for number, fit in enumerate(division.fits):
            jobs.append(_job(cell, fit, name))
            owners.append((cell, number))
    for index, outcome in fit_each(jobs, material.visible.arrays, labels, workers):
        cell, number = owners[index]
        cell.outcomes[number] = outcome
        if len(cell.outcomes) == len(cell.division.fits):
            yield _finished(cell, runs)
            cell.outcomes.clear()


def can_balance(head: str, balance: Balance, views: int) -> bool:
    """Whether `head` over that many views can be trained so; why not goes to standard error."""
    try:
        check_balance(balance, head_card(head), views)
    except HeadError as error:
        say(str(error))
        return False
    return True


@dataclass
class _Cell:
    """One spec on one division: its configuration, and the outcomes of its fits so far, by their number.

    There is no configuration for a head whose parameters are wrong; its fits say why.
    """

    division: Division
    spec: HeadSpec
    config: RunConfig | None
    outcomes: dict[int, Outcome | HeadError] = field(default_factory=dict)


def _job(cell: _Cell, fit: Fit, labels: str) -> Job:
    return Job(
        cell.spec,
        train_rows=fit.trained,
        dev_rows=fit.asked["dev"],
        n_classes=len(cell.division.protocol.task.classes),
        seed=fit.seed,
        labels=labels,
        answer=tuple(fit.asked[part] for part in PARTS),
        discordant=cell.division.discordant,
    )


def _finished(cell: _Cell, runs: Path) -> Run | HeadError:
    """The cell's run, evaluated and written; the first error of its fits when there is one."""
    material, protocol = cell.division.material, cell.division.protocol
    labels = protocol.labels[material.rows]
    predictions: list[Prediction] = []
    fitted: list[tuple[str, FittedHead]] = []
    encoders = {name: origin.to_json() for name, origin in material.views.origins.items()}
    for number, fit in enumerate(cell.division.fits):
        outcome = cell.outcomes[number]
        if isinstance(outcome, HeadError):
            said = _by_name(str(outcome), protocol.task.classes)
            return HeadError(f"{protocol.task.name}, {cell.spec.called}: {said}")
        fitted.append((fit.name, replace(outcome.fitted, encoders=encoders)))
        majority = majority_label(labels[fit.rows["train"]])
        for part, probabilities in zip(PARTS, outcome.answers, strict=True):
            rows = fit.rows[part]
            predictions.append(
                Prediction(fit.seed, fit.fold, part, material.rows[rows], labels[rows], probabilities, majority)
            )
    assert cell.config is not None
    return Run.write(runs, cell.config, Evaluation(material.posts, protocol, predictions), fitted)


def _by_name(sentence: str, classes: Sequence[str]) -> str:
    """A head's sentence with its labels, which are numbers to it, under the names of the classes."""
    return re.sub(r"\bthe label (\d+)", lambda found: f"the class '{classes[int(found[1])]}'", sentence)
