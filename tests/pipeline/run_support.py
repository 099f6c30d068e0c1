"""A small run that is written without a dataset: six posts, two seeds, a trained head per seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers import FittedHead, fit
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import Task
from pipeline.protocols.choose import Protocol
from pipeline.runs.config import RunConfig
from pipeline.runs.evaluation import Evaluation, Prediction
from pipeline.runs.run import PARTS, Run, fit_name

LABELS = np.array([0, 1, 0, 1, 0, 1])


def config(**other: Any) -> RunConfig:
    known: dict[str, Any] = {
        "dataset": "small",
        "posts": 6,
        "task": "label",
        "classes": ("a", "b"),
        "setting": "group",
        "split": "group",
        "head": "prototype",
        "preset": "fast",
        "parameters": {"c_grid": (1.0, 2.0)},
        "views": {"text": "classic@00000000:text/hashed"},
        "fingerprints": {"text": "0" * 64},
        "identity": "1" * 32,
        "seeds": (0, 1),
        "left_out": {},
        "notes": (),
    }
    return RunConfig(**{**known, **other})


def evaluation(seeds: Sequence[int] = (0, 1)) -> Evaluation:
    ids, empty = [f"p{number}" for number in range(6)], [""] * 6
    posts = Posts("small", Path(), ids, ids, empty, empty, empty, {}, "a test")
    protocol = Protocol(
        Task("label", "label", ("a", "b"), "a test"), "group", "group", LABELS, np.ones(6, np.int8), lambda seed: []
    )
    rng = np.random.default_rng(0)
    predictions = []
    for seed in seeds:
        for part in PARTS:
            first = rng.random((6, 1), dtype=np.float32)
            answers = np.concatenate([first, 1 - first], axis=1)
            predictions.append(Prediction(seed, "", part, np.arange(6), LABELS, answers, 0))
    return Evaluation(posts, protocol, predictions)


def trained(seeds: Sequence[int] = (0, 1)) -> list[tuple[str, FittedHead]]:
    views = {"text": np.random.default_rng(1).random((6, 3), dtype=np.float32)}
    rows = np.arange(6)
    return [(fit_name(seed, ""), fit("prototype", views, LABELS, rows, rows, 2, seed)) for seed in seeds]


def written(runs: Path, **other: Any) -> Run:
    return Run.write(runs, config(**other), evaluation(), trained())
