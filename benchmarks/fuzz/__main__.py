"""`python -m benchmarks.fuzz photos --count 5000`: try so many spoilt inputs and count what became of them."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path

KINDS = ("photos", "tables", "weights", "heads", "runs")
SHOWN = 20


def campaign(kind: str, count: int, seed: int) -> Counter[str]:
    """The outcomes of `count` trials of `benchmarks.fuzz.KIND`, whose `Trials(folder).one(rng)` gives an outcome and a
    sentence; outcomes that begin with "FAILED" are printed.
    """
    module = import_module(f"benchmarks.fuzz.{kind}")
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        trials = module.Trials(Path(folder))
        for number in range(count):
            outcome, why = trials.one(random.Random(f"{seed}-{number}"))
            counted[outcome] += 1
            if outcome.startswith("FAILED") and counted[outcome] <= SHOWN:
                print(f"{number}: {outcome}: {' '.join(why.split())[:400]}", flush=True)
    return counted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counted = campaign(asked.kind, asked.count, asked.seed)
    print(f"{asked.count} {asked.kind}: " + ", ".join(f"{count} {outcome}" for outcome, count in counted.most_common()))
    return int(any(outcome.startswith("FAILED") for outcome in counted))


if __name__ == "__main__":
    sys.exit(main())
