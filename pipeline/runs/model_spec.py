"""How a cached model is named on the command line, and what is declared of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cache import CacheError, FeatureFile
from features import CARDS, Card, card
from features.card import Plugin
from pipeline.datasets.posts import Posts


@dataclass(frozen=True)
class ModelSpec:
    """MODEL[@FINGERPRINT][:VIEW], in three parts; `mark` and `view` are "" where they are left out.

    MODEL is a name, or "module:Attribute" of a plug-in: my_file:Shout@1a2b3c4d:text/mean has all there can be.
    """

    model: str
    mark: str = ""
    view: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """What follows the first colon is an attribute if it could be one (a view has a "/" or a star in it), unless
        one of our models stands before it: `clip:projected` asks for a view that `clip` does not have.
        """
        name, _, view = text.partition(":")
        behind, _, rest = view.partition(":")
        if behind.partition("@")[0].isidentifier() and "@" not in name and name not in CARDS.own:
            name, view = f"{name}:{behind}", rest
        model, _, mark = name.partition("@")
        return cls(model, mark, view)


def card_of(spec: ModelSpec, posts: Posts, cache: Path) -> Card:
    """The model's card; of a plug-in that is named as its cache files of `posts` are, what these say of it.

    Raises `UnknownChoice` where there is neither.
    """
    if spec.model not in CARDS and ":" not in spec.model:
        for path in sorted((cache / posts.name).glob(f"{spec.model}@{spec.mark}*.h5")):
            return _stored_card(path)
    return card(spec.model)


def cached_cards(posts: Posts, cache: Path) -> Iterator[Card]:
    """A card for each model that has features of `posts`: `clip` first, then in the registry's order, then plug-ins
    that are known from their cache files alone.
    """
    files = {path.stem.partition("@")[0]: path for path in sorted((cache / posts.name).glob("*@*.h5"))}
    for name in sorted(CARDS, key=lambda name: name != "clip"):
        if files.pop(name, None) is not None:
            yield CARDS[name]
    for path in files.values():
        # a file that cannot be read is no reason to refuse the others
        with suppress(CacheError):
            yield _stored_card(path)


def _stored_card(path: Path) -> Card:
    """What a cache file says of the model that made it."""
    with FeatureFile.open(path) as file:
        said, flags, modalities = file.provenance.get("card"), file.provenance.get("flags"), file.modalities
    name = path.stem.partition("@")[0]
    said = said if isinstance(said, dict) else {}
    views = said.get("default_views")
    spec = str(flags[1]) if isinstance(flags, list) and flags[:1] == ["--model"] and len(flags) > 1 else name
    return Card(
        name,
        str(said.get("summary", "")),
        tuple(modalities),
        {str(modality): str(view) for modality, view in views.items()} if isinstance(views, dict) else {},
        plugin=Plugin(spec, spec.partition(":")[0]),
    )
