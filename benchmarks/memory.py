"""Peak memory of an extraction by the number of posts: ``python -m benchmarks.memory``.

Each size runs in a process of its own: posts that share a few thousand small JPEGs, every text distinct, and an encoder
so small that what is measured is the pipeline. Measured are anonymous bytes (what programs allocate; pages of
files that are mapped or cached can be taken back at any time), sampled every few milliseconds: `dataset` when the
posts are in memory, `peak` at most, and the difference, which is what the extraction takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cache import FeatureFile
from features import CARDS, Card
from features.encoders.encoder import Encoder
from features.text import Text
from pipeline.cli.options import print_table
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Options, extract
from pipeline.log import set_quiet

WIDTH = 384
CARD = Card("tiny", "a tiny encoder", ("image", "text"), {}, "", "")


class Tiny(Encoder):
    """Vectors [384] of a photo's first pixels and of a text's first bytes."""

    modalities = ("image", "text")
    views = {"image/first": (WIDTH,), "text/first": (WIDTH,)}
    identity = {"version": 1}

    def prepare(self, image: Any) -> np.ndarray:
        return np.asarray(image).ravel()[:WIDTH]

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"image/first": batch.astype(np.float32)}

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        padded = [str(text).encode()[:WIDTH].ljust(WIDTH) for text in texts]
        return {"text/first": np.frombuffer(b"".join(padded), np.uint8).reshape(-1, WIDTH).astype(np.float32)}


def anonymous() -> int:
    """Anonymous resident bytes of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def measure(folder: Path, rows: int, photos: int) -> dict[str, float]:
    """Extract `rows` posts over the `photos` JPEGs in `folder`: bytes and seconds."""
    before = anonymous()
    rng = np.random.default_rng(0)
    posts = Posts(
        name="posts",
        root=folder,
        ids=[f"post-{row}" for row in range(rows)],
        groups=[f"group-{row}" for row in range(rows)],
        texts=[f"post number {row} from the flood, https://t.co/{row:010d} #flood #help" for row in range(rows)],
        images=[f"{photo}.jpg" for photo in rng.integers(0, photos, rows).tolist()],
        events=[""] * rows,
        labels={},
        origin="benchmark",
    )
    found = {"before": before, "dataset": anonymous(), "peak": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.004):
            found["peak"] = max(found["peak"], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder.parent) as cache:
        result = extract(posts, CARD, Tiny(), Path(cache), Options(), "benchmark")
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
        with FeatureFile.open(result.file) as file:
            assert (result.ok, file.n) == (rows, rows)
    return {**found, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 5_000, 20_000, 100_000])
    parser.add_argument("--photos", type=int, default=3_000)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    assert "tiny" not in CARDS
    set_quiet(True)
    if a.one:
        print(json.dumps(measure(a.one, a.rows[0], a.photos)))
        return
    table = []
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch).resolve() / "photos"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for photo in range(a.photos):
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{photo}.jpg")
        for rows in a.rows:
            command = [sys.executable, "-m", "benchmarks.memory", "--one", str(folder), "--rows", str(rows)]
            run = subprocess.run([*command, "--photos", str(a.photos)], capture_output=True, text=True, check=True)
            found = json.loads(run.stdout)
            mb = {name: found[name] / 1e6 for name in ("before", "dataset", "peak")}
            table.append(
                [f"{rows:,}", f"{mb['before']:.0f}", f"{mb['dataset'] - mb['before']:.0f}", f"{mb['peak']:.0f}",
                 f"{mb['peak'] - mb['dataset']:.0f}", f"{rows / found['seconds']:.0f}"]
            )  # fmt: skip
    print_table(["posts", "start MB", "posts' own MB", "peak MB", "extraction MB", "posts/s"], table)


if __name__ == "__main__":
    main()
