"""Decision fusion of finished runs: their stored predictions put together by a rule, nothing trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from classifiers.decision import RULES, fuse
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS, Task
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import Protocol
from pipeline.runs.config import RunConfig
from pipeline.runs.evaluation import Evaluation, Prediction
from pipeline.runs.run import Run

if TYPE_CHECKING:
    import pandas

# the class that "or" and "and" ask for (Farah 2025, 3.5.1)
POSITIVE = {"informative": "informative"}
KEYS = ["seed", "fold", "split", "post_id"]
# how far stored probabilities, float32 or coarser, may miss the sum of 1
SLACK = 1e-3
SAME = ("dataset", "task", "classes", "setting", "split", "seeds")


def fuse_runs(members: Sequence[Run], rule: str, positive: str | None, runs: Path, *, keep: bool = False) -> Run:
    """Fuse the predictions of two or more runs and write the outcome into the folder `runs`, as a run itself. With
    `keep`, one that is there already, of the same runs and rule, is given from there.

    The runs must be of the same dataset, task, setting, split and seeds. Posts that some run left out are left out and
    counted. Raises `UsageError` for runs that do not belong together, `DataError` for runs that know a post under
    different labels, or whose predictions are damaged or not probabilities.
    """
    if rule not in RULES:
        raise UsageError(f"There is no rule '{rule}'; choose one of {', '.join(RULES)}.")
    if len(members) < 2:
        raise UsageError("Fusion needs two run folders or more.")
    shared, missing = matched_predictions(members)
    config = members[0].config
    outcome = _config(members, rule, positive, missing)
    if keep and (there := Run.find(runs, outcome)) is not None:
        return there
    answers = [_probabilities(run, frame) for run, frame in zip(members, shared, strict=True)]
    fused = fuse(rule, answers, _positive(rule, config.task, config.classes, positive))
    return Run.write(runs, outcome, evaluation_of(config, shared[0], fused))


def fuse_seeds(run: Run, members: int, runs: Path) -> Run:
    """Average the probabilities of every `members` seeds in turn, and write the outcome into `runs`, as a run itself.

    A run of 30 seeds gives ten ensembles of 3, whose mean and deviation are told as those of seeds are; each ensemble
    has the number of its first seed. Raises `UsageError` for a run whose seeds drew different posts or are not a
    multiple of `members`, `DataError` for one whose predictions are damaged or not probabilities.
    """
    config, frame = run.config, run.predictions
    seeds, name = config.seeds, run.folder.name
    if members < 2 or len(seeds) % members:
        raise UsageError(f"{name} has {len(seeds)} seeds, which are not ensembles of {members} (--members).")
    keys = ["fold", "split", "post_id"]
    parts = [frame[frame["seed"] == seed].set_index(keys, drop=False) for seed in seeds]
    if any(not part.index.equals(parts[0].index) for part in parts[1:]):
        raise UsageError(f"The seeds of {name} drew different posts, so their answers cannot be averaged.")
    firsts, answers = [], []
    for start in range(0, len(seeds), members):
        held = [_probabilities(run, part) for part in parts[start : start + members]]
        firsts.append(parts[start])
        answers.append(fuse("mean", held))
    import pandas

    ensembles = replace(
        config,
        head=f"{config.head}_ensemble",
        parameters={**config.parameters, "members": members},
        seeds=seeds[::members],
        fused=({"run": name, "head": config.head},),
    )
    return Run.write(runs, ensembles, evaluation_of(config, pandas.concat(firsts), np.concatenate(answers)))


def matched_predictions(runs: Sequence[Run]) -> tuple[list[pandas.DataFrame], int]:
    """The stored predictions that all of the runs have, in the order of the first, and how many posts only some have.

    Raises `UsageError` where the runs differ in task, splits or seeds, `DataError` where they differ in labels.
    """
    first = runs[0]
    for run in runs[1:]:
        for key in SAME:
            ours, theirs = (one.config.to_json()[key] for one in (first, run))
            if ours != theirs:
                raise UsageError(
                    f"The runs differ in their {key}: {first.folder.name} has {ours}, {run.folder.name} has {theirs}; "
                    f"give runs of the same {key}."
                )
    shared, missing = _shared_rows([run.predictions for run in runs])
    for run, frame in zip(runs[1:], shared[1:], strict=True):
        if (frame["label"].to_numpy() != shared[0]["label"].to_numpy()).any():
            raise DataError(
                f"{run.folder} knows some posts under other labels than {first.folder}; give runs of one table."
            )
    return shared, missing


def _probabilities(run: Run, frame: pandas.DataFrame) -> np.ndarray:
    """The probabilities of the rows of `frame`, float [n, C]; `DataError` for what cannot be any."""
    found: np.ndarray = frame[run.config.probability_columns].to_numpy()
    if not (np.isfinite(found).all() and (found >= 0).all() and np.allclose(found.sum(axis=1), 1, atol=SLACK)):
        raise DataError(
            f"{run.folder} has predictions that are not probabilities: each post's must be finite, 0 or more, and sum "
            "to 1; fit the head again."
        )
    return found


def _shared_rows(frames: Sequence[pandas.DataFrame]) -> tuple[list[pandas.DataFrame], int]:
    indexed = [frame.set_index(KEYS, drop=False) for frame in frames]
    common = indexed[0].index
    everywhere = set(common)
    for frame in indexed[1:]:
        everywhere &= set(frame.index)
    common = common[[key in everywhere for key in common]]
    if common.empty:
        raise UsageError("The runs have no post in common; give runs over the same posts.")
    kept = [frame.loc[common] for frame in indexed]
    posts = set().union(*(set(frame["post_id"]) for frame in frames))
    return kept, len(posts - set(kept[0]["post_id"]))


def _positive(rule: str, task: str, classes: tuple[str, ...], named: str | None) -> int | None:
    """The number of the class that "or" and "and" ask for; None under the other rules."""
    if rule not in ("or", "and"):
        return None
    name = named or POSITIVE.get(task)
    if name not in classes or len(classes) != 2:
        raise UsageError(
            f"The rule '{rule}' is for two classes, one of them positive: name it with --positive "
            f"(this task has {', '.join(classes)})."
        )
    return classes.index(name)


def evaluation_of(config: RunConfig, frame: pandas.DataFrame, answers: np.ndarray) -> Evaluation:
    """The evaluation of `answers` [n, C], probabilities of the n stored predictions in `frame`, from what these say of
    the posts.
    """
    first = frame.drop_duplicates("post_id")
    ids, empty = first["post_id"].tolist(), [""] * len(first)
    posts = Posts(
        name=config.dataset,
        root=Path(),
        ids=ids,
        groups=ids,
        texts=empty,
        images=empty,
        events=first["event"].tolist(),
        labels={},
        origin="stored predictions",
    )
    number = {name: index for index, name in enumerate(config.classes)}
    labels = first["label"].map(number).to_numpy(np.int64)
    task = TASKS.get(config.task) or Task(config.task, config.task, config.classes, "a table's own labels")
    protocol = Protocol(
        task=task,
        setting=config.setting,
        split=config.split,
        labels=labels,
        concordant=first["concordant"].to_numpy(np.int64),
        folds=lambda seed: [],
    )
    rows = frame["post_id"].map(posts.row_of).to_numpy(np.int64)
    predictions = []
    for (seed, fold, part), places in frame.reset_index(drop=True).groupby(KEYS[:3], sort=False).indices.items():
        own = rows[places]
        majority = number[frame["majority"].iloc[places[0]]]
        predictions.append(Prediction(int(seed), fold, part, own, labels[own], answers[places], majority))
    return Evaluation(posts, protocol, predictions)


def _config(members: Sequence[Run], rule: str, positive: str | None, missing: int) -> RunConfig:
    """What the runs have in common, and which were fused how."""
    configs = [run.config for run in members]
    views: dict[str, str] = {}
    fingerprints: dict[str, str] = {}
    for number, config in enumerate(configs, start=1):
        for modality, label in config.views.items():
            views[f"{number} {modality}"] = label
            fingerprints[f"{number} {modality}"] = config.fingerprints[modality]
    first = configs[0]
    return RunConfig(
        dataset=first.dataset,
        posts=first.posts,
        task=first.task,
        classes=first.classes,
        setting=first.setting,
        split=first.split,
        target=first.target if len({config.target for config in configs}) == 1 else "pair",
        head=f"decision_{rule}",
        # nothing is trained here: what is told is how the fused heads were
        preset=" + ".join(dict.fromkeys(config.preset for config in configs)),
        balance={"label": " + ".join(dict.fromkeys(config.balance_label for config in configs))},
        parameters={"rule": rule, **({"positive": positive} if positive else {})},
        views=views,
        fingerprints=fingerprints,
        # no identity and no setting of views: the fused runs differ in them, and their own configurations say how
        seeds=first.seeds,
        test_to_train=first.test_to_train,
        fused=tuple({"run": run.folder.name, "head": run.config.head} for run in members),
        left_out={"not in every run": missing} if missing else {},
        notes=tuple(dict.fromkeys(note for config in configs for note in config.notes)),
    )
