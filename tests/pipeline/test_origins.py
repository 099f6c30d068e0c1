"""A head is asked only about vectors of the encoder it was trained on, whatever their width."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.material import load_material
from pipeline.runs.origins import Origin, check_origins
from pipeline.runs.sources import find_sources
from tests.pipeline.run_support import evaluation
from tests.pipeline.support import Counting, classic_card, make_posts

CLIP = Origin("clip@11111111:image/projected", "1" * 64, "clip", "image/projected", "image", ("--model", "clip"))


def test_text_vectors_are_refused_for_an_image_head_of_the_same_width() -> None:
    posts = evaluation().posts
    posts = replace(posts, flags="--dataset table --data other.csv")
    minilm = replace(CLIP, label="minilm@22222222:text/mean", fingerprint="2" * 64, model="minilm", view="text/mean")
    words = (
        r"trained on clip@11111111:image/projected as its view 'image', and the vectors are those of "
        r"minilm@22222222:text/mean; make the right ones with: crisis extract --model clip --dataset table "
        r"--data other\.csv --cache cache"
    )
    with pytest.raises(DataError, match=words):
        check_origins({"image": CLIP}, {"image": minilm}, posts, Path("cache"))
    with pytest.raises(DataError, match="there are no such vectors"):
        check_origins({"image": CLIP}, {"text": minilm}, posts, Path("cache"))
    other = replace(CLIP, view="image/pooled", label="clip@11111111:image/pooled")
    with pytest.raises(DataError, match="are those of clip@11111111:image/pooled"):
        check_origins({"image": CLIP}, {"image": other}, posts, Path("cache"))
    check_origins({"image": CLIP}, {"image": CLIP, "text": minilm}, posts, Path("cache"))
    check_origins({}, {"image": minilm}, posts, Path("cache"))


def test_loaded_views_say_how_they_are_made_again(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(precision="fp16"), "crisis extract")
    sources = find_sources(posts, tmp_path / "cache", None, "classic")
    origin = load_material(posts, [choose_protocol(posts)], sources).views.origins["text"]
    command = origin.command(posts, Path("c"))
    assert command.startswith("crisis extract --model classic --precision fp16 ")
    assert command.endswith(f" {posts.flags} --cache c")
    assert (origin.model, origin.modality, origin.label) == ("classic", "text", sources[0].label)
    assert Origin.from_json(json.loads(json.dumps(origin.to_json()))) == origin
    with pytest.raises(DataError, match="does not say"):
        Origin.from_json({"model": "classic"})
