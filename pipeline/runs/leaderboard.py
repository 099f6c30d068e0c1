"""Many runs as one table: chosen on dev, shown on test, each compared with the best."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cache import files
from classifiers.significance import Answers, draws_for, holm, interval, over_posts, over_seeds
from features.fingerprint import digest_of
from pipeline.runs.run import Run
from pipeline.sheets import shown

LEVEL = 0.05


def leaderboard(
    runs: Sequence[Run], metric: str = "macro_f1", counted: Mapping[Path, np.ndarray] | None = None
) -> list[dict[str, Any]]:
    """A row per run, by task, the best mean of `metric` on dev first: nothing is chosen on test.

    A row holds that mean and its deviation over seeds on dev and test, the test figure's 95 % interval over posts,
    what always answering train's majority class reaches on test, the gap to the task's best (on dev), and the p values
    of that gap over seeds and over posts, with Holm's correction over the task's runs. `differs` is True where the
    corrected p over posts is below 0.05 and that over seeds is as well, or cannot be computed. Values of p are None for
    the best itself.

    `counted` says per run folder which of its stored predictions count, bool in their order; all do where it is left
    out. The figures over seeds are those of `Run.summary` in any case.
    """
    rows = []
    for task in dict.fromkeys(run.config.task for run in runs):
        held = [run for run in runs if run.config.task == task]
        held.sort(key=lambda run: -run.dev(metric)["mean"])
        rows += _of_task(held, metric, counted or {})
    return rows


def _of_task(held: Sequence[Run], metric: str, counted: Mapping[Path, np.ndarray]) -> list[dict[str, Any]]:
    numbers: dict[str, int] = {}
    answers = [_answers(run, numbers, counted.get(run.folder)) for run in held]
    best = held[0].test(metric)
    rows: list[dict[str, Any]] = []
    draws = draws_for(len(held) - 1)
    for rank, (run, said) in enumerate(zip(held, answers, strict=True), start=1):
        dev, test = run.dev(metric), run.test(metric)
        low, high = interval(said, metric)
        pair = rank > 1 and run.config.seeds == held[0].config.seeds
        shared = run.config.test_to_train
        rows.append(
            {
                "task": run.config.task,
                "rank": rank,
                "head": run.config.head,
                "balance": run.config.balance_label,
                "preset": run.config.preset,
                "views": " + ".join(run.config.views.values()),
                "seeds": len(run.config.seeds),
                "metric": metric,
                "dev": dev["mean"],
                "dev_sd": dev["sd"],
                "test": test["mean"],
                "test_sd": test["sd"],
                "test_low": low,
                "test_high": high,
                "majority": run.summary["test"][f"majority_{metric}"],
                "gap": test["mean"] - best["mean"],
                "p_seeds": over_seeds(test["values"], best["values"], shared) if pair else None,
                "p_posts": over_posts(said, answers[0], metric, draws) if rank > 1 else None,
                "run": str(run.folder),
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
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(map(shown, rows))
    files.write_whole(path, table.getvalue().encode())
    content = json.dumps({"leaderboard": list(rows)}, indent=2, ensure_ascii=False)
    files.write_whole(path.with_suffix(".json"), content.encode())
    return path


def _answers(run: Run, numbers: dict[str, int], counted: np.ndarray | None) -> Answers:
    """What the run said on test; `numbers` gives posts the same number in all runs."""
    frame = run.read_predictions(["post_id", "seed", "split", "label", "predicted"])
    frame = frame if counted is None else frame[counted]
    frame = frame[frame["split"] == "test"]
    index = {name: number for number, name in enumerate(run.config.classes)}
    return Answers(
        seeds=frame["seed"].to_numpy(np.int64),
        posts=np.array([numbers.setdefault(post, len(numbers)) for post in frame["post_id"]], dtype=np.int64),
        labels=frame["label"].map(index).to_numpy(np.int64),
        predicted=frame["predicted"].map(index).to_numpy(np.int64),
        n_classes=len(index),
    )
