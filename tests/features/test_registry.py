"""The encoders of others: what an installed package or a file of your own must have, and what is said otherwise."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import features
from features import CARDS, Encoder, FeatureError, fingerprint, load
from features.errors import UnknownChoice
from features.registry import _adopt

SHOUT = """
import numpy as np
from crisis_registry import Parameter, at_least
from features import Card, Encoder


class Shout(Encoder):
    card = Card(
        name="shout",
        summary="how loud a text is",
        modalities=("text",),
        default_views={"text": "text/loud"},
        options=(Parameter("times", 1, at_least(1), "how often the vector is repeated"),),
    )
    modalities = ("text",)
    identity = {}

    def __init__(self, times):
        self.times = times
        self.views = {"text/loud": (2 * times,)}

    def encode_texts(self, texts):
        loud = [[len(text), sum(map(str.isupper, text))] * self.times for text in texts]
        return {"text/loud": np.array(loud, np.float32)}


def shout(pretrained, revision, device, precision, times):
    return Shout(times)


BARE = Card("bare", "", ("text",), {})
CARD = Card("shouted", "the same by a function", ("text",), {}, shout, "MIT", options=Shout.card.options)
shout.card = Card("shouting", "the same again", ("text",), {}, options=Shout.card.options)


def named(name):
    return type("Named", (Shout,), {"card": Card(name, "", ("text",), {})})


OURS, TWO_PARTS = named("clip"), named("../clip")
NOTHING = 7
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes `my_shout.py` into the working folder, as a new process would find it."""

    def put(source: str) -> None:
        (tmp_path / "my_shout.py").write_text(source)
        sys.modules.pop("my_shout", None)
        CARDS._named.clear()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield put
    put("")


@pytest.mark.parametrize("attribute", ["Shout", "CARD", "shout"])
def test_a_class_a_card_and_a_function_of_a_file_are_encoders(attribute: str, write: Callable[[str], None]) -> None:
    write(SHOUT)
    card = features.card(f"my_shout:{attribute}")
    assert card.spec == f"my_shout:{attribute}"
    encoder = load(card, options={"times": 2})
    assert isinstance(encoder, Encoder)
    assert encoder.encode_texts(["HELP us"])["text/loud"].tolist() == [[7, 4, 7, 4]]
    assert card.name not in CARDS, "a file of one's own is not listed"
    assert card.as_json()["loader"].startswith("my_shout:")


def test_an_edited_file_has_another_fingerprint(write: Callable[[str], None]) -> None:
    def mark() -> str:
        card = features.card("my_shout:Shout")
        return fingerprint(card, load(card), precision="fp32", cleaner="raw-1").digest

    write(SHOUT)
    first = mark()
    write(SHOUT.replace("isupper", "islower"))
    assert mark() != first
    write(SHOUT)
    assert mark() == first


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("my_shout:Nothing", "has no attribute 'Nothing'"),
        ("my_shout:NOTHING", "neither a features.Card nor has one as its attribute 'card'"),
        ("my_shout:BARE", "its card names no loader"),
        ("my_shout:OURS", "its card has the name of one of ours, 'clip'"),
        ("my_shout:TWO_PARTS", "'../clip' cannot be the name of a file"),
        ("nowhere:Shout", "No module named 'nowhere'"),
    ],
)
def test_what_cannot_be_an_encoder_is_one_sentence(spec: str, sentence: str, write: Callable[[str], None]) -> None:
    write(SHOUT)
    with pytest.raises(UnknownChoice, match="cannot be loaded") as caught:
        features.card(spec)
    assert sentence in str(caught.value)
    assert spec in str(caught.value)


def test_a_package_that_an_encoder_lacks_is_named(write: Callable[[str], None]) -> None:
    write(SHOUT.replace("self.times = times", "import a_package_that_is_not_there"))
    with pytest.raises(FeatureError, match="'my_shout:Shout' needs the package 'a_package_that_is_not_there'"):
        load(features.card("my_shout:Shout"))


def test_encoders_of_installed_packages_are_listed(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(SHOUT)
    monkeypatch.syspath_prepend(tmp_path)
    found = {"shout": "my_shout:Shout", "louder": "my_shout:CARD", "clip": "my_shout:shout", "gone": "my_shout:Gone"}
    points = [importlib.metadata.EntryPoint(name, value, "crisis.encoders") for name, value in found.items()]

    def entry_points(group: str) -> Any:
        return points if group == "crisis.encoders" else []

    monkeypatch.setattr("crisis_registry.entry_points", entry_points)
    registry = type(CARDS)(
        "model", CARDS.own.items(), group="crisis.encoders", command="crisis models", error=UnknownChoice, adopt=_adopt
    )
    assert list(registry) == [*CARDS.own, "shout"]
    assert registry["shout"].spec == "shout"
    assert load(registry["shout"]).views == {"text/loud": (2,)}
    assert len(registry.problems) == 3
    assert "another name, 'shouted'" in "".join(registry.problems)
