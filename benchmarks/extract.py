"""Extraction beside its peers and its limit: ``python -m benchmarks.extract --help`` says what it needs.

The same model, machine and precision for all, in turn, median of several rounds:

- limit: the pure forward on tensors that lie ready in memory, at the best batch size of a few;
- crisis: `crisis extract` end to end, from files on disk to a sealed HDF5 file;
- dataloader: a plain loop over a torch DataLoader with two workers, in the order of the rows, padded batches;
- pipeline: transformers' own feature-extraction pipeline.

With `--posts CSV` (columns text, image_path) also a corpus whose posts share photos: peers encode its rows. Random or
real weights cost the same time.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features import CARDS, load
from features.images import decode
from pipeline.cli.options import print_table
from pipeline.datasets.posts import Posts
from pipeline.extract import Options, extract
from pipeline.log import set_quiet


def posts_of(root: Path, images: Sequence[str], texts: Sequence[str]) -> Posts:
    count = max(len(images), len(texts))
    empty = [""] * count
    ids = [str(i) for i in range(count)]
    return Posts("bench", root, ids, ids, texts or empty, images or empty, empty, {}, "benchmark")


def crisis(model: str, weights: str, precision: str, posts: Posts) -> Callable[[], None]:
    encoder = load(CARDS[model], pretrained=weights, precision=precision)

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=".") as cache:
            extract(posts, CARDS[model], encoder, Path(cache), Options(precision=precision), "benchmark")

    return run


def image_limit(weights: str, precision: str, files: Sequence[Path]) -> Callable[[], None]:
    encoder = load(CARDS["dinov2"], pretrained=weights, precision=precision)
    ready = np.stack([encoder.prepare(decode(path.read_bytes())) for path in files])
    size = best_batch(lambda batch: encoder.encode_images(batch), ready)

    def run() -> None:
        for start in range(0, len(ready), size):
            encoder.encode_images(ready[start : start + size])

    return run


def best_batch(encode: Callable[[np.ndarray], Any], ready: np.ndarray) -> int:
    rates = {}
    for size in (4, 8, 16, 32):
        started = time.perf_counter()
        for start in range(0, min(len(ready), 64), size):
            encode(ready[start : start + size])
        rates[size] = time.perf_counter() - started
    return min(rates, key=lambda size: rates[size])


def image_dataloader(weights: str, precision: str, files: Sequence[Path]) -> Callable[[], None]:
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader
    from transformers import AutoImageProcessor, AutoModel

    from features.device import torch_dtype

    processor = AutoImageProcessor.from_pretrained(weights)
    model = AutoModel.from_pretrained(weights, dtype=torch_dtype(precision)).eval()

    def collate(paths: list[Path]) -> Any:
        return processor(images=[Image.open(path).convert("RGB") for path in paths], return_tensors="pt")

    def run() -> None:
        with torch.inference_mode():
            loader = DataLoader(list(files), batch_size=32, num_workers=2, collate_fn=collate)  # type: ignore[arg-type]
            for batch in loader:
                model(pixel_values=batch["pixel_values"].to(model.dtype)).last_hidden_state[:, 0]

    return run


def image_pipeline(weights: str, precision: str, files: Sequence[Path]) -> Callable[[], None]:
    from transformers import pipeline

    from features.device import torch_dtype

    extractor = pipeline("image-feature-extraction", model=weights, dtype=torch_dtype(precision), device="cpu")

    def run() -> None:
        for _ in extractor([str(path) for path in files], batch_size=32):
            pass

    return run


def text_limit(weights: str, precision: str, texts: Sequence[str]) -> Callable[[], None]:
    import torch

    encoder: Any = load(CARDS["bert"], pretrained=weights, precision=precision)
    distinct = sorted(set(texts), key=len, reverse=True)
    ready = [
        encoder._tokenizer(distinct[i : i + 32], padding=True, truncation=True, max_length=512, return_tensors="pt")
        for i in range(0, len(distinct), 32)
    ]

    def run() -> None:
        with torch.inference_mode():
            for tokens in ready:
                encoder._model(**tokens)

    return run


def text_dataloader(weights: str, precision: str, texts: Sequence[str]) -> Callable[[], None]:
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoModel, AutoTokenizer

    from features.device import torch_dtype

    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModel.from_pretrained(weights, dtype=torch_dtype(precision)).eval()

    def collate(batch: list[str]) -> Any:
        return tokenizer(batch, padding=True, truncation=True, return_tensors="pt")

    def run() -> None:
        with torch.inference_mode():
            for tokens in DataLoader(list(texts), batch_size=32, collate_fn=collate):  # type: ignore[arg-type]
                hidden = model(**tokens).last_hidden_state
                mask = tokens["attention_mask"].unsqueeze(-1)
                (hidden * mask).sum(1) / mask.sum(1)

    return run


def text_pipeline(weights: str, precision: str, texts: Sequence[str]) -> Callable[[], None]:
    from transformers import pipeline

    from features.device import torch_dtype

    extractor = pipeline("feature-extraction", model=weights, dtype=torch_dtype(precision), device="cpu")

    def run() -> None:
        for _ in extractor(list(texts), batch_size=32, truncation=True):
            pass

    return run


def compare(title: str, unit: str, count: int, systems: dict[str, Callable[[], None]], repeats: int) -> None:
    """Run the systems in turn and print inputs per second, beside the limit and beside ours."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for run in systems.values():
        run()  # warm: pages, thread pools, first calls
    for _ in range(repeats):
        for name, run in systems.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    rate = {name: count / statistics.median(found) for name, found in seconds.items()}
    print(f"\n{title}: {count} {unit}, median of {repeats}")
    rows = [
        [name, f"{rate[name]:.1f}", f"{rate[name] / rate['limit']:.2f}", f"{rate['crisis'] / rate[name]:.2f}"]
        for name in systems
    ]
    print_table(["system", f"{unit}/s", "of the limit", "crisis is x times"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--vision", required=True, help="a folder with AutoModel vision weights")
    parser.add_argument("--text", required=True, help="a folder with AutoModel text weights")
    parser.add_argument("--posts", type=Path, required=True, help="a CSV with columns text and image_path")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--count", type=int, default=96, help="photos; eight times as many texts")
    parser.add_argument("--repeats", type=int, default=5)
    a = parser.parse_args()
    set_quiet(True)
    files = sorted(a.images.iterdir())[: a.count]
    with a.posts.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    texts = list(dict.fromkeys(row["text"] for row in rows))[:: max(1, len(rows) // (8 * a.count))][: 8 * a.count]
    images = {
        "limit": image_limit(a.vision, a.precision, files),
        "crisis": crisis("dinov2", a.vision, a.precision, posts_of(a.images, [f.name for f in files], [])),
        "dataloader": image_dataloader(a.vision, a.precision, files),
        "pipeline": image_pipeline(a.vision, a.precision, files),
    }
    compare(f"photos, {a.precision}", "photos", len(files), images, a.repeats)
    tweets = {
        "limit": text_limit(a.text, a.precision, texts),
        "crisis": crisis("bert", a.text, a.precision, posts_of(a.images, [], texts)),
        "dataloader": text_dataloader(a.text, a.precision, texts),
        "pipeline": text_pipeline(a.text, a.precision, texts),
    }
    compare(f"tweets, {a.precision}", "tweets", len(texts), tweets, a.repeats)
    sample = rows[:: max(1, len(rows) // 2000)][:2000]
    ours = crisis("dinov2", a.vision, a.precision, posts_of(a.posts.parent, [r["image_path"] for r in sample], []))
    shared = len({row["image_path"] for row in sample})
    started = time.perf_counter()
    ours()
    seconds = time.perf_counter() - started
    print(f"\nposts that share photos: {len(sample)} posts, {shared} photos: {len(sample) / seconds:.1f} posts/s")


if __name__ == "__main__":
    main()
