"""Stage one: run one frozen encoder over a dataset once, and keep what it says."""

from __future__ import annotations

import platform
import time
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
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
from pipeline.errors import UsageError
from pipeline.extraction.engine import Engine, local_engine
from pipeline.extraction.options import ON_ERROR, OVERWRITE, STORED, Options
from pipeline.extraction.reads import TextReads
from pipeline.extraction.vectors import VectorStore
from pipeline.extraction.work import Work
from pipeline.extraction.worklist import Plan, make_plan
from pipeline.inputs.hashing import KEY, Hashing, hashing_at
from pipeline.inputs.inputs import inputs_of
from pipeline.inputs.texts import TextSource, text_source
from pipeline.interrupt import Interrupts
from pipeline.log import is_quiet, warn

__all__ = ["ON_ERROR", "OVERWRITE", "Extracted", "Options", "cache_path", "extract"]

PART_SECONDS = 30.0
PART_BYTES = 16 << 20


@dataclass
class Extracted:
    """What an extraction did. `encoded` counts distinct inputs per modality that went through the encoder now,
    `reused` posts whose row was there already, `bad` posts per reason, `stale` posts whose input changed and
    whose row was left alone (`--overwrite never`), `gone` posts whose photo is no longer there and whose row is kept,
    `texts` how much of the file's texts is read (see `texts_read`; None: not counted).
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
    texts: dict[str, Any] | None = None
    bad_posts: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        keys = ("rows", "ok", "bad", "encoded", "reused", "stale", "gone", "interrupted")
        values = asdict(self)
        texts = {} if self.texts is None else {"texts": self.texts}
        return {
            "file": str(self.file),
            **{key: values[key] for key in keys},
            **texts,
            "seconds": round(self.seconds, 3),
        }


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
    hashing = hashing_at(path)
    provenance = {**_provenance(posts, card, encoder, mark, options, command), KEY: hashing.name}
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
        reads = _run(posts, encoder, source, hashing, options, writer, interrupts, result)
        if not result.interrupted:
            _seal(posts, writer, reads)
        if (final := writer.committed) is not None:
            _count(posts, final, result)
    result.seconds = time.monotonic() - started
    return result


def _run(
    posts: Posts,
    encoder: Encoder,
    source: TextSource,
    hashing: Hashing,
    options: Options,
    writer: FeatureWriter,
    interrupts: Interrupts,
    result: Extracted,
) -> TextReads:
    clean = CLEANERS[options.cleaner]
    inputs = [inputs_of(posts, modality, clean, source, hashing) for modality in encoder.modalities]
    plan = make_plan(posts, inputs, writer.committed, options)
    redone = plan.rows[plan.fresh] if options.overwrite == "always" else np.empty(0, np.int64)
    with (
        VectorStore(writer, encoder.modalities, ignore=redone) as store,
        local_engine(work := Work(posts, encoder, inputs, store, options)) as engine,
        _bar(plan.todo) as bar,
    ):
        try:
            done = _commit_all(engine, plan, store, interrupts, bar)
        except Exception:
            # what is encoded is not lost to what came after it; what went wrong is told, not what follows from it
            with suppress(Exception):
                store.commit()
                store.settle()
            raise
    result.encoded |= engine.encoded
    result.reused = len(posts) - plan.todo
    result.stale, result.gone = plan.stale, plan.gone
    result.interrupted = interrupts.asked and done < len(plan.rows)
    return work.reads


def _seal(posts: Posts, writer: FeatureWriter, reads: TextReads) -> None:
    """Lay the file out, with how much of its texts was read; a file that is sealed already says so."""
    committed = writer.committed
    if committed is None or committed.sealed:
        writer.seal()
        return
    counts = reads.counts(committed, np.asarray(committed.rows_of(posts.ids), dtype=np.int64))
    writer.seal({} if counts is None else {"texts": counts})


def _commit_all(engine: Engine, plan: Plan, store: VectorStore, interrupts: Interrupts, bar: tqdm[Any]) -> int:
    """Take the engine's parts and commit them about every `PART_SECONDS`, all that a kill can cost; rows written."""
    done = bad = 0
    committed = time.monotonic()
    with closing(engine.parts(plan, lambda: interrupts.asked)) as parts:
        for part in parts:
            store.add(part.start, part.rows)
            now = time.monotonic()
            if part.ends_run or now - committed > PART_SECONDS or store.waiting_bytes() >= PART_BYTES:
                store.commit()
                committed = now
            done += len(part.rows.ids)
            bad += int(np.any([status != Status.OK for status in part.rows.status.values()], axis=0).sum())
            bar.update(part.fresh)
            bar.set_postfix(bad=bad, refresh=False)
    store.commit()
    store.settle()
    return done


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
    result.texts = texts_read(file.provenance)
    if result.stale:
        warn(f"{result.stale} posts changed since their rows were computed and were left alone (--overwrite never)")
    if result.gone:
        warn(f"{result.gone} posts' photos are no longer there; their rows are kept (--overwrite always drops them)")


def texts_read(provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """How much of a sealed file's texts was read: the `limit` in tokens, `rows` with a good text, how many of them were
    `cut` (and the `cut_share`), the `tokens` that were read and those that are `unknown` to the tokenizer (and the
    `unknown_share`); None where that was not counted.
    """
    every = provenance.get("counts")
    counts = every.get("texts") if isinstance(every, dict) else None
    names = ("rows", "cut", "tokens", "unknown")
    if not isinstance(counts, dict) or any(type(counts.get(name)) is not int for name in names):
        return None
    rows, cut, tokens, unknown = (counts[name] for name in names)
    return {
        "limit": provenance.get("text_limit"),
        "rows": rows,
        "cut": cut,
        "cut_share": round(cut / max(rows, 1), 6),
        "tokens": tokens,
        "unknown": unknown,
        "unknown_share": round(unknown / max(tokens, 1), 6),
    }


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
        **({} if encoder.text_limit is None else {"text_limit": encoder.text_limit}),
        "dataset": posts.name,
        "versions": versions,
        # a file name may hold bytes that are no UTF-8
        "command": command.encode("utf-8", "replace").decode(),
        "flags": ["--model", card.spec, *options.flags()],
        "dataset_flags": posts.flags.encode("utf-8", "replace").decode(),
    }
