"""What a finished run's heads do with their modalities: read-outs, zeroed views, neighbours, posts one modality knows.

Nothing is trained and no dataset is read: the run holds its heads and the posts they were asked about, the cache their
vectors.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache import FeatureFile
from classifiers import FittedHead
from classifiers.analysis import OneRight, Utilisation, only_one_right
from classifiers.metrics import summarise
from pipeline.errors import DataError, UsageError
from pipeline.runs.config import RunConfig
from pipeline.runs.fuse import matched_predictions
from pipeline.runs.origins import Origin, check_origins
from pipeline.runs.run import Run, fit_name
from pipeline.runs.sources import Source
from pipeline.runs.visibility import eval_setting


@dataclass(frozen=True)
class _Fit:
    """One fit of the run: its head, its test posts as rows of `views`, and their labels as class numbers."""

    seed: int
    head: FittedHead
    rows: np.ndarray
    labels: np.ndarray


def analyse_run(run: Run, cache: Path, alone: Sequence[Run] = (), neighbours: int = 10) -> dict[str, Any]:
    """Farah 2025, sections 4.6 and 5.5.7, on the test posts of `run`, as plain JSON values.

    "accuracy", "lost" per view, "d_util" (two views), "read_outs" per view (heads that have them) and "similarity" per
    view, each with mean, sd and values over seeds; the folds of a seed are taken together, in "similarity" those
    with more than `neighbours` posts. "one_right" (Table 4.4) per
    modality counts the posts of all seeds that it alone is right about: `alone` are the runs of two or more models of
    one modality each, with the same task, splits and seeds; without them the read-outs speak for the modalities.

    Raises `UsageError` where the run has one view or was asked with one, where its heads cannot be looked into, and
    where the runs of `alone` are of another task, split or seeds; `DataError` where the run is damaged or the features
    it was trained on are not there any more.
    """
    config, name = run.config, run.folder.name
    predictions = run.predictions
    test = predictions[predictions["split"] == "test"]
    if len(config.views) < 2:
        raise UsageError(f"{name} has one view, {next(iter(config.views))}: there is no fusion to look into.")
    if config.eval_setting and len(asked := eval_setting(config.eval_setting).test) < 2:
        raise UsageError(
            f"{name} was asked with one view, {asked[0]} (--eval-setting {config.eval_setting}): there is no "
            "fusion to look into."
        )
    number = {name: index for index, name in enumerate(config.classes)}
    parts = test.groupby(["seed", "fold"], sort=False)
    heads = [_head(run, int(seed), fold) for (seed, fold), _ in parts]
    views, row_of = _views(config, cache, test["post_id"].unique(), heads)
    fits = [
        _Fit(
            int(seed), head, own["post_id"].map(row_of).to_numpy(np.int64), own["label"].map(number).to_numpy(np.int64)
        )
        for head, ((seed, _), own) in zip(heads, parts, strict=True)
    ]
    found = {"run": str(run.folder), "head": config.head, **_use(fits, views, neighbours)}
    if alone:
        counted = _by_runs(run, alone)
    else:
        counted = _by_read_outs(fits, views) if "read_outs" in found else {}
    found["one_right"] = {
        view: {"right": c.right, "wrong": c.wrong, "share": c.share if c.right + c.wrong else None}
        for view, c in counted.items()
    }
    return found


def _head(run: Run, seed: int, fold: str) -> FittedHead:
    saved = run.heads.get(fit_name(seed, fold))
    if saved is None:
        raise UsageError(f"{run.folder.name} holds no trained heads to look into; give the run of a torch head.")
    head = saved()
    if head.training is None:
        raise UsageError(f"'{head.card.name}' is a library's head, whose use of a view cannot be looked into.")
    return head


def _views(
    config: RunConfig, cache: Path, ids: np.ndarray, heads: Sequence[FittedHead]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The run's views of the posts `ids`, of the encoders that its `heads` know, and which row each post is."""
    sources = {name: _source(config, cache, name) for name in config.views}
    origins, dataset = {}, f"--name {config.dataset}"
    for name, source in sources.items():
        if not source.path.exists():
            raise DataError(
                f"The features that the run was trained on are not at {source.path}; name their folder with --cache"
                f"{_made_again(heads[0], name)}."
            )
        with FeatureFile.open(source.path) as file:
            origins[name] = Origin.of(source, file)
            dataset = file.provenance.get("dataset_flags") or dataset
    for head in heads:
        check_origins(head, origins, dataset, cache)
    views = {}
    for name, source in sources.items():
        with FeatureFile.open(source.path) as file:
            rows = np.asarray(file.rows_of(ids.tolist()), dtype=np.int64)
            if file.fingerprint != config.fingerprints[name] or (rows < 0).any():
                raise DataError(
                    f"{source.path} is not what the run was trained on, or lacks posts of it; fit the head again."
                )
            views[name] = file.take(source.view, rows, verify=True)
    return views, {post: row for row, post in enumerate(ids)}


