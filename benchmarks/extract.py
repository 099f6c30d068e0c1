"""Extraction beside its peers and its limit: ``python -m benchmarks.extract --help`` says what it needs.

The same weights, machine and precision for all, in turn, medians of several rounds, wall clock and CPU seconds:

- limit: the pure forward on tensors that lie ready in memory, at the best batch size of a few; once with all cores on
  one batch, as torch does it by itself, and once with a batch per core, as we do it. The better one is the limit;
- crisis: `crisis extract` end to end, from files on disk to a sealed HDF5 file;
- dataloader: a plain loop over a torch DataLoader with two workers, in the order of the rows, padded batches;
- pipeline: transformers' own feature-extraction pipeline; thingsvision: its extractor, where it is installed.

Texts and the shared photos are the first rows of `--posts` (columns text, image_path), as they come: peers encode
every row of them. At the end bf16 beside fp32. Results are kept nowhere but on standard output.
"""

from __future__ import annotations

import argparse
import csv
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import peers
from cache import FeatureFile
from features import CARDS, load
from pipeline.cli.options import print_table
from pipeline.datasets.posts import Posts
from pipeline.extraction.extract import Options, extract
from pipeline.log import set_quiet

Run = Callable[[], None]


def posts_of(root: Path, images: Sequence[str], texts: Sequence[str]) -> Posts:
    count = max(len(images), len(texts))
    empty = [""] * count
    ids = [str(i) for i in range(count)]
    return Posts("bench", root, ids, ids, texts or empty, images or empty, empty, {}, "benchmark")


def crisis(model: str, weights: str, precision: str, posts: Posts) -> Run:
    encoder = load(CARDS[model], pretrained=weights, precision=precision)

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=".") as cache:
            extract(posts, CARDS[model], encoder, Path(cache), Options(precision=precision), "benchmark")

    return run


def used() -> tuple[float, float]:
    """Wall clock and CPU seconds, of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return time.perf_counter(), cpu


def compare(title: str, unit: str, count: int, systems: dict[str, Run], repeats: int) -> dict[str, float]:
    """Run the systems in turn and print inputs per second, beside the better limit and beside ours; seconds each."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    for run in systems.values():
        run()  # warm: pages, thread pools, first calls
    for _ in range(repeats):
        for name, run in systems.items():
            wall, cpu = used()
            run()
            now = used()
            spent[name].append((now[0] - wall, now[1] - cpu))
    walls = {name: statistics.median(wall for wall, _ in found) for name, found in spent.items()}
    cpus = {name: statistics.median(cpu for _, cpu in found) for name, found in spent.items()}
    limit = min(seconds for name, seconds in walls.items() if name.startswith("limit"))
    print(f"\n{title}: {count} {unit}, median of {repeats}")
    rows = [
        [name, f"{count / walls[name]:.1f}", f"{limit / walls[name]:.2f}", f"{walls[name] / walls['crisis']:.2f}",
         f"{1000 * cpus[name] / count:.1f}", f"{cpus[name] / cpus['crisis']:.2f}"]
        for name in systems
    ]  # fmt: skip
    print_table(["system", f"{unit}/s", "of the limit", "crisis is x times", "CPU ms each", "CPU, x crisis"], rows)
    return walls


def images(a: argparse.Namespace) -> dict[str, float]:
    files = sorted(a.images.iterdir())[: a.count]
    systems = peers.image_limits(a.vision, a.precision, files)
    systems["crisis"] = crisis("dinov2", a.vision, a.precision, posts_of(a.images, [f.name for f in files], []))
    systems["dataloader"] = peers.image_dataloader(a.vision, a.precision, files)
    systems["pipeline"] = peers.image_pipeline(a.vision, a.precision, files)
    if (things := peers.image_thingsvision(a.vision, a.precision, files)) is not None:
        systems["thingsvision"] = things
    return compare(f"photos, {a.precision}", "photos", len(files), systems, a.repeats)


def tweets(a: argparse.Namespace, texts: list[str]) -> None:
    systems = peers.text_limits(a.text, a.precision, texts)
    systems["crisis"] = crisis("bert", a.text, a.precision, posts_of(a.images, [], texts))
    systems["dataloader"] = peers.text_dataloader(a.text, a.precision, texts)
    systems["pipeline"] = peers.text_pipeline(a.text, a.precision, texts)
    title = f"tweets ({len(set(texts))} distinct), {a.precision}"
    compare(title, "tweets", len(texts), systems, a.repeats)


def shared(a: argparse.Namespace, rows: list[dict[str, str]], walls: dict[str, float]) -> None:
    """All posts of the corpus by us; the peers' rates by row are those of `images`, since each row costs them alike."""
    paths = [row["image_path"] for row in rows]
    run = crisis("dinov2", a.vision, a.precision, posts_of(a.posts.parent, paths, []))
    wall, _ = used()
    run()
    seconds = used()[0] - wall
    print(
        f"\nall {len(rows)} posts, which share {len(set(paths))} photos: {seconds:.1f} s, {len(rows) / seconds:.1f}/s"
    )
    found = [name for name in walls if name not in ("crisis",) and not name.startswith("limit")]
    table = [
        [name, f"{a.count / walls[name]:.1f}", f"{len(rows) * walls[name] / a.count / seconds:.1f}"] for name in found
    ]
    print_table(["peer that encodes rows", "rows/s", "crisis is x times"], table)


def precisions(a: argparse.Namespace) -> None:
    """bf16 beside fp32: the rate, and the lowest cosine of the vectors of one photo."""
    names = [file.name for file in sorted(a.images.iterdir())[: a.count]]
    posts, views, rates = posts_of(a.images, names, []), {}, {}
    for precision in ("fp32", "bf16"):
        encoder = load(CARDS["dinov2"], pretrained=a.vision, precision=precision)
        with tempfile.TemporaryDirectory(dir=".") as cache:
            seconds = []
            for repeat in range(a.repeats):
                found = extract(
                    posts,
                    CARDS["dinov2"],
                    encoder,
                    Path(cache) / str(repeat),
                    Options(precision=precision),
                    "benchmark",
                )
                seconds.append(found.seconds)
            rates[precision] = len(names) / statistics.median(seconds)
            with FeatureFile.open(found.file) as file:
                rows = file.take("image/cls", file.rows_of(posts.ids)).astype(np.float64)
            views[precision] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = (views["fp32"] * views["bf16"]).sum(axis=1)
    print(f"\nbf16 beside fp32, {len(names)} photos: {rates['bf16']:.1f} and {rates['fp32']:.1f} photos/s;", end=" ")
    print(f"cosine of their vectors at least {cosine.min():.5f}, {cosine.mean():.5f} in the mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--vision", required=True, help="a folder with AutoModel vision weights")
    parser.add_argument("--text", required=True, help="a folder with AutoModel text weights")
    parser.add_argument("--posts", type=Path, required=True, help="a CSV with columns text and image_path")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--count", type=int, default=192, help="photos; eight times as many tweets")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("photos", "tweets", "shared", "bf16"), help="one of the four parts")
    a = parser.parse_args()
    set_quiet(True)
    a.count = min(a.count, len(list(a.images.iterdir())))
    with a.posts.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    walls = images(a) if a.only in (None, "photos", "shared") else {}
    if a.only in (None, "tweets"):
        tweets(a, [row["text"] for row in rows[: 8 * a.count]])
    if a.only in (None, "shared"):
        shared(a, rows, walls)
    if a.only in (None, "bf16"):
        precisions(a)


if __name__ == "__main__":
    main()
