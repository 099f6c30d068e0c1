"""Stage one: run one frozen encoder over a dataset once, and keep what it says."""

from __future__ import annotations

import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cache import FeatureFile, FeatureWriter, Status, ViewSpec
from features import Card, Encoder, Fingerprint, fingerprint
from features.text import CLEANERS
from pipeline.datasets.posts import Posts
from pipeline.encode import WindowEncoder
from pipeline.errors import UsageError
from pipeline.inputs import inputs_of
from pipeline.interrupt import Interrupts
from pipeline.log import is_quiet, warn
from pipeline.plan import Plan, make_plan
from pipeline.texts import TextSource, text_source
from pipeline.vectors import VectorStore

OVERWRITE = ("only-missing", "always", "never")
ON_ERROR = ("skip", "stop", "blank")
STORED = {"fp32": "float32", "fp16": "float16", "bf16": "float32"}
"""The dtype on disk per precision; bf16 has none in HDF5, and every bf16 value is exact in float32."""

PART_SECONDS = 30.0
PART_ROWS = 65_536
WINDOW_SECONDS = 3.0
WINDOW_ROWS = (64, 8192)


@dataclass(frozen=True)
class Options:
    """How to extract. Only `precision`, `cleaner` and `text` change the vector of a good row."""

    precision: str = "fp32"
    cleaner: str = "raw"
    text: str = "tweet"
    batch_size: int = 32
    num_workers: int = 2
    overwrite: str = "only-missing"
    on_error: str = "skip"

    def __post_init__(self) -> None:
        for flag, value, known in (
            ("--overwrite", self.overwrite, OVERWRITE),
            ("--on-error", self.on_error, ON_ERROR),
            ("--cleaner", self.cleaner, tuple(CLEANERS)),
        ):
            if value not in known:
                raise UsageError(f"'{value}' is no choice for {flag}; choose one of {', '.join(known)}.")
        if self.batch_size < 1 or self.num_workers < 1:
            raise UsageError("--batch-size and --num-workers must be at least 1.")


@dataclass
class Extracted:
    """What an extraction did. `encoded` counts distinct inputs per modality that went through the encoder now,
    `reused` posts whose row was there already, `bad` posts per reason, `stale` posts whose input changed and
    whose row was left alone (`--overwrite never`).
    """

    file: Path
    rows: int
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    encoded: dict[str, int] = field(default_factory=dict)
    reused: int = 0
    stale: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    bad_posts: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        keys = ("rows", "ok", "bad", "encoded", "reused", "stale", "interrupted")
        values = asdict(self)
        return {"file": str(self.file), **{key: values[key] for key in keys}, "seconds": round(self.seconds, 3)}


def cache_path(cache: Path, dataset: str, card: Card, mark: Fingerprint) -> Path:
    """`<cache>/<dataset>/<encoder>@<fingerprint8>.h5`, absolute."""
    return (cache / dataset / f"{card.name}@{mark.short}.h5").resolve()


def extract(posts: Posts, card: Card, encoder: Encoder, cache: Path, options: Options, command: str) -> Extracted:
    """Bring the cache file of `card` over `posts` up to date and seal it; only what is missing is computed.

    Asked to stop by a signal, it commits what is done and returns with `interrupted` set. Raises
    `CacheError` for a cache that cannot be written, `CrisisError` for one that holds another dataset.
    """
    started = time.monotonic()
    source = text_source(posts, options.text, cache)
    mark = fingerprint(
        card, encoder, precision=options.precision, cleaner=CLEANERS[options.cleaner].mark, text=source.label
    )
    path = cache_path(cache, posts.name, card, mark)
    views = {name: ViewSpec(tuple(shape), STORED[options.precision]) for name, shape in encoder.views.items()}
    provenance = _provenance(posts, card, mark, command)
    result = Extracted(path, len(posts))
    with (
        Interrupts() as interrupts,
        FeatureWriter(
            path,
            views=views,
            modalities=encoder.modalities,
            provenance=provenance,
            captions=tuple(encoder.captions),
        ) as writer,
    ):
        _run(posts, encoder, source, options, writer, interrupts, result)
        if not result.interrupted:
            writer.seal()
        if (final := writer.committed) is not None:
            _count(posts, final, result)
    result.seconds = time.monotonic() - started
    return result


