"""How fast heads train: `python -m benchmarks.train [--items adet] [--turns 5] [--seeds 10] [--epochs 50]`.

CrisisMMD-sized planted views (9,599 train, 1,573 dev and 1,534 test posts, 2 x 512 features, two classes). The
competitors take turns, every figure is the median over the turns, and the machine's own fp32 matrix product is
measured in the same run. Item (c), the logistic path, is `benchmarks.logistic`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rivals
from classifiers import HEADS, HeadSpec, Job, fit_each, head_card
from classifiers.metrics import accuracy
from classifiers.parallel import cores

TRAIN, DEV, TEST, DIM = 9599, 1573, 1534, 512
POSTS = TRAIN + DEV + TEST
TASKS = (2, 5, 3)
WORKER_MEMORY: list[float] = []
ROWS = {
    "train": np.arange(TRAIN),
    "dev": np.arange(TRAIN, TRAIN + DEV),
    "test": np.arange(TRAIN + DEV, TRAIN + DEV + TEST),
}


def planted(tasks: Sequence[int], seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two views float32 that each carry part of the label of each task, named by its count of classes, and labels of
    which 8 % are drawn anew.
    """
    rng = np.random.default_rng(seed)
    truth = {classes: rng.integers(0, classes, POSTS) for classes in tasks}
    views = {}
    for name in ("image", "text"):
        views[name] = rng.standard_normal((POSTS, DIM), dtype=np.float32) + _told(rng, truth, DIM)
    return views, _with_mistakes(rng, truth)


def _told(rng: np.random.Generator, truth: dict[int, np.ndarray], dim: int) -> np.ndarray:
    """What one view says of each post, [n, dim]: a point for every class of every task, and their sum."""
    return sum((rng.normal(size=(classes, dim)) * 0.12).astype(np.float32)[own] for classes, own in truth.items())


