"""Runs of different commands side by side: their answers to the posts that all of them were asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.runs.fuse import evaluation_of
from pipeline.runs.leaderboard import leaderboard
from pipeline.runs.run import Run

if TYPE_CHECKING:
    import pandas

ALIKE = ("dataset", "task", "classes")
"""What runs must have in common. Splits, seeds, heads and views may differ."""


@dataclass(frozen=True)
class Comparison:
    """`rows` are those of `leaderboard`, over the posts that all `runs` were asked about: `posts` of the `every` that
    any of them was. The runs' summaries are of these posts. `notes` say what else differs.
    """

    runs: Sequence[Run]
    rows: Sequence[dict[str, Any]]
    posts: int
    every: int
    notes: Sequence[str]


def compare(runs: Sequence[Run], metric: str = "macro_f1", on_common: bool = False) -> Comparison:
    """Compare two or more runs of one dataset and task, whatever was trained and on which posts.

    Raises `UsageError` where they are of another task, know a common post under different labels, share no post or no
    seed, or, unless `on_common`, where only some of their dev and test posts are common.
    """
    if len({run.folder for run in runs}) < 2:
        raise UsageError("A comparison needs two different run folders or more.")
    first = runs[0]
    for run in runs[1:]:
        for key in ALIKE:
            ours, theirs = getattr(first.config, key), getattr(run.config, key)
            if ours != theirs:
                raise UsageError(
                    f"{first.folder.name} and {run.folder.name} differ in their {key}: {ours} and {theirs}."
                )
    frames = [run.predictions for run in runs]
    keys = _keys(frames)
    common, every = set.intersection(*map(set, keys)), set.union(*map(set, keys))
    for part in ("dev", "test"):
        if not any(key[1] == part for key in common):
            raise UsageError(f"The runs have no {part} post in common, so they cannot be compared.")
    _check_labels(runs, frames, common, keys)
    seeds = set.intersection(*(set(run.config.seeds) for run in runs))
    if not seeds:
        raise UsageError("The runs have no seed in common, so that their answers cannot be paired.")
    posts, of = _posts(common), _posts(every)
    if len(common) < len(every) and not on_common:
        raise UsageError(
            f"Only {posts:,} of {of:,} dev and test posts are in all of the runs; --on-common compares them on these."
        )
    counted = {}
    kept = []
    for run, frame, of_run in zip(runs, frames, keys, strict=True):
        counted[run.folder] = np.array([key in common for key in of_run])
        kept.append(_over(run, frame[counted[run.folder]]))
    return Comparison(kept, leaderboard(kept, metric, counted), posts, of, _notes(runs, seeds))


def _keys(frames: Sequence[pandas.DataFrame]) -> list[list[tuple[Any, ...]]]:
    """Per run and stored prediction what was asked: fold, part, post, and the seed where seeds were asked about
    different posts.
    """
    columns = ["fold", "split", "post_id"]
    if not all(_alike(frame, columns) for frame in frames):
        columns.append("seed")
    return [list(frame[columns].itertuples(index=False, name=None)) for frame in frames]


def _alike(frame: pandas.DataFrame, columns: list[str]) -> bool:
    """Whether all seeds were asked about the same posts."""
    return bool((frame.groupby(columns)["seed"].nunique() == frame["seed"].nunique()).all())


def _posts(keys: set[tuple[Any, ...]]) -> int:
    return len({key[2] for key in keys})


def _check_labels(
    runs: Sequence[Run], frames: Sequence[pandas.DataFrame], common: set[tuple[Any, ...]], keys: list[list[Any]]
) -> None:
    known = {key: label for key, label in zip(keys[0], frames[0]["label"], strict=True) if key in common}
    for run, frame, of_run in zip(runs[1:], frames[1:], keys[1:], strict=True):
        other = {
            key[2]: label for key, label in zip(of_run, frame["label"], strict=True) if known.get(key, label) != label
        }
        if other:
            post, label = min(other.items())
            theirs = next(known[key] for key in known if key[2] == post)
            targets = dict.fromkeys((runs[0].config.target, run.config.target))
            hint = f" (labels of the {' and of the '.join(targets)})" if len(targets) > 1 else ""
            raise UsageError(
                f"{runs[0].folder.name} and {run.folder.name} know {len(other):,} common posts under different labels, "
                f"{post} as {theirs} and {label}{hint}; compare runs of the same labels (--target)."
            )


def _over(run: Run, frame: pandas.DataFrame) -> Run:
    """The run with the figures of the predictions in `frame`."""
    answers = frame[run.config.probability_columns].to_numpy()
    return replace(run, summary=evaluation_of(run.config, frame, answers).summary())


def _notes(runs: Sequence[Run], seeds: set[int]) -> list[str]:
    """What differs and need not keep runs apart, but must be known."""
    said = []
    for key, words in (("setting", "settings"), ("split", "splits"), ("target", "labels they were trained on")):
        values = list(dict.fromkeys(str(getattr(run.config, key)) for run in runs))
        if len(values) > 1:
            said.append(f"the runs differ in their {words}: {'; '.join(values)}")
    if len({run.config.seeds for run in runs}) > 1:
        said.append(f"the runs have different seeds; p over posts is of the {len(seeds)} that all have")
    return said
