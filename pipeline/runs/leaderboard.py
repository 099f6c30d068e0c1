"""Many runs as one table: chosen on dev, shown on test, each compared with the best."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.significance import Answers, draws_for, holm, interval, over_posts, over_seeds
from features.fingerprint import digest_of
from pipeline.errors import DataError
from pipeline.runs.fit import Fitted

LEVEL = 0.05


def leaderboard(runs: Sequence[Fitted], metric: str = "macro_f1") -> list[dict[str, Any]]:
    """A row per run, by task, the best mean of `metric` on dev first: nothing is chosen on test.

    A row holds that mean and its deviation over seeds on dev and test, the test figure's 95 % interval over posts,
    what always answering train's majority class reaches on test, the gap to the task's best (on dev), and the p values
    of that gap over seeds and over posts, with Holm's correction over the task's runs. `differs` is True where the
    corrected p over posts is below 0.05 and that over seeds is as well, or cannot be computed. Values of p are None for
    the best itself.
    """
    rows = []
    for task in dict.fromkeys(run.config["task"] for run in runs):
        held = [run for run in runs if run.config["task"] == task]
        held.sort(key=lambda run: -run.evaluation["dev"][metric]["mean"])
        rows += _of_task(held, metric)
    return rows


def _of_task(held: Sequence[Fitted], metric: str) -> list[dict[str, Any]]:
    numbers: dict[str, int] = {}
    answers = [_answers(run, numbers) for run in held]
    best = held[0].evaluation["test"][metric]
    rows: list[dict[str, Any]] = []
    draws = draws_for(len(held) - 1)
    for rank, (run, said) in enumerate(zip(held, answers, strict=True), start=1):
        dev, test = run.evaluation["dev"][metric], run.evaluation["test"][metric]
        low, high = interval(said, metric)
        pair = rank > 1 and run.config["seeds"] == held[0].config["seeds"]
        shared = run.config.get("test_to_train", 0.0)
        rows.append(
            {
                "task": run.config["task"],
                "rank": rank,
                "head": run.config["head"],
                "balance": run.config.get("balance", {"label": "none"})["label"],
                "preset": run.config["preset"],
                "views": " + ".join(run.config["views"].values()),
                "seeds": len(run.config["seeds"]),
                "metric": metric,
                "dev": dev["mean"],
                "dev_sd": dev["sd"],
                "test": test["mean"],
                "test_sd": test["sd"],
                "test_low": low,
                "test_high": high,
                "majority": run.evaluation["test"][f"majority_{metric}"],
                "gap": test["mean"] - best["mean"],
                "p_seeds": over_seeds(test["values"], best["values"], shared) if pair else None,
                "p_posts": over_posts(said, answers[0], metric, draws) if rank > 1 else None,
                "run": str(run.run),
            }
        )
    for kind in ("p_seeds", "p_posts"):
        for row, adjusted in zip(rows, holm([row[kind] for row in rows]), strict=True):
            row[f"{kind}_holm"] = adjusted
    for row in rows:
        known = [row[name] for name in ("p_posts_holm", "p_seeds_holm") if row[name] is not None]
        row["differs"] = bool(known) and max(known) < LEVEL
    return rows


def write_leaderboard(runs: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write the rows beside the run folders as CSV and JSON; the CSV's path. The same runs give the same name."""
    name = "leaderboard-" + digest_of({"runs": [row["run"] for row in rows], "metric": rows[0]["metric"]})[:8]
    path = runs.resolve() / f"{name}.csv"
    for target in (path, path.with_suffix(".json")):
        building = target.with_name(f".{target.name}.{os.getpid()}")
        with building.open("w", encoding="utf-8", newline="") as file:
            if target.suffix == ".csv":
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            else:
                json.dump({"leaderboard": list(rows)}, file, indent=2, ensure_ascii=False)
        building.replace(target)
    return path


def _answers(run: Fitted, numbers: dict[str, int]) -> Answers:
    """What the run said on test; `numbers` gives posts the same number in all runs."""
    import pandas

    wanted = ["post_id", "seed", "split", "label", "predicted"]
    try:
        frame = pandas.read_parquet(run.run / "predictions.parquet", columns=wanted)
    except (OSError, ValueError) as error:
        raise DataError(f"{run.run} holds no whole run ({type(error).__name__}).") from error
    frame = frame[frame["split"] == "test"]
    index = {name: number for number, name in enumerate(run.config["classes"])}
    return Answers(
        seeds=frame["seed"].to_numpy(np.int64),
        posts=np.array([numbers.setdefault(post, len(numbers)) for post in frame["post_id"]], dtype=np.int64),
        labels=frame["label"].map(index).to_numpy(np.int64),
        predicted=frame["predicted"].map(index).to_numpy(np.int64),
        n_classes=len(index),
    )
