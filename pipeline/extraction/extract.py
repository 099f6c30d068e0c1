"""Stage one: run one frozen encoder over a dataset once, and keep what it says."""

from __future__ import annotations

import platform
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cache import FeatureFile, FeatureWriter, Status, ViewSpec
from crisis_registry import did_you_mean
from features import Card, Encoder, Fingerprint, fingerprint
from features.text import CLEANERS
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.extraction.lanes import open_lanes
from pipeline.extraction.vectors import VectorStore
from pipeline.extraction.windows import Window, WindowEncoder
from pipeline.extraction.worklist import Plan, make_plan
from pipeline.inputs.inputs import inputs_of
from pipeline.inputs.texts import TextSource, text_source
from pipeline.interrupt import Interrupts
from pipeline.log import is_quiet, warn

OVERWRITE = ("only-missing", "always", "never")
ON_ERROR = ("skip", "stop", "blank")
STORED = {"fp32": "float32", "fp16": "float16", "bf16": "float32"}
"""The dtype on disk per precision; bf16 has none in HDF5, and every bf16 value is exact in float32."""

PART_SECONDS = 30.0
PART_BYTES = 16 << 20
WINDOW_SECONDS = 3.0
WINDOW_ROWS = (64, 8192)
WINDOW_BYTES = 4 << 20


@dataclass(frozen=True)
class Options:
    """How to extract. Only `precision`, `cleaner` and `text` change the vector of a good row.

    `pretrained`, `revision` and `encoder_flags` say which weights and options the encoder was given, `device` where
    it was put. `batch_size` None: found by trying.
    """

    precision: str = "fp32"
    cleaner: str = "raw"
    text: str = "tweet"
    encoder_flags: tuple[str, ...] = ()
    pretrained: str | None = None
    revision: str | None = None
    device: str = "cpu"
    batch_size: int | None = None
    num_workers: int = 2
    overwrite: str = "only-missing"
    on_error: str = "skip"

    def flags(self) -> list[str]:
        """The command-line flags that choose this encoder and these vectors again."""
        named = {"--pretrained": self.pretrained, "--revision": self.revision}
        named |= {"--precision": self.precision, "--cleaner": self.cleaner, "--text": self.text}
        words = [word for flag, value in named.items() if value is not None for word in (flag, value)]
        return [*words, *self.encoder_flags]

    def __post_init__(self) -> None:
        for flag, value, known in (
            ("--overwrite", self.overwrite, OVERWRITE),
            ("--on-error", self.on_error, ON_ERROR),
            ("--cleaner", self.cleaner, tuple(CLEANERS)),
        ):
            if value not in known:
                near = did_you_mean(value, known)
                raise UsageError(f"There is no {flag} '{value}'{near}; choose one of {', '.join(known)}.")
        if min(self.num_workers, 1 if self.batch_size is None else self.batch_size) < 1:
            raise UsageError("--batch-size and --num-workers must be at least 1.")


@dataclass
class Extracted:
    """What an extraction did. `encoded` counts distinct inputs per modality that went through the encoder now,
    `reused` posts whose row was there already, `bad` posts per reason, `stale` posts whose input changed and
    whose row was left alone (`--overwrite never`), `gone` posts whose photo is no longer there and whose row is kept.
    """

    file: Path
    rows: int
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    encoded: dict[str, int] = field(default_factory=lambda: {"image": 0, "text": 0})
    reused: int = 0
    stale: int = 0
    gone: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    bad_posts: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        keys = ("rows", "ok", "bad", "encoded", "reused", "stale", "gone", "interrupted")
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
    if not set(encoder.modalities) & posts.modalities:
        wanted = " or ".join(encoder.modalities)
        raise UsageError(f"The model '{card.name}' reads {wanted}, and no post of '{posts.name}' has any.")
    source = text_source(posts, options.text, cache)
    mark = fingerprint(
        card, encoder, precision=options.precision, cleaner=CLEANERS[options.cleaner].mark, text=source.label
    )
    path = cache_path(cache, posts.name, card, mark)
    views = {name: ViewSpec(tuple(shape), STORED[options.precision]) for name, shape in encoder.views.items()}
    provenance = _provenance(posts, card, encoder, mark, options, command)
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
    with (
        VectorStore(writer, encoder.modalities, ignore=redone) as store,
        _threads(options.num_workers) as pool,
        open_lanes(encoder, options.device) as lanes,
        _bar(plan.todo) as bar,
    ):
        windows = WindowEncoder(
            posts,
            encoder,
            inputs,
            store,
            pool,
            lanes,
            dtype=STORED[options.precision],
            batch_size=options.batch_size,
            device=options.device,
            on_error=options.on_error,
        )
        try:
            done = _write_all(plan, windows, store, interrupts, bar)
        except Exception:
            # what is encoded is not lost to what came after it; what went wrong is told, not what follows from it
            with suppress(Exception):
                store.commit()
                store.settle()
            raise
    result.reused = len(posts) - plan.todo
    result.stale, result.gone = plan.stale, plan.gone
    result.encoded |= windows.encoded
    result.interrupted = interrupts.asked and done < len(plan.rows)