def _with_mistakes(rng: np.random.Generator, truth: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    wrong = rng.random(POSTS) < 0.08
    return {str(classes): np.where(wrong, rng.integers(0, classes, POSTS), own) for classes, own in truth.items()}


def gemm_peak(threads: int) -> float:
    """The best fp32 rate of a 1024^3 product on `threads` threads, in GFLOP/s."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b, out = (torch.randn(1024, 1024) for _ in range(3))
    best = min(_seconds(lambda: torch.mm(a, b, out=out)) for _ in range(20))
    torch.set_num_threads(before)
    return 2 * 1024**3 / best / 1e9


@dataclass
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


def ours(views: dict[str, np.ndarray], labels: np.ndarray, each: int, params: dict[str, Any], turn: int) -> Lap:
    """guided_ca with the `each` seeds of a turn."""
    started = time.perf_counter()
    seeds = range(turn * each, (turn + 1) * each)
    n_classes = int(labels.max()) + 1
    jobs = [
        Job(HeadSpec("guided_ca", params), ROWS["train"], ROWS["dev"], n_classes, s, answer=(ROWS["test"],))
        for s in seeds
    ]
    lap = Lap(0, 0, [], [])
    for _, outcome in fit_each(jobs, views, labels):
        if isinstance(outcome, Exception):
            raise outcome
        fitted = outcome.fitted
        lap.epochs += len(fitted.history)
        lap.in_fits += fitted.seconds
        lap.right.append(accuracy(labels[ROWS["test"]], outcome.answers[0].argmax(axis=1)))
        lap.dev_losses.append(fitted.history[fitted.best_epoch - 1]["dev_loss"])
    lap.seconds = time.perf_counter() - started
    return lap


def theirs(
    rival: Callable[..., rivals.Given],
    views: dict[str, np.ndarray],
    labels: np.ndarray,
    width: int,
    momentum: float,
    turn: int,
) -> Lap:
    """One fit of a rival, the turn being its seed."""
    started = time.perf_counter()
    epochs, right, loss = rival(views, labels, ROWS, turn, width, momentum)
    return Lap(time.perf_counter() - started, epochs, [right], [loss])


def item_a(turns: int, seeds: int) -> None:
    """guided_ca under `paper`, full fits with evaluation and early stopping, and (b) `fast` beside the same loop.

    Every turn has seeds of its own, together `seeds` or more: ours trains one for each core, the others one.
    """
    views, by_task = planted([2])
    labels = by_task["2"]
    each = max(cores(), -(-seeds // turns))
    ours(views, labels, each, {"max_epochs": 1}, 0)  # the process that workers are forked from has started
    for width in (128, 512):
        for momentum in (0.0, 0.9):
            paper = {"preset": "paper", "width": width, "momentum": momentum, "max_epochs": rivals.EPOCHS}
            race = {"ours": partial(ours, views, labels, each, paper)}
            others = {"sources' loop": rivals.loop}
            if momentum == 0.0:
                race["fast"] = partial(ours, views, labels, each, {"width": width})
            elif width == 128:
                others["scikit-learn MLP"] = rivals.sklearn_mlp
                if rivals.has_skorch():
                    others["skorch"] = rivals.skorch_net
            race |= {name: partial(theirs, rival, views, labels, width, momentum) for name, rival in others.items()}
            peaks: list[float] = []
            laps: dict[str, list[Lap]] = {name: [] for name in race}
            for turn in range(turns):
                peaks.append(gemm_peak(cores()) / cores())
                for name, run in race.items():
                    laps[name].append(run(turn))
            _print_race(f"K={width} momentum={momentum}", laps, statistics.median(peaks), width)


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
    views, labels = planted(TASKS)
    _matrix("d", [card.name for card in heads], seeds, views, labels)


def item_t(turns: int, seeds: int) -> None:
    """Every token head on cached token views (float16, mapped) x three tasks x ten seeds under `fast`, once."""
    with tempfile.TemporaryDirectory() as folder:
        views, labels = planted_tokens(Path(folder))
        _matrix("t", [card.name for card in HEADS.values() if card.swept and card.tokens], seeds, views, labels)


def planted_tokens(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """16 image and up to 32 text tokens of 384 features, float16 maps; a third of a post's tokens tell its labels."""
    rng = np.random.default_rng(0)
    truth = {classes: rng.integers(0, classes, POSTS) for classes in TASKS}
    views: dict[str, np.ndarray] = {}
    for name, length in (("image", 16), ("text", 32)):
        told = _told(rng, truth, 384)
        views[name] = np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=(POSTS, length, 384)
        )
        for start in range(0, POSTS, 1000):
            own = told[start : start + 1000]
            telling = rng.random((len(own), length, 1)) < 0.3
            tokens = rng.standard_normal((len(own), length, 384), dtype=np.float32) + own[:, None] * telling
            if name == "text":
                ends = np.clip(rng.normal(20, 7, len(own)), 4, length)
                tokens[np.arange(length) >= ends[:, None]] = 0
            views[name][start : start + 1000] = tokens
    return views, _with_mistakes(rng, truth)


def _matrix(
    item: str, heads: list[str], seeds: int, views: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> None:
    """Train all heads on all tasks over one copy of the views; print each head's time in fits, and the whole."""
    jobs = [
        Job(HeadSpec(head), ROWS["train"], ROWS["dev"], int(task), seed, labels=task, answer=(ROWS["test"],))
        for head in heads
        for task in labels
        for seed in range(seeds)
    ]
    fits: dict[str, list[tuple[str, float, float]]] = {head: [] for head in heads}
    started = time.perf_counter()
    for index, outcome in fit_each(jobs, views, labels):
        if isinstance(outcome, Exception):
            raise outcome
        _note_memory()
        head, task = jobs[index].head, jobs[index].labels
        right = accuracy(labels[task][ROWS["test"]], outcome.answers[0].argmax(axis=1))
        # a head that ignores the seed is trained once for all seeds of a task
        fits[head].append((task, outcome.fitted.seconds / (seeds if head_card(head).deterministic else 1), right))
        if len(fits[head]) == seeds * len(labels):
            _print_fits(item, head, fits.pop(head))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"({item}) {len(heads)} heads x {len(labels)} tasks x {seeds} seeds = {len(jobs)} fits: "
        f"{time.perf_counter() - started:.0f} s, {own:.0f} MiB here, "
        f"at most {max(WORKER_MEMORY, default=0):.0f} MiB in a worker"
    )


def _print_fits(item: str, head: str, fits: list[tuple[str, float, float]]) -> None:
    rights = {task: np.mean([right for name, _, right in fits if name == task]) for task, _, _ in fits}
    said = ", ".join(f"{100 * right:.1f} of {task} classes" for task, right in rights.items())
    print(f"({item}) {head}: {sum(taken for _, taken, _ in fits):.1f} s in fits; right on test: {said}", flush=True)


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