def _source(config: RunConfig, cache: Path, name: str) -> Source:
    """Where the vectors of the run's view `name` lie in `cache`."""
    stem, _, view = config.views[name].partition(":")
    modality, _, part = name.partition("/")
    return Source(modality, stem.partition("@")[0], view, cache / config.dataset / f"{stem}.h5", part)


def _made_again(head: FittedHead, name: str) -> str:
    """How to make the vectors of the view `name` again, where the head knows."""
    said = head.encoders.get(name)
    if said is None:
        return ""
    return f", or make them again, of the same posts, with: crisis extract {shlex.join(Origin.from_json(said).flags)}"


def _use(fits: Sequence[_Fit], views: Mapping[str, np.ndarray], neighbours: int) -> dict[str, Any]:
    """Accuracies per seed over its folds together, and what follows from them."""
    from classifiers.inspection import similarities, unimodal_accuracy, utilisation

    names = list(fits[0].head.dims)
    splits = hasattr(fits[0].head.head, "modality_logits")
    sums: dict[int, dict[str, np.ndarray]] = defaultdict(lambda: defaultdict(lambda: np.zeros(len(names))))
    for fit in fits:
        labels = np.full(len(next(iter(views.values()))), -1, dtype=np.int64)
        labels[fit.rows] = fit.labels
        used = utilisation(fit.head, views, labels, fit.rows)
        own, weight = sums[fit.seed], len(fit.rows)
        own["posts"] += weight
        own["full"] += weight * used.accuracy
        own["without"] += weight * np.array(list(used.without.values()))
        if weight > neighbours:
            own["compared"] += weight
            own["near"] += weight * np.array(list(similarities(fit.head, views, neighbours, fit.rows).values()))
        if splits:
            own["alone"] += weight * np.array(list(unimodal_accuracy(fit.head, views, labels, fit.rows).values()))
    if any("near" not in own for own in sums.values()):
        raise UsageError(f"No test part has more than {neighbours} posts to compare; choose fewer --neighbours.")
    over = {key: np.array([own[key] / own["posts"] for own in sums.values()]) for key in sums[fits[0].seed]}
    used_by_seed = [
        Utilisation(full[0], dict(zip(names, without, strict=True)))
        for full, without in zip(over["full"], over["without"], strict=True)
    ]
    found: dict[str, Any] = {
        "posts": int(sums[fits[0].seed]["posts"][0]),
        "accuracy": summarise([used.accuracy for used in used_by_seed]),
        "lost": {view: summarise([used.lost[view] for used in used_by_seed]) for view in names},
        "neighbours": neighbours,
        "similarity": _per_view(names, over["near"] / over["compared"]),
    }
    if len(names) == 2:
        found["d_util"] = summarise([used.d_util for used in used_by_seed])
    if splits:
        found["read_outs"] = _per_view(names, over["alone"])
    return found


def _per_view(names: Sequence[str], values: np.ndarray) -> dict[str, Any]:
    """[seeds, views] summarised per view."""
    return {view: summarise(values[:, index].tolist()) for index, view in enumerate(names)}


def _by_read_outs(fits: Sequence[_Fit], views: Mapping[str, np.ndarray]) -> dict[str, OneRight]:
    from classifiers.inspection import read_outs

    counts = [
        only_one_right(fit.labels, fit.head.predict(views, fit.rows), read_outs(fit.head, views, fit.rows))
        for fit in fits
    ]
    return {
        view: OneRight(sum(count[view].right for count in counts), sum(count[view].wrong for count in counts))
        for view in counts[0]
    }


def _by_runs(run: Run, alone: Sequence[Run]) -> dict[str, OneRight]:
    """The same with the stored predictions of models of one modality each, in the place of read-outs."""
    frames, _ = matched_predictions([run, *alone])
    names = [" + ".join(one.config.views.values()) for one in alone]
    if len(set(names)) < len(names):
        raise UsageError(f"Two of the runs to compare with have the same view, {names[0]}; name one per modality.")
    fused, *others = (frame[frame["split"] == "test"] for frame in frames)
    return only_one_right(
        fused["label"].to_numpy(),
        fused["predicted"].to_numpy(),
        {name: frame["predicted"].to_numpy() for name, frame in zip(names, others, strict=True)},
    )