class _Pace:
    """Cuts a plan into windows that take about `WINDOW_SECONDS` each: a window is what a signal waits for."""

    def __init__(self, plan: Plan, row_bytes: int) -> None:
        self._plan = plan
        self._size = WINDOW_ROWS[0]
        self._largest = max(WINDOW_ROWS[0], min(WINDOW_ROWS[1], WINDOW_BYTES // row_bytes))

    def cuts(self) -> Iterator[tuple[slice, bool]]:
        """Stretches of the plan, each with whether it is the last one before a gap in the rows."""
        for run in self._plan.runs():
            start = run.start
            while start < run.stop:
                stop = min(start + self._size, run.stop)
                yield slice(start, stop), stop == run.stop
                start = stop

    def took(self, rows: int, seconds: float) -> None:
        """A window of `rows` took `seconds`; the next ones grow or shrink by that, at most to double."""
        wanted = int(rows * min(2.0, WINDOW_SECONDS / max(seconds, 1e-3)))
        self._size = min(max(wanted, WINDOW_ROWS[0]), self._largest)


def _write_all(plan: Plan, windows: WindowEncoder, store: VectorStore, interrupts: Interrupts, bar: tqdm[Any]) -> int:
    """Encode the plan window by window; rows written.

    Three windows are under way: one's inputs are looked at, one is being encoded, and the one before is finished and
    laid into rows while the encoder has work. A part, which is what a kill can cost, is committed about every
    `PART_SECONDS`.
    """
    done = bad = 0
    pace = _Pace(plan, windows.row_bytes)
    finished = committed = time.monotonic()

    def begin(cut: tuple[slice, bool]) -> tuple[slice, bool, Future[Window]]:
        at = cut[0]
        return *cut, reader.submit(windows.begin, plan.rows[at], plan.posts[at], plan.fresh[at])

    def finish(at: slice, ends_run: bool, window: Window) -> None:
        nonlocal done, bad, finished, committed
        rows = windows.finish(window)
        store.add(int(plan.rows[at.start]), rows)
        now = time.monotonic()
        if ends_run or now - committed > PART_SECONDS or store.waiting_bytes() >= PART_BYTES:
            store.commit()
            committed = now
        pace.took(len(rows.ids), now - finished)
        finished = now
        done += len(rows.ids)
        bad += int(np.any([status != Status.OK for status in rows.status.values()], axis=0).sum())
        bar.update(int(plan.fresh[at].sum()))
        bar.set_postfix(bad=bad, refresh=False)

    with _threads(1) as reader:
        upcoming = map(begin, pace.cuts())
        following = next(upcoming, None)
        encoding: tuple[slice, bool, Window] | None = None
        while following is not None or encoding is not None:
            before, encoding = encoding, None
            if following is not None:
                at, ends_run, future = following
                window = future.result()
                following = next(upcoming, None)
                windows.encode(window)
                encoding = at, ends_run, window
            if before is not None:
                finish(*before)
            if interrupts.asked:
                following = None
    store.commit()
    store.settle()
    return done


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that, left for whatever reason, does not first work off what was queued."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _bar(total: int) -> tqdm[Any]:
    return tqdm(total=total, unit="post", disable=is_quiet() or total == 0, desc="extract", leave=False)


def _count(posts: Posts, file: FeatureFile, result: Extracted) -> None:
    """Fill in how the dataset's posts stand in the file."""
    rows = file.rows_of(posts.ids)
    there = np.flatnonzero(rows >= 0)
    status = overall(file, rows[there], posts.modalities)
    result.ok = int((status == Status.OK).sum())
    for code in np.unique(status[status != Status.OK]).tolist():
        reason = Status(code).reason
        held = there[status == code]
        result.bad[reason] = len(held)
        result.bad_posts += [(posts.ids[post], reason) for post in held[:1000].tolist()]
    if result.stale:
        warn(f"{result.stale} posts changed since their rows were computed and were left alone (--overwrite never)")
    if result.gone:
        warn(f"{result.gone} posts' photos are no longer there; their rows are kept (--overwrite always drops them)")


def overall(file: FeatureFile, rows: np.ndarray, modalities: Collection[str]) -> np.ndarray:
    """uint8 [n]: the first status that is not ok over those of the file's modalities that the dataset has at all."""
    status = np.zeros(len(rows), dtype=np.uint8)
    for modality in sorted(set(file.modalities) & set(modalities)):
        found = file.status_of(modality)[rows]
        status = np.where(status == Status.OK, found, status)
    return status


def _provenance(
    posts: Posts, card: Card, encoder: Encoder, mark: Fingerprint, options: Options, command: str
) -> dict[str, Any]:
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
            "default_views": {**card.default_views, **encoder.default_views},
        },
        "fingerprint": mark.digest,
        "content": mark.content,
        "dataset": posts.name,
        "versions": versions,
        # a file name may hold bytes that are no UTF-8
        "command": command.encode("utf-8", "replace").decode(),
        "flags": ["--model", card.spec, *options.flags()],
    }
