"""Stage two's reading: the cached views a head trains on, aligned with the posts, never stale, never in part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from cache import CacheError, FeatureFile, Status
from classifiers.shared import FileRows, Place
from crisis_registry import did_you_mean
from features.fingerprint import DECODING
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.inputs.freshness import CHANGED, input_states
from pipeline.inputs.hashing import hashing_of
from pipeline.inputs.inputs import inputs_of
from pipeline.inputs.texts import text_source
from pipeline.log import warn
from pipeline.runs.origins import Origin
from pipeline.runs.sources import Source

USABLE = (Status.OK, Status.BLANK)


@dataclass(frozen=True)
class Views:
    """`arrays[name]` [n, D] and `usable` bool [n], aligned with the posts asked for; `left_out` counts the posts
    that are not usable, per reason; `origins` says per name which encoder made the view. `digests` has per modality of
    inputs ("image") the digest of each post's, uint8 [n, 16], zeros where there is none; `absent` counts per name the
    usable posts whose vector is of zeros, because they lack the view. A token view [n, T, D] stays
    in its file and is `FileRows` here, which heads read by rows.
    """

    arrays: Mapping[str, np.ndarray]
    usable: np.ndarray
    left_out: Mapping[str, int]
    reasons: np.ndarray
    origins: Mapping[str, Origin]
    digests: Mapping[str, np.ndarray]
    absent: Mapping[str, int] = field(default_factory=dict)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The full fingerprint of each view's encoder."""
        return {name: origin.fingerprint for name, origin in self.origins.items()}


def load_views(posts: Posts, sources: Sequence[Source], wanted: np.ndarray, keep_partial: bool = False) -> Views:
    """The views of the posts `wanted` (int64 [n]), in the stored dtype, checked against checksums.

    Pooled views are read; token views stay in their file, which is read as their posts are asked for. A post that lacks
    one of several views is not usable, or with `keep_partial` it is, and what it lacks is zeros.

    Raises `CrisisError` with the command that mends it when posts are missing from a file or a text or
    photo changed since; photos that are no longer there are not missed.
    """
    arrays: dict[str, np.ndarray] = {}
    origins: dict[str, Origin] = {}
    digests: dict[str, np.ndarray] = {}
    there: dict[str, np.ndarray] = {}
    reasons = np.zeros(len(wanted), dtype=np.uint8)
    fresh: set[tuple[Path, str]] = set()
    for source in sources:
        with FeatureFile.open(source.path) as file:
            _check_view(file, source)
            rows = np.asarray(file.rows_of([posts.ids[post] for post in wanted]), dtype=np.int64)
            if (source.path, source.inputs) not in fresh:
                _check_fresh(posts, file, source, rows, wanted)
                _tell_older_decoding(file, source)
                fresh.add((source.path, source.inputs))
            digests[source.inputs] = file.hashes(source.inputs)[rows]
            status = file.status_of(source.inputs)[rows]
            good = np.isin(status, USABLE)
            reasons = np.where((reasons == 0) & ~good, status, reasons)
            there[source.name] = good
            arrays[source.name] = _read(file, source, rows)
            origins[source.name] = Origin.of(source, file)
    usable = (np.any if keep_partial else np.all)(list(there.values()), axis=0)
    absent: dict[str, int] = {}
    for name, good in there.items() if keep_partial else ():
        arrays[name] = _without(arrays[name], ~good)
        absent[name] = int((usable & ~good).sum())
    left_out = Counter(Status(int(code)).reason for code in reasons[~usable])
    return Views(arrays, usable, dict(left_out), reasons, origins, digests, absent)


def _read(file: FeatureFile, source: Source, rows: np.ndarray) -> np.ndarray:
    if len(file.views[source.view].shape) == 1:
        return file.take(source.view, rows, verify=True)
    file.require(source.view, rows)
    place = file.place(source.view)
    if place is None:
        raise CrisisError(
            f"{source.path} is in several parts, and token views are read from one; run: "
            f"crisis cache seal {source.path}"
        )
    spec = file.views[source.view]
    lies = Place(str(place[0]), place[1], np.dtype(spec.dtype).str, (file.n, *spec.shape))
    return cast(np.ndarray, FileRows(lies, rows))


def _without(view: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """The view with zeros in the rows `absent`."""
    if not absent.any():
        return view
    if isinstance(view, FileRows):
        return cast(np.ndarray, view.taking(np.where(absent, -1, np.arange(len(view)))))
    kept: np.ndarray = np.where(absent[:, None], view.dtype.type(0), view)
    return kept


def _check_view(file: FeatureFile, source: Source) -> None:
    if source.view not in file.views or not source.view.startswith(f"{source.inputs}/"):
        have = [name for name in file.views if name.startswith(source.inputs)]
        near = did_you_mean(source.view, have)
        raise UsageError(
            f"{source.path.name} has no {source.inputs} view '{source.view}'{near}; it has {', '.join(have)}."
        )
    if source.path.stem.split("@")[1] != file.fingerprint[:8]:
        raise CacheError(
            f"{source.path} holds the fingerprint {file.fingerprint[:8]}: it was renamed; extract it anew."
        )


def _tell_older_decoding(file: FeatureFile, source: Source) -> None:
    """Photos that were decoded otherwise than today are still good vectors of most photos, so they are not refused."""
    content = file.provenance.get("content", {})
    if source.inputs != "text" and "identity" in content and content.get("decoding", 1) != DECODING:
        warn(
            f"{source.path.name} was made when photos were not turned as their EXIF says, and what is transparent was "
            "black; extract it anew if some photos are like that"
        )


def _check_fresh(posts: Posts, file: FeatureFile, source: Source, rows: np.ndarray, wanted: np.ndarray) -> None:
    command = Origin.of(source, file).command(posts.flags, source.path.parent.parent)
    absent = int((rows < 0).sum())
    if absent:
        why = " (it knows none of the ids: another --id-column?)" if absent == len(wanted) else ""
        raise CrisisError(
            f"{source.path.name} lacks {absent} of the {len(wanted)} posts needed{why}; add them with: {command}"
        )
    try:
        texts = text_source(posts, file.provenance.get("content", {}).get("text") or "tweet", source.path.parent.parent)
    except UsageError:
        # somebody else's cache may come without the captions it was made from, as it may come without the photos:
        # what is not here cannot have changed
        return
    inputs = inputs_of(posts, source.inputs, lambda text: text, texts, hashing_of(file))
    stale = int((input_states(inputs, file, rows, wanted) == CHANGED).sum())
    if stale:
        raise CrisisError(
            f"{stale} posts have another {source.modality} now than when {source.path.name} was made; "
            f"bring it up to date with: {command}"
        )
