"""Does balancing save a fusion from a modality that lies? `python -m benchmarks.balance --output DIR`.

Farah 2025, section 5.5.5 and Figure 5.5, on colored-and-gray digits (`pipeline.datasets.digits`): for five spreads of
train's colours, colour alone, gray alone, and their concatenation without a balancer, with R-SSE and with D-SSE
(P_c = 0.1, a = 1.5, 50 epochs, as in the source); every seed has its own split. Prints a table and writes
digits.json and digits.png into DIR. docs/digits.md says what is chosen how, and what came out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.balance_results import METHODS, Results
from classifiers import Balance, HeadSpec, Job, fit_each
from classifiers.analysis import modulation_scores
from classifiers.inspection import unimodal_accuracy, utilisation
from classifiers.metrics import accuracy
from pipeline.cli.options import parameters
from pipeline.datasets.digits import CLASSES, Digits, make_digits

SIGMAS = (0.01, 0.02, 0.05, 0.1, 0.5)
# its fits without a balancer also tell the modulation scores
WATCHED = 0.02
# the source names no dev set and no choice of epochs: a dev set with train's colours would choose the heads that trust
# the colour most
TRAINING = {"max_epochs": 50, "keep": "last"}


@dataclass(frozen=True)
class Cell:
    """What one fit is: "gray", "colour" or a name of `METHODS`, at a sigma (None for gray)."""

    method: str
    sigma: float | None
    seed: int

    @property
    def views(self) -> tuple[str, ...]:
        if self.sigma is None:
            return ("gray",)
        colour = f"colour {self.sigma}"
        return (colour,) if self.method == "colour" else (colour, "gray")

    def balance(self, p_c: float) -> Balance:
        if self.method == "baseline" and self.sigma == WATCHED:
            return Balance("d_sse", {"p_c": 0.0})
        name = METHODS.get(self.method, "none")
        return Balance(name, {} if name == "none" else {"p_c": p_c})


def cells(sigmas: Sequence[float], seeds: int) -> Iterator[Cell]:
    """All fits, those of one split together."""
    for seed in range(seeds):
        yield Cell("gray", None, seed)
        for sigma in sigmas:
            yield from (Cell(method, sigma, seed) for method in ("colour", *METHODS))


def measure(
    sigmas: Sequence[float], seeds: int, draws: int, p_c: float, head: str, params: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row per fit: its cell, its accuracy on test in percent; for fusions what they do with their views."""
    drawn = {sigma: make_digits(sigma, draws=draws) for sigma in sigmas}
    any_digits = drawn[sigmas[0]]
    views = {f"colour {sigma}": digits.views["colour"] for sigma, digits in drawn.items()}
    views["gray"] = any_digits.views["gray"]
    splits = [any_digits.split(seed) for seed in range(seeds)]
    wanted = list(cells(sigmas, seeds))
    jobs = [_job(cell, splits[cell.seed], head, params, p_c) for cell in wanted]
    rows: list[dict[str, Any]] = []
    for index, outcome in fit_each(jobs, views, any_digits.labels):
        if isinstance(outcome, Exception):
            raise outcome
        rows.append(_row(wanted[index], outcome, views, any_digits, splits[wanted[index].seed]))
    return rows


def _job(cell: Cell, split: dict[str, np.ndarray], head: str, params: dict[str, Any], p_c: float) -> Job:
    return Job(
        HeadSpec(head, {**TRAINING, **params}, cell.balance(p_c)),
        split["train"],
        split["dev"],
        len(CLASSES),
        cell.seed,
        views=cell.views,
        answer=(split["test"],),
    )


def _row(
    cell: Cell, outcome: Any, views: dict[str, np.ndarray], digits: Digits, split: dict[str, np.ndarray]
) -> dict[str, Any]:
    fitted, test = outcome.fitted, split["test"]
    truth = digits.labels[test]
    row = {
        "method": cell.method,
        "sigma": cell.sigma,
        "seed": cell.seed,
        "accuracy": 100 * accuracy(truth, outcome.answers[0].argmax(axis=1)),
        "epoch": fitted.best_epoch,
        "seconds": fitted.seconds,
    }
    if len(cell.views) == 2:
        # on dev, where the colours are train's: on test a head is better off without the colour, and then d_util tells
        # how much the colour misleads
        row["d_util"] = utilisation(fitted, views, digits.labels, split["dev"]).d_util
        row["d_util_test"] = utilisation(fitted, views, digits.labels, test).d_util
        alone = unimodal_accuracy(fitted, views, digits.labels, test)
        row["colour_alone"], row["gray_alone"] = (100 * alone[view] for view in cell.views)
    if "rho" in fitted.history[0]:
        colour, gray = modulation_scores(fitted.history).values()
        row["scores"] = {"colour": colour, "gray": gray}
    return row


def main() -> None:
    """Run, print, write and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("artifacts/digits"))
    parser.add_argument("--sigmas", type=float, nargs="+", default=SIGMAS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--draws", type=int, default=2, help="colours drawn for each written digit of train and dev")
    parser.add_argument("--p-c", type=float, default=0.1, help="share of the posts that are perturbed")
    parser.add_argument("--head", default="concat", help="concat, sum, gated or film")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of head and trainer")
    given = parser.parse_args()
    started = time.perf_counter()
    params = parameters(given.preset, given.set)
    rows = measure(tuple(given.sigmas), given.seeds, given.draws, given.p_c, given.head, params)
    found, seconds = Results(rows), time.perf_counter() - started
    print("\n".join([*found.table(), *found.summary(), f"{len(rows)} fits in {seconds:.0f} s"]))
    given.output.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) if key == "output" else value for key, value in vars(given).items()}
    content = {"settings": settings, "seconds": seconds, "fits": rows}
    (given.output / "digits.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    from benchmarks.balance_plot import plot

    plot(found, given.output / "digits.png")
    print(f"written: {given.output / 'digits.json'}, {given.output / 'digits.png'}")


if __name__ == "__main__":
    main()
