"""Every architecture that a library has, at tiny size: works and equals the library, or is refused in one sentence.

`python -m benchmarks.architectures --kind text` (or vision, timm, open_clip) goes over all of them, prints a line for
each and the counts, and ends with 1 where one failed: gave another vector than the library, or anything but one
sentence. A kind is a module with `names()` and `attempt(name, folder)`, which gives one of `OUTCOMES` and a sentence.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path

KINDS = {kind: f"benchmarks.architectures_{kind}" for kind in ("text", "vision", "timm", "open_clip")}
OUTCOMES = ("works", "refused", "not built", "failed")


def survey(kind: str, only: list[str]) -> Counter[str]:
    """Try each architecture (or those in `only`) in a folder of its own, and count the outcomes."""
    module = import_module(KINDS[kind])
    counted: Counter[str] = Counter()
    for name in only or module.names():
        with tempfile.TemporaryDirectory() as folder:
            outcome, why = module.attempt(name, Path(folder))
        counted[outcome] += 1
        print(f"{outcome:10}{name:32}{' '.join(why.split())[:240]}", flush=True)
    return counted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("only", nargs="*", help="names of architectures [all]")
    given = parser.parse_args()
    counted = survey(given.kind, given.only)
    print(", ".join(f"{counted[outcome]} {outcome}" for outcome in OUTCOMES))
    return 1 if counted["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
