"""Stage two's reading: the cached views a head trains on, aligned with the posts, never stale, never in part."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

import numpy as np

from cache import CacheError, FeatureFile, Status
from classifiers.shared import FileRows, Place
from crisis_registry import did_you_mean
from features import CARDS, card
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.extraction.worklist import CHANGED, input_states
from pipeline.inputs.inputs import inputs_of
from pipeline.inputs.texts import text_source

USABLE = (Status.OK, Status.BLANK)


@dataclass(frozen=True)
class Source:
    """One view of one cache file. `label` names it in results: model, short fingerprint and view; `name` names it
    among the views of a fit: its modality, and for one of several of a modality its `part`, as in "text/layer-0".

    `modality` is what the view stands for: "image", "text", "joint", or "caption" for the text view of a caption.
    """

    modality: str
    model: str
    view: str
    path: Path
    part: str = ""

    @property
    def name(self) -> str:
        return f"{self.modality}/{self.part}" if self.part else self.modality

    @property
    def inputs(self) -> str:
        """What the encoder read: "image", "text" or "joint"."""
        return "text" if self.modality == "caption" else self.modality

    @property
    def label(self) -> str:
        return f"{self.path.stem}:{self.view}"


@dataclass(frozen=True)
class Views:
    """`arrays[name]` [n, D] and `usable` bool [n], aligned with the posts asked for; `left_out` counts the posts
    that are not usable, per reason; `fingerprints` has the full fingerprint per name. A token view [n, T, D] stays
    in its file and is `FileRows` here, which heads read by rows.
    """

    arrays: Mapping[str, np.ndarray]
    usable: np.ndarray
    left_out: Mapping[str, int]
    reasons: np.ndarray
    fingerprints: Mapping[str, str]


def find_sources(
    posts: Posts, cache: Path, image: str | None, text: str | None, caption: str | None = None
) -> list[Source]:
    """The sources of `--image`, `--text` and `--caption` (MODEL, MODEL@FINGERPRINT, with :VIEW if not the default).

    Each takes several with commas between. A VIEW with a star, such as text/layer-*, stands for all pooled views that
    it matches; a view that is named twice counts once. A caption's source is a text model's cache of captions
    (`crisis extract --text caption:NAME`).

    Raises `UsageError` with the command to run when a model has no features of this dataset.
    """
    wanted = (("image", image), ("text", text), ("caption", caption))
    by_flag = [_of_flag(posts, cache, modality, specs) for modality, specs in wanted if specs is not None]
    modalities = [modality for sources in by_flag for modality in {source.modality for source in sources}]
    if len(set(modalities)) < len(modalities):
        raise UsageError("Only one of --image and --text can name a joint view; leave the other one out.")
    return [source for sources in by_flag for source in sources]


def _of_flag(posts: Posts, cache: Path, modality: str, specs: str) -> list[Source]:
    """The sources that one flag names, each once."""
    found: dict[str, Source] = {}
    for spec in map(str.strip, specs.split(",")):
        if not spec:
            raise UsageError(f"--{modality} '{specs}' has an empty name in it; write MODEL:VIEW,MODEL:VIEW.")
        for source in _expanded(_find(posts, cache, modality, spec)):
            # a view that a star matches keeps its part, also where it is named by itself as well
            if source.part or source.label not in found:
                found[source.label] = source
    by_modality: dict[str, list[Source]] = {}
    for source in found.values():
        by_modality.setdefault(source.modality, []).append(source)
    return [source for alike in by_modality.values() for source in _told_apart(alike)]


def _told_apart(sources: list[Source]) -> list[Source]:
    """Several sources of one modality with the shortest parts that differ: their view's name, or the model's or the
    file's before it, as in layer-0, bert/layer-0, bert@1a2b3c4d/layer-0.
    """
    if len(sources) == 1:
        return sources
    tails = [source.view.partition("/")[2] for source in sources]
    owners = ([""] * len(sources), [f"{one.model}/" for one in sources], [f"{one.path.stem}/" for one in sources])
    parts = ([owner + tail for owner, tail in zip(of, tails, strict=True)] for of in owners)
    chosen = next(names for names in parts if len(set(names)) == len(names))
    return [replace(source, part=part) for source, part in zip(sources, chosen, strict=True)]


def _expanded(source: Source) -> list[Source]:
    if "*" not in source.view:
        return [source]
    with FeatureFile.open(source.path) as file:
        matching = [n for n, v in file.views.items() if fnmatchcase(n, source.view) and len(v.shape) == 1]
        own = [name for name in matching if name.startswith(f"{source.inputs}/")]
        if not own:
            have = ", ".join(file.views)
            raise UsageError(f"{source.path.name} has no pooled {source.inputs} view '{source.view}'; it has {have}.")
    return [replace(source, view=name, part=name.partition("/")[2]) for name in own]


def _find(posts: Posts, cache: Path, modality: str, spec: str) -> Source:
    name, _, view = spec.partition(":")
    model, _, mark = name.partition("@")
    declared = card(model)
    reads = "text" if modality == "caption" else modality
    if view.startswith("joint/") or (modality not in declared.modalities and "joint" in declared.modalities):
        # what an encoder says of photo and text together may stand in the place of either
        modality = reads = "joint"
    if reads not in declared.modalities:
        raise UsageError(f"The model '{model}' has no {reads} features (it reads {' and '.join(declared.modalities)}).")
    files = sorted((cache / posts.name).glob(f"{model}@{mark}*.h5"))
    unsealed = sorted((cache / posts.name).glob(f"{model}@{mark}*.h5.parts"))
    command = f"crisis extract --model {model} {posts.flags} --cache {cache}"
    if modality == "caption" or len(files) > 1:
        files, command = _of_kind(files, modality, command)
    if not files and unsealed:
        raise UsageError(f"The extraction of '{spec}' over '{posts.name}' is not finished; go on with: {command}")
    if not files:
        what = f"'{spec}' features of the captions" if modality == "caption" else f"'{spec}' features"
        raise UsageError(f"There are no {what} of '{posts.name}' in {cache}; run: {command}")
    if len(files) > 1:
        known = ", ".join(f"{path.stem} ({_text_of(path)})" if reads == "text" else path.stem for path in files)
        raise UsageError(f"There are several '{model}' caches of '{posts.name}': {known}; name one of them.")
    if not view and reads not in declared.default_views:
        raise UsageError(f"The model '{model}' writes captions; encode them with --text caption:{model} first.")
    return Source(modality, model, view or declared.default_views[reads], files[0])


def _of_kind(files: list[Path], modality: str, command: str) -> tuple[list[Path], str]:
    """The files that hold captions alone, or those that do not (all, where all do), and what makes the first."""
    captions = [path for path in files if _text_of(path).startswith("caption:")]
    if modality == "caption":
        return captions, f"{command} --text caption:NAME"
    return [path for path in files if path not in captions] or files, command


def _text_of(path: Path) -> str:
    """What the texts of a cache file were: "tweet", "caption:NAME", "tweet+caption:NAME", ..."""
    with FeatureFile.open(path) as file:
        kind, _, mark = str(file.provenance.get("content", {}).get("text") or "tweet").partition("@")
    return kind + (f"@{mark[:8]}" if mark else "")


def default_models(posts: Posts, cache: Path, modalities: Sequence[str]) -> dict[str, str]:
    """A cached model per modality when the user named none: one model for all before two, in the table's order
    with `clip` first. Raises `UsageError` with the command to run when there is none.
    """
    stems = {path.stem.split("@")[0] for path in (cache / posts.name).glob("*@*.h5")}
    order = sorted(CARDS, key=lambda name: name != "clip")
    cached = [name for name in order if name in stems]
    for name in cached:
        if set(modalities) <= set(CARDS[name].modalities):
            return dict.fromkeys(modalities, name)
    chosen = {m: next((name for name in cached if m in CARDS[name].modalities), None) for m in modalities}
    for modality, model in chosen.items():
        if model is None:
            first = "classic" if posts.name == "sample" else "clip"
            raise UsageError(
                f"There are no {modality} features of '{posts.name}' in {cache}; run: "
                f"crisis extract --model {first} {posts.flags} --cache {cache}"
            )
    return {modality: str(model) for modality, model in chosen.items()}


def load_views(posts: Posts, sources: Sequence[Source], wanted: np.ndarray) -> Views:
    """The views of the posts `wanted` (int64 [n]), in the stored dtype, checked against checksums.

    Pooled views are read; token views stay in their file, which is read as their posts are asked for.

    Raises `CrisisError` with the command that mends it when posts are missing from a file or a text or
    photo changed since; photos that are no longer there are not missed.
    """
    arrays: dict[str, np.ndarray] = {}
    fingerprints: dict[str, str] = {}
    usable = np.ones(len(wanted), dtype=bool)
    reasons = np.zeros(len(wanted), dtype=np.uint8)
    fresh: set[tuple[Path, str]] = set()
    for source in sources:
        with FeatureFile.open(source.path) as file:
            _check_view(file, source)
            rows = np.asarray(file.rows_of([posts.ids[post] for post in wanted]), dtype=np.int64)
            if (source.path, source.inputs) not in fresh:
                _check_fresh(posts, file, source, rows, wanted)
                fresh.add((source.path, source.inputs))
            status = file.status_of(source.inputs)[rows]
            good = np.isin(status, USABLE)
            reasons[usable & ~good] = status[usable & ~good]
            usable &= good
            arrays[source.name] = _read(file, source, rows)
            fingerprints[source.name] = file.fingerprint
    left_out = Counter(Status(int(code)).reason for code in reasons[~usable])
    return Views(arrays, usable, dict(left_out), reasons, fingerprints)


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


def _check_fresh(posts: Posts, file: FeatureFile, source: Source, rows: np.ndarray, wanted: np.ndarray) -> None:
    flags = shlex.join(file.provenance.get("flags", ["--model", source.model]))
    command = f"crisis extract {flags} {posts.flags} --cache {source.path.parent.parent}"
    absent = int((rows < 0).sum())
    if absent:
        raise CrisisError(
            f"{source.path.name} lacks {absent} of the {len(wanted)} posts needed; add them with: {command}"
        )
    try:
        texts = text_source(posts, file.provenance.get("content", {}).get("text") or "tweet", source.path.parent.parent)
    except UsageError:
        # somebody else's cache may come without the captions it was made from, as it may come without the photos:
        # what is not here cannot have changed
        return
    inputs = inputs_of(posts, source.inputs, lambda text: text, texts)
    stale = int((input_states(inputs, file, rows, wanted) == CHANGED).sum())
    if stale:
        raise CrisisError(
            f"{stale} posts have another {source.modality} now than when {source.path.name} was made; "
            f"bring it up to date with: {command}"
        )
