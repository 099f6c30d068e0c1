"""Decision fusion of finished runs: their stored predictions put together by a rule, nothing trained (H3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.decision import RULES, fuse
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS, Task
from pipeline.errors import DataError, UsageError
from pipeline.protocols.choose import Protocol
from pipeline.runs.evaluation import Evaluation, Prediction, read_summary, write_run
from pipeline.runs.fit import Fitted

if TYPE_CHECKING:
    import pandas

# the class that "or" and "and" ask for (Farah 2025, 3.5.1)
POSITIVE = {"informative": "informative"}
KEYS = ["seed", "fold", "split", "post_id"]
SAME = ("dataset", "task", "classes", "setting", "split", "seeds")


def fuse_runs(folders: Sequence[Path], rule: str, positive: str | None, runs: Path) -> Fitted:
    """Fuse the predictions of two or more run folders and write the outcome as a run of its own.

    The runs must be of the same dataset, task, setting, split and seeds. Posts that some run left out are left
    out and counted. Raises `UsageError` for runs that do not belong together, `DataError` for a folder that
    holds no whole run or runs that know a post under different labels.
    """
    if rule not in RULES:
        raise UsageError(f"There is no rule '{rule}'; choose one of {', '.join(RULES)}.")
    if len(folders) < 2:
        raise UsageError("Fusion needs two run folders or more.")
    configs, shared, missing = matched_runs(folders)
    classes = tuple(configs[0]["classes"])
    answers = [frame[[f"p({name})" for name in classes]].to_numpy() for frame in shared]
    fused = fuse(rule, answers, _positive(rule, configs[0]["task"], classes, positive))
    evaluation = _evaluation(configs[0], classes, shared[0], fused)
    config = _config(folders, configs, rule, positive, missing)
    return Fitted(write_run(runs, config, evaluation, []), config, evaluation.summary())


def fuse_seeds(folder: Path, members: int, runs: Path) -> Fitted:
    """Average the probabilities of every `members` seeds in turn of one run, and write the outcome as a run of its own.

    A run of 30 seeds gives ten ensembles of 3, whose mean and deviation are told as those of seeds are; each ensemble
    has the number of its first seed. Raises `UsageError` for a run whose seeds drew different posts or are not a
    multiple of `members`, `DataError` for a folder that holds no whole run.
    """
    config, frame = read_run(folder)
    seeds = config["seeds"]
    if members < 2 or len(seeds) % members:
        raise UsageError(f"{folder.name} has {len(seeds)} seeds, which are not ensembles of {members} (--members).")
    keys = ["fold", "split", "post_id"]
    parts = [frame[frame["seed"] == seed].set_index(keys, drop=False) for seed in seeds]
    if any(not part.index.equals(parts[0].index) for part in parts[1:]):
        raise UsageError(f"The seeds of {folder.name} drew different posts, so their answers cannot be averaged.")
    columns = [f"p({name})" for name in config["classes"]]
    firsts, answers = [], []
    for start in range(0, len(seeds), members):
        held = [part[columns].to_numpy() for part in parts[start : start + members]]
        firsts.append(parts[start])
        answers.append(fuse("mean", held))
    import pandas

    fused, shared = np.concatenate(answers), pandas.concat(firsts)
    evaluation = _evaluation(config, tuple(config["classes"]), shared, fused)
    own = {
        **config,
        "head": f"{config['head']}_ensemble",
        "parameters": {**config["parameters"], "members": members},
        "seeds": seeds[::members],
        "fused": [{"run": folder.resolve().name, "head": config["head"]}],
    }
    return Fitted(write_run(runs, own, evaluation, []), own, evaluation.summary())


def read_run(folder: Path) -> tuple[dict[str, Any], pandas.DataFrame]:
    """The configuration and the stored predictions of a run folder; `DataError` when it is not whole."""
    import pandas

    config, _ = read_summary(folder)
    try:
        return config, pandas.read_parquet(folder / "predictions.parquet")
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no whole run ({type(error).__name__}).") from error


def matched_runs(folders: Sequence[Path]) -> tuple[list[dict[str, Any]], list[pandas.DataFrame], int]:
    """The configurations of runs of the same task, splits and seeds; the stored predictions that all of them have, in
    the order of the first; and how many distinct posts only some have. Raises as `fuse_runs`.
    """
    configs, frames = map(list, zip(*(read_run(folder) for folder in folders), strict=True))
    for folder, config in zip(folders[1:], configs[1:], strict=True):
        for key in SAME:
            if config[key] != configs[0][key]:
                raise UsageError(
                    f"The runs differ in their {key}: {folders[0].name} has {configs[0][key]}, "
                    f"{folder.name} has {config[key]}; give runs of the same {key}."
                )
    shared, missing = _shared_rows(frames)
    for folder, frame in zip(folders[1:], shared[1:], strict=True):
        if (frame["label"].to_numpy() != shared[0]["label"].to_numpy()).any():
            raise DataError(f"{folder} knows some posts under other labels than {folders[0]}; give runs of one table.")
    return configs, shared, missing


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


def _evaluation(
    config: dict[str, Any], classes: tuple[str, ...], frame: pandas.DataFrame, fused: np.ndarray
) -> Evaluation:
    """The evaluation of the fused answers, from what the first run's rows say of the posts."""
    first = frame.drop_duplicates("post_id")
    ids, empty = first["post_id"].tolist(), [""] * len(first)
    posts = Posts(
        name=config["dataset"],
        root=Path(),
        ids=ids,
        groups=ids,
        texts=empty,
        images=empty,
        events=first["event"].tolist(),
        labels={},
        origin="stored predictions",
    )
    number = {name: index for index, name in enumerate(classes)}
    labels = first["label"].map(number).to_numpy(np.int64)
    task = TASKS.get(config["task"]) or Task(config["task"], config["task"], classes, "a table's own labels")
    protocol = Protocol(
        task=task,
        setting=config["setting"],
        split=config["split"],
        labels=labels,
        concordant=first["concordant"].to_numpy(np.int64),
        folds=lambda seed: [],
    )
    rows = frame["post_id"].map(posts.row_of).to_numpy(np.int64)
    predictions = []
    for (seed, fold, part), places in frame.reset_index(drop=True).groupby(KEYS[:3], sort=False).indices.items():
        own = rows[places]
        majority = number[frame["majority"].iloc[places[0]]]
        predictions.append(Prediction(int(seed), fold, part, own, labels[own], fused[places], majority))
    return Evaluation(posts, protocol, predictions)


