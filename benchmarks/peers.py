"""What `benchmarks.extract` races against: a DataLoader loop, transformers' pipeline, thingsvision, and the limit.

Each function takes a folder of weights and gives what to run; all compute in the same precision.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features import CARDS, load
from features.device import lanes, threads_restored, torch_dtype, use_threads
from features.encoders.tokens import padded, tensors
from features.images import decode
from pipeline.extraction.batching import BatchSize, of_like_length

Run = Callable[[], None]
BATCH = 32


def _model(weights: str, precision: str) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(weights, dtype=torch_dtype(precision)).eval()


def image_limits(weights: str, precision: str, files: Sequence[Path]) -> dict[str, Run]:
    """The pure forward on normalised tensors that lie ready, at the best batch size of a few."""
    encoder: Any = load(CARDS["dinov2"], pretrained=weights, precision=precision)
    model = encoder._model
    photos = [encoder.prepare(decode(path.read_bytes())) for path in files]
    ready = encoder.pixels(np.stack(photos))

    def batches(size: int) -> list[dict[str, Any]]:
        return [{"pixel_values": ready[start : start + size]} for start in range(0, len(ready), size)]

    return _limits(model, {size: batches(size) for size in (2, 4, 8, 16, 32)})


def text_limits(weights: str, precision: str, texts: Sequence[str]) -> dict[str, Run]:
    """The pure forward on token ids that lie ready, distinct texts, sorted by length, in batches of a few sizes."""
    encoder: Any = load(CARDS["bert"], pretrained=weights, precision=precision)
    tokens = encoder.tokenize(list(dict.fromkeys(texts)))
    lengths = [encoder.text_length(one) for one in tokens]
    ready = {}
    for size in (256, 512, 1024, 2048):
        ready[size] = []
        for slots, _ in of_like_length(lengths, BatchSize(size, "cpu")):
            inputs, mask = padded([tokens[slot] for slot in slots], {})
            ready[size].append(tensors({**inputs, "attention_mask": mask}, "cpu"))
    return _limits(encoder._model, ready)


def _limits(model: Any, ready: dict[int, list[dict[str, Any]]]) -> dict[str, Run]:
    count, threads = lanes("cpu")
    ways = {"limit, all cores on one batch": (1, None), "limit, a batch per core": (count, threads)}
    return {name: _best(model, ready, *way) for name, way in ways.items()}


def _best(model: Any, ready: dict[int, list[dict[str, Any]]], count: int, threads: int | None) -> Run:
    def timed(size: int) -> float:
        some = ready[size][:: max(1, len(ready[size]) * size // 256)]
        started = time.perf_counter()
        _forward(model, some, count, threads)
        inputs = sum(next(iter(batch.values())).shape[0] for batch in some)
        return (time.perf_counter() - started) / inputs

    best = min(ready, key=lambda size: min(timed(size) for _ in range(2)))
    return lambda: _forward(model, ready[best], count, threads)


def _forward(model: Any, batches: Sequence[dict[str, Any]], count: int, threads: int | None) -> None:
    """Every batch once through the model, `count` of them at a time."""
    import torch

    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for batch in batches:
        waiting.put(batch)

    def work() -> None:
        if threads is not None:
            use_threads(threads)
        with torch.inference_mode(), contextlib.suppress(queue.Empty):
            while True:
                model(**waiting.get_nowait())

    if count == 1:
        work()
        return
    with threads_restored():
        at_work = [threading.Thread(target=work) for _ in range(count)]
        for thread in at_work:
            thread.start()
        for thread in at_work:
            thread.join()


class _Photos:
    """Paths of photos as a torch dataset that opens and processes each of them in a worker."""

    def __init__(self, files: Sequence[Path], processor: Any) -> None:
        self.files, self.processor = files, processor

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        photo = Image.open(self.files[index]).convert("RGB")
        return self.processor(images=photo, return_tensors="pt")["pixel_values"][0]


def image_dataloader(weights: str, precision: str, files: Sequence[Path]) -> Run:
    """A plain loop over a DataLoader with two workers, in the order of the rows."""
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoImageProcessor

    model = _model(weights, precision)
    data: Any = _Photos(files, AutoImageProcessor.from_pretrained(weights))

    def run() -> None:
        with torch.inference_mode():
            for pixels in DataLoader(data, batch_size=BATCH, num_workers=2):
                model(pixel_values=pixels.to(model.dtype)).last_hidden_state[:, 0].float().numpy()

    return run


def image_pipeline(weights: str, precision: str, files: Sequence[Path]) -> Run:
    from transformers import pipeline

    extractor = pipeline("image-feature-extraction", model=weights, dtype=torch_dtype(precision), device="cpu")
    paths = [str(path) for path in files]
    return lambda: [None for _ in extractor(paths, batch_size=BATCH)] and None


def image_thingsvision(weights: str, precision: str, files: Sequence[Path]) -> Run | None:
    """thingsvision's extractor around the same model and processor; None where it is not installed."""
    if importlib.util.find_spec("thingsvision") is None:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        from thingsvision import get_extractor_from_model
        from thingsvision.utils.data import DataLoader, ImageDataset
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(weights)
    extractor = get_extractor_from_model(model=_model(weights, precision), device="cpu", backend="pt")

    def pixels(photo: Any) -> Any:
        found = processor(images=photo.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        return found.to(torch_dtype(precision))

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=".") as folder, contextlib.redirect_stdout(io.StringIO()):
            (Path(folder) / "photos").mkdir()
            for path in files:
                (Path(folder) / "photos" / path.name).symlink_to(path.resolve())
            data = ImageDataset(root=f"{folder}/photos", out_path=folder, backend="pt", transforms=pixels)
            batches = DataLoader(dataset=data, batch_size=BATCH, backend="pt")
            extractor.extract_features(batches=batches, module_name="layernorm", output_type="tensor")

    return run


def text_dataloader(weights: str, precision: str, texts: Sequence[str]) -> Run:
    """A plain loop over a DataLoader, in the order of the rows, each batch padded to its longest text."""
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = _model(weights, precision)
    data: Any = list(texts)

    def collate(batch: list[str]) -> Any:
        return tokenizer(batch, padding=True, truncation=True, return_tensors="pt")

    def run() -> None:
        with torch.inference_mode():
            for tokens in DataLoader(data, batch_size=BATCH, collate_fn=collate):
                hidden = model(**tokens).last_hidden_state
                mask = tokens["attention_mask"].unsqueeze(-1)
                ((hidden * mask).sum(1) / mask.sum(1)).float().numpy()

    return run


def text_pipeline(weights: str, precision: str, texts: Sequence[str]) -> Run:
    from transformers import pipeline

    extractor = pipeline("feature-extraction", model=weights, dtype=torch_dtype(precision), device="cpu")
    return lambda: [None for _ in extractor(list(texts), batch_size=BATCH, truncation=True)] and None
