"""What durable commits cost an extraction: ``python -m benchmarks.commits``.

The weights-free encoders over a drawn corpus, the same run twice in turn: with parts committed (written, fsynced,
renamed) and sealed, and with neither, so that only encoding is left. The weights-free encoders are the hardest
case: any other encoder takes longer for the same bytes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from cache import FeatureWriter
from features import CARDS, load
from pipeline.datasets.crisismmd import read_posts
from pipeline.extraction import extract as stage
from pipeline.extraction.vectors import VectorStore
from pipeline.log import set_quiet
from pipeline.sample import make_sample


class Waited:
    """Seconds that the extraction stood still for the cache: waiting for a commit's end, and sealing."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        with (
            mock.patch.object(VectorStore, "settle", self._timed(VectorStore.settle)),
            mock.patch.object(FeatureWriter, "seal", self._timed(FeatureWriter.seal)),
        ):
            yield

    def _timed(self, real: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def timed(held: Any) -> Any:
            started = time.perf_counter()
            try:
                return real(held)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


@contextmanager
def nothing_written() -> Iterator[None]:
    """Encoding only: neither commits nor seals reach the disk."""
    with (
        mock.patch.object(FeatureWriter, "commit", return_value=None),
        mock.patch.object(FeatureWriter, "seal", lambda self: self.path),
    ):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part-seconds", type=float, default=stage.PART_SECONDS)
    arguments = parser.parse_args()
    set_quiet(True)
    stage.PART_SECONDS = arguments.part_seconds
    seconds: dict[str, list[float]] = {"committed": [], "encoding only": []}
    shares: list[float] = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        make_sample(Path(folder) / "sample", posts=arguments.posts)
        posts = read_posts(Path(folder) / "sample")
        for repeat in range(arguments.repeats):
            for name in seconds:
                cache = Path(folder) / f"{name}-{repeat}"
                started = time.perf_counter()
                if name == "committed":
                    waited = Waited()
                    with waited.watching():
                        run(posts, cache)
                    shares.append(waited.seconds / (time.perf_counter() - started))
                else:
                    with nothing_written():
                        run(posts, cache)
                seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{arguments.posts} posts, classic, median of {arguments.repeats}, a part every {arguments.part_seconds:g} s")
    for name, found in seconds.items():
        print(f"  {name:14} {median[name]:7.2f} s   ({min(found):.2f} to {max(found):.2f})")
    print(f"  committed / encoding only: {median['committed'] / median['encoding only']:.3f} (target: at most 1.05)")
    print(f"  share of the time spent waiting for commits and the seal: {statistics.median(shares):.1%}")


def run(posts: stage.Posts, cache: Path) -> None:
    card = CARDS["classic"]
    stage.extract(posts, card, load(card), cache, stage.Options(), "benchmark")


if __name__ == "__main__":
    main()
