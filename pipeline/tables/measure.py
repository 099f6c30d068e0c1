"""The figures of a cell, from a run's stored predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.metrics import per_class, scores, summarise
from classifiers.significance import METRICS as WITH_INTERVAL
from classifiers.significance import Answers, interval
from pipeline.runs.analyse import analyse_run
from pipeline.runs.fuse import matched_predictions
from pipeline.runs.run import Run
from pipeline.tables.layout import Measure

if TYPE_CHECKING:
    import pandas


def _weighted(name: str) -> Callable[[np.ndarray, np.ndarray, int], float]:
    """Precision or recall, the mean over classes weighted by their posts."""

    def figure(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
        table = per_class(truth, predicted, n_classes)
        return float((table[name] * table["support"]).sum() / table["support"].sum())

    return figure


def _score(name: str) -> Callable[[np.ndarray, np.ndarray, int], float]:
    return lambda truth, predicted, n_classes: scores(truth, predicted)[name]


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray, int], float]] = {
    **{name: _score(name) for name in WITH_INTERVAL},
    "weighted_precision": _weighted("precision"),
    "weighted_recall": _weighted("recall"),
}
_READ_OUTS = {"text_read_out": "text", "image_read_out": "image"}
"""What a fusion reads from one of its views, by the metric's name: the view."""


@dataclass(frozen=True)
class Figure:
    """A cell. `mean` and `sd` are over `seeds` fits; `low` and `high` the 95 % interval over posts, where there is
    one.
    """

    mean: float
    sd: float = 0.0
    seeds: int = 1
    low: float | None = None
    high: float | None = None


def figures(run: Run, measures: Sequence[Measure], cache: Path) -> list[Figure | None]:
    """A figure per measure; None where no post is in the subset, or the head has no read-out. The vectors in `cache`
    are read for read-outs alone.
    """
    config = run.config
    frame = run.read_predictions(["post_id", "seed", "split", "label", "predicted", "concordant"])
    index = {name: number for number, name in enumerate(config.classes)}
    read_outs: Mapping[str, Any] = {}
    if any(measure.metric in _READ_OUTS for measure in measures):
        read_outs = analyse_run(run, cache).get("read_outs", {})
    found: list[Figure | None] = []
    for measure in measures:
        if measure.metric in _READ_OUTS:
            told = read_outs.get(_READ_OUTS[measure.metric])
            found.append(Figure(told["mean"], told["sd"], len(told["values"])) if told else None)
            continue
        held = frame[frame["split"] == measure.part]
        if measure.subset == "ambiguous":
            held = held[held["concordant"] == 0]
        found.append(None if held.empty else _figure(_answers(held, index), measure.metric))
    return found


def one_right(fused: Run, alone: Sequence[Run], measures: Sequence[Measure]) -> list[Figure | None]:
    """How often `fused` is right where only one of the models `alone`, of the text and of the photo, is: a share per
    seed. A seed without such posts says nothing.
    """
    frames, _ = matched_predictions([fused, *alone])
    label = frames[0]["label"].to_numpy()
    right, text, photo = ((frame["predicted"].to_numpy() == label) for frame in frames)
    asked = (frames[0]["split"] == "test").to_numpy()
    seeds = frames[0]["seed"].to_numpy()
    cases = {
        "right_where_text_is_wrong": asked & photo & ~text,
        "right_where_photo_is_wrong": asked & text & ~photo,
        "right_where_one_is_wrong": asked & (text ^ photo),
    }
    found: list[Figure | None] = []
    for measure in measures:
        where = cases[measure.metric]
        values = [float(right[own].mean()) for seed in np.unique(seeds) if (own := where & (seeds == seed)).any()]
        told = summarise(values) if values else None
        found.append(Figure(told["mean"], told["sd"], len(values)) if told else None)
    return found


def _answers(held: pandas.DataFrame, index: Mapping[str, int]) -> Answers:
    return Answers(
        seeds=held["seed"].to_numpy(np.int64),
        posts=np.unique(held["post_id"], return_inverse=True)[1].astype(np.int64),
        labels=held["label"].map(index).to_numpy(np.int64),
        predicted=held["predicted"].map(index).to_numpy(np.int64),
        n_classes=len(index),
    )


def _figure(answers: Answers, metric: str) -> Figure:
    seeds = np.unique(answers.seeds)
    parts = [answers.seeds == seed for seed in seeds]
    values = [METRICS[metric](answers.labels[own], answers.predicted[own], answers.n_classes) for own in parts]
    told = summarise(values)
    # weighted recall is accuracy by another name
    known = {"weighted_recall": "accuracy"}.get(metric, metric)
    low, high = interval(answers, known) if known in WITH_INTERVAL else (None, None)
    return Figure(told["mean"], told["sd"], len(seeds), low, high)
