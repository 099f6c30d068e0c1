"""Stage two: train a head on cached views over several seeds, and say how good it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import classifiers
from classifiers.balance import Balance, check_balance
from classifiers.metrics import majority_label
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.log import say
from pipeline.protocols.choose import Protocol
from pipeline.runs.config import RunConfig, called
from pipeline.runs.division import Division, Member, divide, run_config
from pipeline.runs.evaluation import Evaluation, Prediction
from pipeline.runs.run import PARTS, Run, fit_name
from pipeline.runs.showing import Showing, shown
from pipeline.runs.views import Source, default_models, find_sources, load_views

ALL_SHOWN = Showing()


def choose_sources(
    posts: Posts,
    cache: Path,
    head: str,
    *,
    model: str | None,
    image: str | None,
    text: str | None,
    caption: str | None = None,
    showing: Showing = ALL_SHOWN,
) -> list[Source]:
    """The views to train on: `--image`, `--text` and `--caption`, or `--model` for the first two, or what is cached.

    With one of them alone, only that modality is used. Raises `UsageError` where the head or the setting needs one
    that was not given.
    """
    declared = classifiers.head_card(head)
    if model is not None:
        from features import card

        modalities = card(model.partition(":")[0].partition("@")[0]).modalities
        image = image or (model if {"image", "joint"} & set(modalities) else None)
        text = text or (model if "text" in modalities else None)
    if image is None and text is None and caption is None and showing.eval_setting is None:
        chosen = default_models(posts, cache, ("image", "text"))
        image, text = chosen["image"], chosen["text"]
        say(f"Models: image {image}, text {text} (chosen from what is cached)")
    given = [m for m, spec in (("image", image), ("text", text), ("caption", caption)) if spec]
    showing.trained(given)
    sources = find_sources(posts, cache, image, text, caption)
    if len(sources) < declared.views[0]:
        raise UsageError(f"The head '{head}' needs an image and a text model; give --image and --text.")
    return sources


def fit_head(
    posts: Posts,
    protocol: Protocol,
    head: str,
    sources: Sequence[Source],
    seeds: Sequence[int],
    runs: Path,
    *,
    params: Mapping[str, Any] | None = None,
    balance: Balance | None = None,
    workers: int | None = None,
    showing: Showing = ALL_SHOWN,
) -> Run:
    """Train `head` once per seed and fold, evaluate on dev and test, and write the run folder.

    `params` are those of the head and its trainer, "preset" among them; `balance` is for the train posts. Posts whose
    features are not usable are left out of training and evaluation, and counted.
    """
    (cell,) = fit_matrix(
        posts,
        [protocol],
        [head],
        sources,
        seeds,
        runs,
        params=params,
        balances=[balance or Balance()],
        workers=workers,
        showing=showing,
    )
    if isinstance(cell, Exception):
        raise cell
    return cell


def fit_matrix(
    posts: Posts,
    protocols: Sequence[Protocol],
    heads: Sequence[str],
    sources: Sequence[Source],
    seeds: Sequence[int],
    runs: Path,
    *,
    params: Mapping[str, Any] | None = None,
    balances: Sequence[Balance] = (Balance(),),
    workers: int | None = None,
    keep: bool = False,
    showing: Showing = ALL_SHOWN,
) -> Iterator[Run | classifiers.HeadError]:
    """Every head on every protocol with every balance, each as `fit_head`, with the views read once for all.

    Gives each run as soon as it is whole and written, so that Ctrl-C loses only what is under way; a head
    that cannot be trained gives its error, and the others go on. `params` go to all heads. Of several `balances`, a
    head goes without those it cannot take. With `keep`, a run whose folder is in `runs` already, with a configuration
    that is equal in everything, is given from there.
    `showing` says which views are shown in training and in asking.
    """
    wanted = np.flatnonzero(np.any([protocol.labels >= 0 for protocol in protocols], axis=0))
    views = load_views(posts, sources, wanted)
    visible = shown(views.arrays, showing)
    labels = {str(index): np.tile(protocol.labels[wanted], visible.blocks) for index, protocol in enumerate(protocols)}
    divided = [
        divide(posts, protocol, str(index), seeds, sources, views, visible, wanted)
        for index, protocol in enumerate(protocols)
    ]
    jobs: list[classifiers.Job] = []
    owners: list[tuple[_Cell, int]] = []
    for own, head, balance in itertools.product(divided, heads, balances):
        if len(balances) > 1 and not takes(head, balance, len(sources)):
            continue
        config = run_config(posts, own, head, balance, sources, views, wanted, seeds, params or {}, showing)
        cell = _Cell(own, head, balance, config)
        if keep and config is not None and (run := Run.find(runs, config)) is not None:
            yield run
            continue
        for number, member in enumerate(own.members):
            jobs.append(_job(cell, member, params or {}))
            owners.append((cell, number))
    for index, outcome in classifiers.fit_each(jobs, visible.arrays, labels, workers):
        cell, number = owners[index]
        cell.outcomes[number] = outcome
        if len(cell.outcomes) == len(cell.division.members):
            yield _finished(posts, cell, wanted, runs)
            cell.outcomes.clear()


@dataclass
class _Cell:
    """One head on one protocol with one balance: its configuration, and the outcomes there are so far.

    There is no configuration for a head whose parameters are wrong; its fits say why.
    """

    division: Division
    head: str
    balance: Balance
    config: RunConfig | None
    outcomes: dict[int, Any] = field(default_factory=dict)


def takes(head: str, balance: Balance, views: int) -> bool:
    """Whether `head` over that many views can be trained so; why not goes to standard error."""
    try:
        check_balance(balance, classifiers.head_card(head), views)
    except classifiers.HeadError as error:
        say(str(error))
        return False
    return True


def _job(cell: _Cell, member: Member, params: Mapping[str, Any]) -> classifiers.Job:
    return classifiers.Job(
        cell.head,
        member.trained,
        member.asked["dev"],
        len(cell.division.protocol.task.classes),
        member.seed,
        params,
        labels=cell.division.labels,
        answer=tuple(member.asked[part] for part in PARTS),
        balance=cell.balance,
        discordant=cell.division.discordant,
    )


def _finished(posts: Posts, cell: _Cell, wanted: np.ndarray, runs: Path) -> Run | classifiers.HeadError:
    """The cell's run, evaluated and written; the first error of its fits when there is one."""
    protocol = cell.division.protocol
    labels = protocol.labels[wanted]
    predictions: list[Prediction] = []
    fitted: list[tuple[str, Any]] = []
    for number, member in enumerate(cell.division.members):
        outcome = cell.outcomes[number]
        if isinstance(outcome, classifiers.HeadError):
            return classifiers.HeadError(f"{protocol.task.name}, {called(cell.head, cell.balance.label)}: {outcome}")
        fitted.append((fit_name(member.seed, member.fold), outcome.fitted))
        majority = majority_label(labels[member.rows["train"]])
        for part, probabilities in zip(PARTS, outcome.answers, strict=True):
            predictions.append(
                Prediction(
                    seed=member.seed,
                    fold=member.fold,
                    part=part,
                    posts=wanted[member.rows[part]],
                    labels=labels[member.rows[part]],
                    probabilities=probabilities,
                    majority=majority,
                )
            )
    assert cell.config is not None
    evaluation = Evaluation(posts, protocol, predictions)
    return Run.write(runs, cell.config, evaluation, fitted)
