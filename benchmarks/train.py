"""How fast heads train: `python -m benchmarks.train [--items adet] [--turns 5] [--seeds 10] [--epochs 50]`.

CrisisMMD-sized planted views (9,599 train, 1,573 dev and 1,534 test posts, 2 x 512 features, two classes). The
competitors take turns, every figure is the median over the turns, and the machine's own fp32 matrix product is
measured in the same run. Item (c), the logistic path, is `benchmarks.logistic`.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rivals
from classifiers import HEADS, Job, fit_each
from classifiers.fitting import FittedHead
from classifiers.many import cores
from classifiers.metrics import accuracy

TRAIN, DEV, TEST, DIM = 9599, 1573, 1534, 512
TASKS = (2, 5, 3)
WORKER_MEMORY: list[float] = []
ROWS = {
    "train": np.arange(TRAIN),
    "dev": np.arange(TRAIN, TRAIN + DEV),
    "test": np.arange(TRAIN + DEV, TRAIN + DEV + TEST),
}


def planted(classes: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two views float32 that each carry part of the label, and noise that neither explains."""
    rng = np.random.default_rng(seed)
    n = TRAIN + DEV + TEST
    labels = rng.integers(0, classes, n)
    views = {}
    for name in ("image", "text"):
        centres = rng.normal(size=(classes, DIM)) * 0.12
        views[name] = (centres[labels] + rng.normal(size=(n, DIM))).astype(np.float32)
    wrong = rng.random(n) < 0.08
    return views, np.where(wrong, rng.integers(0, classes, n), labels)


def gemm_peak(threads: int) -> float:
    """The best fp32 rate of a 1024^3 product on `threads` threads, in GFLOP/s."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b, out = (torch.randn(1024, 1024) for _ in range(3))
    best = min(_seconds(lambda: torch.mm(a, b, out=out)) for _ in range(20))
    torch.set_num_threads(before)
    return 2 * 1024**3 / best / 1e9


@dataclass(frozen=True)
class Lap:
    """One competitor's fits in one turn: wall seconds of all, their epochs, accuracies on test, best dev losses."""

    seconds: float
    epochs: int
    right: list[float]
    dev_losses: list[float]
    in_fits: float = 0.0

    @property
    def per_fit(self) -> float:
        """Wall seconds a fit; several cores share it among them."""
        return self.seconds / len(self.right)

    @property
    def per_epoch(self) -> float:
        return self.seconds / self.epochs


def ours(
    views: dict[str, np.ndarray], labels: np.ndarray, seeds: Iterable[int], head: str = "guided_ca", **params: Any
) -> tuple[list[FittedHead], Lap]:
    """All seeds of one head."""
    started = time.perf_counter()
    n_classes = int(labels.max()) + 1
    jobs = [Job(head, ROWS["train"], ROWS["dev"], n_classes, seed, params, answer=(ROWS["test"],)) for seed in seeds]
    fitted, right = [], []
    for _, outcome in fit_each(jobs, views, labels):
        if isinstance(outcome, Exception):
            raise outcome
        fitted.append(outcome.fitted)
        _note_memory()
        right.append(accuracy(labels[ROWS["test"]], outcome.answers[0].argmax(axis=1)))
    epochs, in_fits = sum(len(one.history) for one in fitted), sum(one.seconds for one in fitted)
    losses = [one.history[one.best_epoch - 1].get("dev_loss", math.nan) for one in fitted]
    return fitted, Lap(time.perf_counter() - started, epochs, right, losses, in_fits)


