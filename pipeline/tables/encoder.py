"""The encoders that tables name, and where their features are in the cache, or how they are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cache import CacheError, FeatureFile
from features import card
from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError
from pipeline.inputs.commands import extract_command
from pipeline.runs.model_spec import ModelSpec, card_of
from pipeline.runs.sources import Source, default_view


@dataclass(frozen=True)
class Encoder:
    """An encoder as a table asks for it. `model` is MODEL[@FINGERPRINT][:VIEW]; `pretrained` its weights, None for the
    model's usual ones, "*" for whatever is there; `text` what a text encoder reads, as `crisis extract --text` says it;
    `cleaner` the source's; `options` those of `--set`; `captions` a word in the name of the weights that wrote the
    captions of `text`.
    """

    title: str
    model: str
    pretrained: str | None = None
    text: str = "tweet"
    cleaner: str = "raw"
    options: tuple[str, ...] = ()
    captions: str = ""

    def called(self, model: str | None) -> Encoder:
        """This encoder with another `model` in its place, where one is named: of any weights, with its usual view."""
        return self if model is None else replace(self, model=model, pretrained="*", options=())


@dataclass(frozen=True)
class Missing:
    """What is not in the cache, and the commands that make it, in their order."""

    encoder: Encoder
    commands: tuple[str, ...]


def find_encoder(posts: Posts, cache: Path, modality: str, encoder: Encoder) -> Source | Missing:
    """The view of `encoder` among the cache files of the posts; what makes it where there is none.

    Raises `UsageError` for a model that does not exist or does not read the modality, and where several files would do.
    """
    spec = ModelSpec.parse(encoder.model)
    declared = card_of(spec, posts, cache)
    reads = "text" if modality == "caption" else modality
    if reads not in declared.modalities and "joint" in declared.modalities:
        modality = reads = "joint"
    if reads not in declared.modalities:
        known = " and ".join(declared.modalities)
        raise UsageError(f"The model '{declared.name}' has no {reads} features (it reads {known}).")
    fits: dict[tuple[bool, bool], dict[str, Source]] = {}
    for path in sorted((cache / posts.name).glob(f"{declared.name}@{spec.mark}*.h5")):
        with FeatureFile.open(path) as file:
            view = spec.view or default_view(path, reads, declared.default_views.get(reads, ""))
            usual = encoder.pretrained or declared.pretrained
            if view in file.views and _is(file, replace(encoder, pretrained=usual), reads, declared.pretrained):
                alike = fits.setdefault(_likeness(file, encoder), {})
                alike.setdefault(_vectors(file, reads), Source(modality, declared.name, view, path))
    if not fits:
        return Missing(encoder, tuple(_commands(posts, cache, encoder, declared.spec, reads)))
    chosen = list(fits[max(fits)].values())
    if len(chosen) > 1:
        flag = "text" if modality == "caption" else modality
        names = ", ".join(source.path.stem for source in chosen)
        raise UsageError(f"Several caches are {encoder.title} features of '{posts.name}': {names}; name one: --{flag}.")
    return chosen[0]


def _vectors(file: FeatureFile, reads: str) -> str:
    """What decides the vectors: of photos the weights and their precision, whatever the file holds of texts."""
    content = file.provenance.get("content", {})
    return repr((content.get("identity"), content.get("precision"))) if reads == "image" else file.fingerprint


def _flags(file: FeatureFile) -> dict[str, str]:
    """The flags that made a cache file, by name; those that may be repeated are left out."""
    said = [str(word) for word in file.provenance.get("flags", ())]
    return {name: value for name, value in zip(said[::2], said[1::2], strict=False) if name != "--set"}


def _is(file: FeatureFile, encoder: Encoder, reads: str, usual: str | None) -> bool:
    """Whether the file holds what `encoder` says of inputs that are read as `reads`; `usual` are the model's weights
    where no others are named.
    """
    if encoder.pretrained != "*" and not same_weights(_flags(file).get("--pretrained") or usual, encoder.pretrained):
        return False
    if reads == "image":
        return True
    kind, _, mark = str(file.provenance.get("content", {}).get("text") or "tweet").partition("@")
    if kind != encoder.text:
        return False
    return not encoder.captions or encoder.captions in _weights_of(file.path.parent, mark).lower()


def same_weights(there: str | None, wanted: str | None) -> bool:
    """Whether two `--pretrained` mean the same: a hub's id, or a folder called as the model is there."""
    return there == wanted or bool(there and wanted and Path(there).name == wanted.rpartition("/")[2])


def _weights_of(folder: Path, mark: str) -> str:
    """The weights that wrote the captions of the fingerprint `mark`, "" where they are not known."""
    for path in folder.glob(f"*@{mark[:8]}.h5"):
        try:
            with FeatureFile.open(path) as file:
                return _flags(file).get("--pretrained", "")
        except CacheError:
            return ""
    return ""


def _likeness(file: FeatureFile, encoder: Encoder) -> tuple[bool, bool]:
    """How near the file is to the source's text and cleaner, where several would do."""
    kind = str(file.provenance.get("content", {}).get("text") or "tweet").partition("@")[0]
    return kind == encoder.text, _flags(file).get("--cleaner", "raw") == encoder.cleaner


def _commands(posts: Posts, cache: Path, encoder: Encoder, model: str, reads: str) -> Iterator[str]:
    """The captions that `encoder` reads, if they are not there, and then the encoder."""
    text = encoder.text
    _, _, captioner = text.partition("caption:")
    if reads == "text" and captioner:
        marks = _captioned(posts, cache, captioner, encoder.captions)
        text = f"{text}@{marks[0][:8]}" if marks else text
        if not marks:
            # who publishes these weights is said on the captioner's page
            weights = "" if card(captioner).pretrained else f" --pretrained {encoder.captions.upper()}CHECKPOINT"
            yield extract_command(f"--model {captioner}{weights}", posts.flags, cache)
    said = [f"--model {model}"]
    if encoder.pretrained not in (None, "*"):
        said.append(f"--pretrained {encoder.pretrained}")
    if reads != "image":
        said += [f"--cleaner {encoder.cleaner}"] if encoder.cleaner != "raw" else []
        said += [f"--text {text}"] if text != "tweet" else []
        if "knowledge" in text and not posts.knowledge:
            said.append("--knowledge FILE")
    said += [f"--set {option}" for option in encoder.options]
    yield extract_command(" ".join(said), posts.flags, cache)


def _captioned(posts: Posts, cache: Path, captioner: str, weights: str) -> list[str]:
    """The fingerprints (8 digits) of the captions that weights of that name wrote."""
    folder = cache / posts.name
    marks = [path.stem.partition("@")[2] for path in sorted(folder.glob(f"{captioner}@*.h5"))]
    return [mark for mark in marks if weights in _weights_of(folder, mark).lower()]


def commands_of(missing: Sequence[Missing]) -> list[str]:
    """The commands of all of them, each once, in their order."""
    return list(dict.fromkeys(command for one in missing for command in one.commands))
