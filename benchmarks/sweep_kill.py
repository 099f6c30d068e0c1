"""Real ``kill -9`` at random moments of a real sweep, then the same sweep again.

``python -m benchmarks.sweep_kill --kills 500`` runs one sweep over and over, killed at a moment drawn anew each time,
until it ends by itself; then its runs must be those of an uninterrupted sweep, each whole and with the same figures,
and the next life begins in a new folder. Counted are the sweeps that refused to go on after a kill, folders that are
seen and are not whole, and lives that ended with other figures.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.cli.app import app
from pipeline.errors import DataError
from pipeline.log import set_quiet
from pipeline.runs.run import Run

HEADS = "prototype,knn,logistic,concat"
LONGEST = 1.3
"""A sweep is killed at the latest after so many times what an uninterrupted one takes."""


def prepare(folder: Path) -> list[str]:
    """A table with its features; the sweep's arguments but for its output."""
    rng = np.random.default_rng(0)
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label", "group"])
        for row in range(150):
            label = int(rng.integers(2))
            word = ("flood", "sun")[label if rng.random() < 0.9 else 1 - label]
            writer.writerow([row, f"{word} {row % 40}", "ab"[label], row % 50])
    named = ["--data", str(folder / "t.csv"), "--group-column", "group", "--cache", str(folder / "cache"), "--quiet"]
    run(["extract", "--model", "classic", *named])
    return ["sweep", "--heads", HEADS, "--text", "classic", "--seeds", "2", "--workers", "1", *named]


def run(arguments: list[str]) -> None:
    app(arguments, standalone_mode=False)


def child(arguments: list[str], log: str) -> None:
    sys.stdout = sys.stderr = open(log, "w")  # noqa: SIM115
    try:
        run(arguments)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)
    os._exit(0)


def figures(runs: Path) -> dict[str, object]:
    """What the whole runs of a folder say, by their configuration. Raises `DataError` for one that is not whole."""
    found: dict[str, object] = {}
    for folder in runs.iterdir() if runs.exists() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            opened = Run.open(folder)
            opened.check()
            found[opened.config.digest] = opened.summary
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    set_quiet(True)
    random.seed(asked.seed)
    context = multiprocessing.get_context("fork")
    counts: Counter[str] = Counter(kills=0, lives=0, blocked=0, torn=0, other=0, leftovers=0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        arguments = prepare(folder)
        log = str(folder / "log")
        alone = context.Process(target=child, args=([*arguments, "--output", str(folder / "alone")], log))
        started = time.monotonic()
        alone.start()
        alone.join()
        seconds = time.monotonic() - started
        print(f"one sweep: {seconds:.2f} s")
        expected = figures(folder / "alone")
        assert len(expected) == len(HEADS.split(","))
        runs = folder / "runs"
        while counts["kills"] < asked.kills:
            process = context.Process(target=child, args=([*arguments, "--output", str(runs)], log))
            process.start()
            process.join(random.uniform(0, LONGEST * seconds))
            if process.exitcode is None:
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
            killed = process.exitcode == -signal.SIGKILL
            counts["kills"] += killed
            try:
                there = figures(runs)
            except DataError as error:
                counts["torn"] += 1
                print(error)
                there = {}
            if killed:
                continue
            if process.exitcode != 0:
                counts["blocked"] += 1
                print(Path(log).read_text()[-500:])
            elif there != expected:
                counts["other"] += 1
                print(f"{len(there)} runs for {len(expected)}")
            elif hidden := [path.name for path in runs.iterdir() if path.name.startswith(".")]:
                counts["leftovers"] += 1
                print(f"left behind: {', '.join(hidden)}")
            counts["lives"] += 1
            shutil.rmtree(runs, ignore_errors=True)
    print(
        f"{counts['kills']} kills in {counts['lives']} lives: {counts['blocked']} sweeps refused to go on, "
        f"{counts['torn']} folders were seen torn, {counts['other']} lives ended otherwise than uninterrupted, "
        f"{counts['leftovers']} with a hidden file left behind"
    )
    sys.exit(bool(counts["blocked"] + counts["torn"] + counts["other"]))


if __name__ == "__main__":
    main()