def item_a(turns: int, seeds: int) -> None:
    """guided_ca under `paper`, full fits with evaluation and early stopping, and (b) `fast` beside the same loop.

    Every turn has seeds of its own, together `seeds` or more: ours trains one for each core, the others one.
    """
    views, labels = planted(2)
    each = max(cores(), -(-seeds // turns))
    ours(views, labels, range(each), max_epochs=1)  # the process that workers are forked from has started
    for width in (128, 512):
        for momentum in (0.0, 0.9):
            paper = {"preset": "paper", "width": width, "momentum": momentum, "max_epochs": rivals.EPOCHS}
            race: dict[str, Callable[[int], Lap]] = {
                "ours": lambda turn, p=paper: ours(views, labels, range(turn * each, (turn + 1) * each), **p)[1],
                "sources' loop": lambda turn, w=width, m=momentum: _lap(rivals.loop, views, labels, turn, w, m),
            }
            if momentum == 0.0:
                race["fast"] = lambda turn, w=width: ours(
                    views, labels, range(turn * each, (turn + 1) * each), width=w
                )[1]
            elif width == 128:
                race["scikit-learn MLP"] = lambda turn, w=width, m=momentum: _lap(
                    rivals.sklearn_mlp, views, labels, turn, w, m
                )
                if rivals.has_skorch():
                    race["skorch"] = lambda turn, w=width, m=momentum: _lap(
                        rivals.skorch_net, views, labels, turn, w, m
                    )
            peaks, laps = [], {name: [] for name in race}
            for turn in range(turns):
                peaks.append(gemm_peak(cores()) / cores())
                for name, run in race.items():
                    laps[name].append(run(turn))
            _print_race(f"K={width} momentum={momentum}", laps, statistics.median(peaks), width)


def _lap(rival: Callable[..., tuple[int, list[float], list[float]]], *what: Any) -> Lap:
    """One fit of a rival, the turn being its seed."""
    views, labels, turn, *settings = what
    started = time.perf_counter()
    epochs, right, losses = rival(views, labels, ROWS, [turn], *settings)
    return Lap(time.perf_counter() - started, epochs, right, losses)


def _print_race(title: str, laps: dict[str, list[Lap]], peak: float, width: int) -> None:
    """The medians over the turns; ratios are within a turn."""
    mine = laps.pop("ours")
    # four products forward and four back per epoch over train, four forward over dev
    products = (8 * TRAIN + 4 * DEV) * 2 * DIM * width
    rate = statistics.median(lap.epochs * products / lap.in_fits for lap in mine) / 1e9
    print(f"(a) {title}: ours {_said(mine)}; {rate:.0f} GFLOP/s a core of {peak:.0f} ({100 * rate / peak:.0f} %)")
    fast = laps.pop("fast", None)
    for name, theirs in laps.items():
        whole = _ratio(theirs, mine, lambda lap: lap.per_fit)
        print(f"    {name} {_said(theirs)}: {whole} a fit, {_ratio(theirs, mine, lambda lap: lap.per_epoch)} an epoch")
    if fast is not None:
        loop = laps["sources' loop"]
        lower = sum(
            loss <= min(lap.dev_losses) for lap, other in zip(loop, fast, strict=True) for loss in other.dev_losses
        )
        count = sum(len(lap.dev_losses) for lap in fast)
        print(
            f"(b) {title}: fast {_said(fast)}: {_ratio(loop, fast, lambda lap: lap.per_fit)} the loop's speed; "
            f"{lower} of {count} fits end at or below the dev loss of their turn's loop",
            flush=True,
        )


def _said(laps: list[Lap]) -> str:
    right, losses = ([one for lap in laps for one in getattr(lap, name)] for name in ("right", "dev_losses"))
    seconds, epochs = statistics.median(lap.per_fit for lap in laps), sum(lap.epochs for lap in laps) / len(right)
    return (
        f"{seconds:.2f} s a fit, {epochs:.0f} epochs, accuracy {np.mean(right):.4f} ± {np.std(right):.4f}, "
        f"dev loss {np.mean(losses):.4f}"
    )


def _ratio(theirs: list[Lap], mine: list[Lap], of: Callable[[Lap], float]) -> str:
    ratios = [of(their) / of(own) for their, own in zip(theirs, mine, strict=True)]
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def item_d(turns: int, seeds: int) -> None:
    """Every head for two vectors x three tasks x ten seeds under `fast`, once."""
    heads = [card for card in HEADS.values() if card.swept and card.views[0] <= 2 and (card.views[1] or 2) >= 2]
    _matrix("d", [card.name for card in heads], seeds, {classes: planted(classes, classes) for classes in TASKS})


def item_t(turns: int, seeds: int) -> None:
    """Every token head on cached token views (float16, mapped) x three tasks x ten seeds under `fast`, once."""
    with tempfile.TemporaryDirectory() as folder:
        problems = {classes: planted_tokens(classes, Path(folder)) for classes in TASKS}
        _matrix("t", [card.name for card in HEADS.values() if card.swept and card.tokens], seeds, problems)


def planted_tokens(classes: int, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """16 image and up to 32 text tokens of 384 features, float16 maps; a third of a post's tokens tell the label."""
    rng = np.random.default_rng(classes)
    n = TRAIN + DEV + TEST
    labels = rng.integers(0, classes, n)
    views: dict[str, np.ndarray] = {}
    for name, length in (("image", 16), ("text", 32)):
        centres = rng.normal(size=(classes, 384)) * 0.12
        views[name] = np.lib.format.open_memmap(
            folder / f"{name}{classes}.npy", mode="w+", dtype=np.float16, shape=(n, length, 384)
        )
        for start in range(0, n, 1000):
            own = labels[start : start + 1000]
            telling = rng.random((len(own), length, 1)) < 0.3
            tokens = rng.standard_normal((len(own), length, 384), dtype=np.float32) + centres[own][:, None] * telling
            if name == "text":
                ends = np.clip(rng.normal(20, 7, len(own)), 4, length)
                tokens[np.arange(length) >= ends[:, None]] = 0
            views[name][start : start + 1000] = tokens
    return views, labels


def _matrix(
    item: str, heads: list[str], seeds: int, problems: dict[int, tuple[dict[str, np.ndarray], np.ndarray]]
) -> None:
    """Train all heads on all problems; print each head's wall time, and the sum of its fits'."""
    started, total = time.perf_counter(), 0
    for head in heads:
        before = time.perf_counter()
        fitted = [one for views, labels in problems.values() for one in ours(views, labels, range(seeds), head)[0]]
        total += len(fitted)
        in_fits, epochs = sum(one.seconds for one in fitted), sum(len(one.history) for one in fitted)
        print(
            f"({item}) {head}: {time.perf_counter() - before:.1f} s, {in_fits:.1f} s in fits, {epochs} epochs",
            flush=True,
        )
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"({item}) {len(heads)} heads x {len(problems)} tasks x {seeds} seeds = {total} fits: "
        f"{time.perf_counter() - started:.0f} s, {own:.0f} MiB here, "
        f"at most {max(WORKER_MEMORY, default=0):.0f} MiB in a worker"
    )


def _note_memory() -> None:
    """Keep the highest memory, in MiB, that a worker has had; Linux says it while the worker lives."""
    for worker in multiprocessing.active_children():
        status = Path(f"/proc/{worker.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        highest = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
        WORKER_MEMORY.extend(highest)


def item_e(turns: int, seeds: int) -> None:
    """From `crisis fit-head` to the end of one epoch on the sample corpus, beside Python's and torch's own start."""
    stage_two = ["-m", "pipeline", "fit-head", "--dataset", "sample", "--head", "guided_ca", "--quiet"]
    first = [*stage_two, "--seeds", "1", "--set", "max-epochs=1"]
    commands = {"fit-head": first, "import torch": ["-c", "import torch"], "--help": ["-m", "pipeline", "--help"]}
    extract = ["-m", "pipeline", "extract", "--model", "classic", "--dataset", "sample", "--quiet"]
    subprocess.run([sys.executable, *extract], check=False, capture_output=True)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(turns):
        for name, words in commands.items():
            run = partial(subprocess.run, [sys.executable, *words], check=True, capture_output=True)
            seconds[name].append(_seconds(run))
    print("(e) " + ", ".join(f"{name} {statistics.median(taken):.2f} s" for name, taken in seconds.items()))


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Print the asked-for items; `t` takes longer than all the others and must be asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--items",
        default="ade",
        help="parts of the table, b comes with a; t, token heads on token views, takes longest",
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=50, help="of `paper` and its rivals; fewer for a quick look")
    given = parser.parse_args()
    rivals.EPOCHS = given.epochs
    for name, item in (("a", item_a), ("d", item_d), ("e", item_e), ("t", item_t)):
        if name in given.items:
            item(given.turns, given.seeds)


if __name__ == "__main__":
    main()