def _config(
    folders: Sequence[Path], configs: Sequence[dict[str, Any]], rule: str, positive: str | None, missing: int
) -> dict[str, Any]:
    """The runs' common configuration, and which runs were fused how."""
    views: dict[str, str] = {}
    fingerprints: dict[str, str] = {}
    for number, config in enumerate(configs, start=1):
        for modality, label in config["views"].items():
            views[f"{number} {modality}"] = label
            fingerprints[f"{number} {modality}"] = config["fingerprints"][modality]
    return {
        **{key: configs[0][key] for key in ("dataset", "posts", *SAME[1:5])},
        "head": f"decision_{rule}",
        # nothing is trained here: what is told is how the fused heads were
        "preset": " + ".join(dict.fromkeys(config["preset"] for config in configs)),
        "balance": {
            "label": " + ".join(dict.fromkeys(config.get("balance", {"label": "none"})["label"] for config in configs))
        },
        "parameters": {"rule": rule, **({"positive": positive} if positive else {})},
        "views": views,
        "fingerprints": fingerprints,
        # the fused runs hold different vectors and may have been shown different views; their own configurations say so
        "identity": None,
        "eval_setting": None,
        "mix_share": None,
        "seeds": configs[0]["seeds"],
        "test_to_train": configs[0].get("test_to_train", 0.0),
        "fused": [
            {"run": folder.resolve().name, "head": c["head"]} for folder, c in zip(folders, configs, strict=True)
        ],
        "left_out": {"not in every run": missing} if missing else {},
        "notes": list(dict.fromkeys(note for config in configs for note in config["notes"])),
    }
