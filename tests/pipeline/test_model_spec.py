"""MODEL[@FINGERPRINT][:VIEW], where MODEL may have a colon as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import Card
from features.errors import UnknownChoice
from pipeline.extraction.extract import Options, extract
from pipeline.runs.model_spec import ModelSpec, cached_cards, card_of
from tests.pipeline.support import Counting, classic_card, make_posts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("clip", ("clip", "", "")),
        ("clip@1a2b", ("clip", "1a2b", "")),
        ("clip:image/pooled", ("clip", "", "image/pooled")),
        ("clip:pooled", ("clip", "", "pooled")),
        ("clip@1a2b:text/layer-*", ("clip", "1a2b", "text/layer-*")),
        ("other@1a2b:pooled", ("other", "1a2b", "pooled")),
        ("other:*", ("other", "", "*")),
        ("shout:text/mean", ("shout", "", "text/mean")),
        ("my_file:Shout", ("my_file:Shout", "", "")),
        ("my.module:Shout:text/mean", ("my.module:Shout", "", "text/mean")),
        ("my_file:Shout@1a2b", ("my_file:Shout", "1a2b", "")),
        ("my_file:Shout@1a2b:text/mean", ("my_file:Shout", "1a2b", "text/mean")),
    ],
)
def test_the_three_parts(text: str, parts: tuple[str, str, str]) -> None:
    assert ModelSpec.parse(text) == ModelSpec(*parts)


def test_a_model_that_is_known_from_its_cache_alone(tmp_path: Path) -> None:
    posts, cache = make_posts(tmp_path / "data", count=6, photos=3), tmp_path / "cache"
    default = {"image": "image/statistics", "text": "text/hashed"}
    mine = Card("mine", "for tests", ("image", "text"), default)
    for card in (mine, classic_card()):
        extract(posts, card, Counting(), cache, Options(), "crisis extract")
    (cache / "small" / "unreadable@1a2b3c4d.h5").write_bytes(b"not a cache")
    found = card_of(ModelSpec("mine"), posts, cache)
    assert (found.name, found.spec, found.modalities, found.default_views) == ("mine", "mine", mine.modalities, default)
    assert [card.name for card in cached_cards(posts, cache)] == ["classic", "mine"]
    with pytest.raises(UnknownChoice, match="no model 'yours'"):
        card_of(ModelSpec("yours"), posts, cache)
