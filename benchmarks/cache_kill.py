"""Real ``kill -9`` at random moments of a real writer process, then resume.

``python -m benchmarks.cache_kill --kills 1000`` lives the life of a cache file over and over: parts, replaced rows, a
seal, a grown dataset, a second seal. After each kill a reader must see every acknowledged row and no other state than
one between two commits; at the end of each life the arrays must equal those of an uninterrupted run.
"""

from __future__ import annotations

import argparse
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

from cache import CacheError, FeatureFile, FeatureWriter, Rows, ViewSpec, verify

DIMENSIONS = 256
PART = 25
LONGEST_WAIT = 0.12
# (start, stop, generation) of each commit, and the commits after which the file is sealed.
COMMITS = [
    *((start, start + PART, 0) for start in range(0, 250, PART)),
    (40, 110, 1),
    *((start, start + PART, 0) for start in range(250, 400, PART)),
    (0, 30, 2),
]
SEAL_AFTER = (11, len(COMMITS))


def state_after(count: int) -> list[int]:
    """Generation of each row after ``count`` commits."""
    generations: list[int] = []
    for start, stop, generation in COMMITS[:count]:
        generations[start:stop] = [generation] * (stop - start)
    return generations


STATES = [state_after(count) for count in range(len(COMMITS) + 1)]


def make_values(rows: np.ndarray, generations: np.ndarray) -> np.ndarray:
    """float16 [n, 256] that follows from row and generation alone."""
    numbers = rows[:, None] * 131 + generations[:, None] * 7919 + np.arange(DIMENSIONS)
    return (numbers % 2048).astype(np.float16)


def make_rows(start: int, stop: int, generation: int) -> Rows:
    """One batch."""
    rows = np.arange(start, stop)
    return Rows(
        ids=[f"post-{row}" for row in rows],
        groups=[f"group-{row // 2}" for row in rows],
        views={"image/pooled": make_values(rows, np.full(len(rows), generation))},
        status={"image": np.zeros(len(rows), np.uint8)},
        hashes={"image": np.full((len(rows), 16), generation, np.uint8)},
        stamps={"image": (rows * 16 + generation).astype(np.uint64)},
        captions={"text": [f"caption {row}.{generation}" for row in rows]},
    )


def generations_of(file: FeatureFile) -> list[int]:
    """The generation of each row; raises AssertionError when the tables of a row do not agree on it."""
    rows = np.arange(file.n)
    generations = file.stamps("image").astype(np.int64) - rows * 16
    assert ((generations >= 0) & (generations < 16)).all(), "garbage stamps"
    assert np.array_equal(file.read("image/pooled", verify=True), make_values(rows, generations)), "garbage vectors"
    assert (file.hashes("image") == generations[:, None]).all(), "garbage hashes"
    captions = [f"caption {row}.{generation}" for row, generation in enumerate(generations)]
    assert file.captions("text").to_list() == captions, "garbage captions"
    assert file.id_list() == [f"post-{row}" for row in rows], "garbage ids"
    return generations.tolist()


def open_writer(path: Path) -> FeatureWriter:
    """The writer of the one cache file."""
    views = {"image/pooled": ViewSpec((DIMENSIONS,), "float16")}
    return FeatureWriter(path, views=views, modalities=["image"], captions=["text"], provenance={"fingerprint": "k"})


def live(path: Path, acknowledge: int) -> None:
    """Go on from wherever the file is to the end, telling the pipe the number of commits done after each."""
    with open_writer(path) as writer:
        done = STATES.index(generations_of(writer.committed)) if writer.committed else 0
        for number in range(done, len(COMMITS) + 1):
            if number in SEAL_AFTER:
                writer.seal()
            if number < len(COMMITS):
                start, stop, generation = COMMITS[number]
                writer.commit(start, make_rows(start, stop, generation))
                os.write(acknowledge, bytes([number + 1]))
    os.write(acknowledge, b"\xff")


def run_until_killed(path: Path, wait: float) -> tuple[list[int], bool]:
    """Run a writer process, kill it after ``wait`` seconds: commits it told of, and whether the kill found it alive."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            live(path, writing)
            os._exit(0)
        except BaseException as error:
            print(f"the writer failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    os.close(writing)
    deadline = time.monotonic() + wait
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.0005)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    told = b""
    while chunk := os.read(reading, 1 << 16):
        told += chunk
    os.close(reading)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a resumed writer failed")
    return list(told), os.WIFSIGNALED(status)


def moment_of(path: Path) -> str:
    """What the kill interrupted, by what lies about."""
    if path.with_name(path.name + ".tmp").exists():
        return "during a seal"
    if any(path.with_name(path.name + ".parts").glob("*.tmp")):
        return "during a part"
    return "between them"


def check(path: Path, known: int, tally: Counter) -> int:
    """Look at the file as a reader; the number of commits it holds."""
    try:
        with FeatureFile.open(path) as file:
            found = generations_of(file)
    except CacheError as error:
        found = []
        tally["unreadable files"] += "no feature cache" not in str(error)
    except AssertionError:
        tally["files with garbage rows"] += 1
        return known
    if found not in STATES:
        tally["mixed states"] += 1
        return known
    tally["committed rows lost"] += sum(stop - start for start, stop, _ in COMMITS[STATES.index(found) : known])
    return STATES.index(found)


def finish(path: Path, tally: Counter) -> None:
    """The end of a life: equal to an uninterrupted run, sealed, sound, nothing lying about."""
    with FeatureFile.open(path) as file:
        equal = file.sealed and generations_of(file) == STATES[-1]
    tally["lives"] += 1
    clean = [entry.name for entry in path.parent.iterdir()] == [path.name]
    tally["unequal ends"] += not (equal and clean and verify(path).ok)


def main() -> int:
    """Parse arguments, kill, print the tally; 0 only if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    rng, tally, known, kills = random.Random(options.seed), Counter(), 0, 0
    path = folder / "set" / "clip.h5"
    while kills < options.kills or known:
        wait = rng.uniform(0, LONGEST_WAIT) if kills < options.kills else 60.0
        told, alive = run_until_killed(path, wait)
        known = max([known, *(number for number in told if number != 0xFF)])
        kills += alive
        tally[moment_of(path)] += alive
        known = check(path, known, tally)
        if told[-1:] == [0xFF]:
            finish(path, tally)
            shutil.rmtree(path.parent)
            known = 0
    shutil.rmtree(folder)
    moments = ", ".join(f"{tally[name]} {name}" for name in ("during a part", "during a seal", "between them"))
    print(f"{kills} kills of a live writer ({moments}); {tally['lives']} lives to the end")
    bad = ("unreadable files", "committed rows lost", "files with garbage rows", "mixed states", "unequal ends")
    print(", ".join(f"{tally[name]} {name}" for name in bad))
    return int(any(tally[name] for name in bad))


if __name__ == "__main__":
    sys.exit(main())
