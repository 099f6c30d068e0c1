"""Which cached views a head is trained on: what the flags name, found among the cache files of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from cache import FeatureFile
from classifiers import head_card
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.inputs.commands import extract_command
from pipeline.log import say
from pipeline.runs.model_spec import ModelSpec, cached_cards, card_of


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


def choose_sources(
    posts: Posts,
    cache: Path,
    head: str,
    *,
    model: str | None = None,
    image: str | None = None,
    text: str | None = None,
    caption: str | None = None,
) -> list[Source]:
    """The views to train on: `--image`, `--text` and `--caption`, or `--model` for the first two, or what is cached.

    With one of them alone, only that modality is used. Raises `UsageError` where the head needs one that is not named.
    """
    specs = specs_by_modality(posts, cache, model, image, text, caption)
    if not specs:
        specs = default_models(posts, cache, ("image", "text"))
        say(f"Models: image {specs['image']}, text {specs['text']} (chosen from what is cached)")
    sources = find_sources(posts, cache, specs.get("image"), specs.get("text"), specs.get("caption"))
    if len(sources) < head_card(head).views[0]:
        raise UsageError(f"The head '{head}' needs an image and a text model; give --image and --text.")
    return sources


def specs_by_modality(
    posts: Posts, cache: Path, model: str | None, image: str | None, text: str | None, caption: str | None = None
) -> dict[str, str]:
    """What the flags name, by modality: "image", "text", "caption"; `model` stands for those of the first two that it
    reads and the posts have.
    """
    if model is not None:
        modalities = posts.modalities & set(card_of(ModelSpec.parse(model), posts, cache).modalities)
        image = image or (model if {"image", "joint"} & modalities else None)
        text = text or (model if "text" in modalities else None)
    named = {"image": image, "text": text, "caption": caption}
    return {modality: spec for modality, spec in named.items() if spec}


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
    parsed = ModelSpec.parse(spec)
    declared = card_of(parsed, posts, cache)
    model, mark, view = declared.name, parsed.mark, parsed.view
    reads = "text" if modality == "caption" else modality
    if view.startswith("joint/") or (modality not in declared.modalities and "joint" in declared.modalities):
        # what an encoder says of photo and text together may stand in the place of either
        modality = reads = "joint"
    if reads not in declared.modalities:
        raise UsageError(f"The model '{model}' has no {reads} features (it reads {' and '.join(declared.modalities)}).")
    files = sorted((cache / posts.name).glob(f"{model}@{mark}*.h5"))
    unsealed = sorted((cache / posts.name).glob(f"{model}@{mark}*.h5.parts"))
    command = extract_command(f"--model {declared.spec}", posts.flags, cache)
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
    return Source(modality, model, view or default_view(files[0], reads, declared.default_views[reads]), files[0])


def default_view(path: Path, reads: str, declared: str) -> str:
    """The view of a cache file that a head reads of a modality unless told otherwise: the one that the file names, as
    weights of another architecture than the card's may have another one; else the `declared` one.
    """
    with FeatureFile.open(path) as file:
        said = file.provenance.get("card")
        views = said.get("default_views") if isinstance(said, dict) else None
        named = views.get(reads) if isinstance(views, dict) else None
        return named if isinstance(named, str) and named in file.views else declared


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
    """A cached model per modality when the user named none: one model for all before two, in the order
    of `cached_cards`. Raises `UsageError` with the command to run when there is none.
    """
    cached = list(cached_cards(posts, cache))
    for card in cached:
        if set(modalities) <= set(card.modalities):
            return dict.fromkeys(modalities, card.name)
    chosen = {m: next((card.name for card in cached if m in card.modalities), None) for m in modalities}
    for modality, model in chosen.items():
        if model is None:
            first = "classic" if posts.name == "sample" else "clip"
            raise UsageError(
                f"There are no {modality} features of '{posts.name}' in {cache}; run: "
                + extract_command(f"--model {first}", posts.flags, cache)
            )
    return {modality: str(model) for modality, model in chosen.items()}