def _run(
    posts: Posts,
    encoder: Encoder,
    source: TextSource,
    options: Options,
    writer: FeatureWriter,
    interrupts: Interrupts,
    result: Extracted,
) -> None:
    inputs = [inputs_of(posts, modality, CLEANERS[options.cleaner], source) for modality in encoder.modalities]
    plan = make_plan(posts, inputs, writer.committed, options.overwrite, options.on_error)
    redone = plan.rows[plan.fresh] if options.overwrite == "always" else np.empty(0, np.int64)
    store = VectorStore(writer, encoder.modalities, ignore=redone)
    with ThreadPoolExecutor(options.num_workers) as pool, _bar(plan.todo) as bar:
        windows = WindowEncoder(
            posts,
            encoder,
            inputs,
            store,
            pool,
            dtype=STORED[options.precision],
            batch_size=options.batch_size,
            on_error=options.on_error,
        )
        done = _write_all(plan, windows, store, interrupts, bar)
    result.reused = len(posts) - plan.todo
    result.stale = plan.stale
    result.encoded = dict(windows.encoded)
    result.interrupted = interrupts.asked and done < len(plan.rows)


def _write_all(plan: Plan, windows: WindowEncoder, store: VectorStore, interrupts: Interrupts, bar: tqdm[Any]) -> int:
    """Encode the plan window by window, committing a part about every `PART_SECONDS`; rows written.

    A window is what a signal waits for, so it is short; a part is what a kill can cost.
    """
    done = bad = 0
    size = WINDOW_ROWS[0]
    for run in plan.runs():
        start = run.start
        committed_at = time.monotonic()
        while start < run.stop and not interrupts.asked:
            began = time.monotonic()
            window = slice(start, min(start + size, run.stop))
            rows = windows.rows(plan.rows[window], plan.posts[window], plan.fresh[window])
            store.add(int(plan.rows[start]), rows)
            start = window.stop
            now = time.monotonic()
            if now - committed_at > PART_SECONDS or sum(len(r.ids) for r in store.waiting) >= PART_ROWS:
                store.commit()
                committed_at = time.monotonic()
            size = _next_size(size, now - began)
            done += len(rows.ids)
            bad += int(np.any([status != Status.OK for status in rows.status.values()], axis=0).sum())
            bar.update(int(plan.fresh[window].sum()))
            bar.set_postfix(bad=bad, refresh=False)
        store.commit()
        if interrupts.asked:
            break
    return done


def _next_size(size: int, seconds: float) -> int:
    """Window rows that should take about `WINDOW_SECONDS`, at most doubled at once."""
    wanted = int(size * min(2.0, WINDOW_SECONDS / max(seconds, 1e-3)))
    return min(max(wanted, WINDOW_ROWS[0]), WINDOW_ROWS[1])


def _bar(total: int) -> tqdm[Any]:
    return tqdm(total=total, unit="post", disable=is_quiet() or total == 0, desc="extract", leave=False)


def _count(posts: Posts, file: FeatureFile, result: Extracted) -> None:
    """Fill in how the dataset's posts stand in the file."""
    rows = file.rows_of(posts.ids)
    there = np.flatnonzero(rows >= 0)
    status = file.status[rows[there]]
    result.ok = int((status == Status.OK).sum())
    for code in np.unique(status[status != Status.OK]).tolist():
        reason = Status(code).reason
        held = there[status == code]
        result.bad[reason] = len(held)
        result.bad_posts += [(posts.ids[post], reason) for post in held[:1000].tolist()]
    if result.stale:
        warn(f"{result.stale} posts changed since their rows were computed and were left alone (--overwrite never)")


def _provenance(posts: Posts, card: Card, mark: Fingerprint, command: str) -> dict[str, Any]:
    packages = ("crisis", "numpy", "h5py", "torch", "transformers", "open_clip_torch", "timm", "scikit-learn", "pillow")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "card": {
            "name": card.name,
            "summary": card.summary,
            "licence": card.licence,
            "default_views": dict(card.default_views),
        },
        "fingerprint": mark.digest,
        "content": mark.content,
        "dataset": posts.name,
        "versions": versions,
        "command": command,
    }
