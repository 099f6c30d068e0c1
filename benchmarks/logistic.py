"""Ten C times three tasks of logistic regression: the stacked path against scikit-learn's lbfgs.

Run: python -m benchmarks.logistic. Drawn features of CrisisMMD's size (9,599 posts, 2 x 512 columns with a falling
spectrum, standardised), labels of 2, 5 and 3 unequal classes from noisy linear models. All competitors use
the same number of threads and take turns; each figure is the median over the turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from classifiers.heads.linear_path import solve_path

POSTS, COLUMNS = 9599, 1024
SHARES = ((0.35, 0.65), (0.02, 0.25, 0.45, 0.18, 0.10), (0.60, 0.15, 0.25))
C_GRID = np.logspace(-4, 1, 10)

Weights = list[list[tuple[np.ndarray, np.ndarray]]]


def draw(seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Features float32 [9599, 1024] and three targets."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, COLUMNS + 1) ** -0.7
    turned = np.linalg.qr(rng.standard_normal((COLUMNS, COLUMNS)))[0]
    x = (rng.standard_normal((POSTS, COLUMNS)) * spectrum) @ turned
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    targets = []
    for shares in SHARES:
        logits = 2.5 / np.sqrt(COLUMNS) * x @ rng.standard_normal((COLUMNS, len(shares))) + np.log(shares)
        targets.append((logits + rng.gumbel(size=logits.shape)).argmax(axis=1))
    return x.astype(np.float32), targets


def ours(x: np.ndarray, targets: list[np.ndarray]) -> Weights:
    return [[(one.coef, one.intercept) for one in path] for path in solve_path(x, targets, C_GRID)]


def sklearn_default(x: np.ndarray, targets: list[np.ndarray]) -> Weights:
    """Each C from zero in float64, as `LogisticRegression` does by itself, with steps enough to converge."""
    return _sklearn(x.astype(np.float64), targets, warm_start=False)


def sklearn_capped(x: np.ndarray, targets: list[np.ndarray]) -> Weights:
    """The same with the default cap of 100 steps, at which it warns and stops short."""
    return _sklearn(x.astype(np.float64), targets, warm_start=False, max_iter=100)


def sklearn_warm(x: np.ndarray, targets: list[np.ndarray]) -> Weights:
    """Each C from where the one before ended, in float32: the fastest that its settings allow."""
    return _sklearn(x, targets, warm_start=True)


def _sklearn(x: np.ndarray, targets: list[np.ndarray], *, warm_start: bool, max_iter: int = 1000) -> Weights:
    from sklearn.linear_model import LogisticRegression

    found = []
    for y in targets:
        model = LogisticRegression(max_iter=max_iter, warm_start=warm_start)
        path = []
        for c in C_GRID:
            model.set_params(C=c).fit(x, y)
            path.append((model.coef_.astype(np.float64), model.intercept_.astype(np.float64)))
        found.append(path)
    return found


COMPETITORS: dict[str, Callable[[np.ndarray, list[np.ndarray]], Weights]] = {
    "stacked path": ours,
    "scikit-learn, default (cold, float64)": sklearn_default,
    "scikit-learn, default, capped at 100": sklearn_capped,
    "scikit-learn, warm-started float32": sklearn_warm,
}


def objectives(x: np.ndarray, targets: list[np.ndarray], weights: Weights) -> np.ndarray:
    """Mean loss plus |W|^2 / (2 C n) in float64, [tasks, C]."""
    wide, result = x.astype(np.float64), np.empty((len(targets), len(C_GRID)))
    for task, (y, path) in enumerate(zip(targets, weights, strict=True)):
        for place, (coef, intercept) in enumerate(path):
            logits = wide @ coef.T + intercept
            if logits.shape[1] == 1:
                logits = np.hstack([np.zeros_like(logits), logits])
            loss = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
            result[task, place] = loss.mean() + np.square(coef).sum() / (2 * C_GRID[place] * len(y))
    return result


def measure(turns: int = 5, threads: int = 1) -> dict[str, Any]:
    """Median seconds of each competitor, the ratio to ours, and the most by which it beats our objective."""
    x, targets = draw()
    seconds: dict[str, list[float]] = {name: [] for name in COMPETITORS}
    found: dict[str, np.ndarray] = {}
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solve_path(x[:500], [y[:500] for y in targets], C_GRID[:2])
        for _ in range(turns):
            for name, competitor in COMPETITORS.items():
                started = time.perf_counter()
                weights = competitor(x, targets)
                seconds[name].append(time.perf_counter() - started)
                if name not in found:
                    found[name] = objectives(x, targets, weights)
    base = statistics.median(seconds["stacked path"])
    return {
        "threads": threads,
        "turns": turns,
        "competitors": {
            name: {
                "seconds": statistics.median(times),
                "times_ours": statistics.median(times) / base,
                "objective_below_ours_at_most": float((found["stacked path"] - found[name]).max()),
                "objective_above_ours_at_most": float((found[name] - found["stacked path"]).max()),
            }
            for name, times in seconds.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.turns, options.threads)
    if options.json:
        print(json.dumps(result))
        return
    print(
        f"{len(C_GRID)} C x {len(SHARES)} tasks, {POSTS} x {COLUMNS}, {options.threads} threads, {options.turns} turns"
    )
    for name, row in result["competitors"].items():
        worse, better = row["objective_above_ours_at_most"], row["objective_below_ours_at_most"]
        print(
            f"{name:40s} {row['seconds']:8.2f} s  {row['times_ours']:6.1f} x  objective {-better:+.1e} to {worse:+.1e}"
        )


if __name__ == "__main__":
    main()
