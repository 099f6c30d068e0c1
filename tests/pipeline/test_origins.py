"""A head is asked only about vectors of the encoder it was trained on, whatever their width."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers import FittedHead, fit, load, save
from pipeline.errors import DataError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.material import load_material
from pipeline.runs.origins import Origin, check_origins
from pipeline.runs.sources import find_sources
from tests.pipeline.support import Counting, classic_card, fit_run, make_posts, noisy_and_cached

CLIP = Origin("clip@11111111:image/projected", "1" * 64, "clip", "image/projected", "image", ("--model", "clip"))


def saved_head(folder: Path, *origins: Origin) -> FittedHead:
    """A head over one view of four numbers for each origin, as it comes back from disk."""
    rng = np.random.default_rng(0)
    views = {origin.modality: rng.normal(size=(40, 4)).astype(np.float32) for origin in origins}
    head = fit("logistic", views, np.arange(40) % 2, np.arange(30), np.arange(30, 40), 2, 0, c_grid=(1.0,))
    save(replace(head, encoders={origin.modality: origin.to_json() for origin in origins}), folder)
    return load(folder)


def test_text_vectors_are_refused_for_an_image_head_of_the_same_width(tmp_path: Path) -> None:
    head = saved_head(tmp_path / "head", CLIP)
    dataset = "--dataset table --data other.csv"
    minilm = replace(CLIP, label="minilm@22222222:text/mean", fingerprint="2" * 64, model="minilm", view="text/mean")
    words = (
        r"trained on clip@11111111:image/projected as its view 'image', and the vectors are those of "
        r"minilm@22222222:text/mean; make the right ones with: crisis extract --model clip --dataset table "
        r"--data other\.csv --cache cache"
    )
    with pytest.raises(DataError, match=words):
        check_origins(head, {"image": minilm}, dataset, Path("cache"))
    with pytest.raises(DataError, match="there are no such vectors"):
        check_origins(head, {"text": minilm}, dataset, Path("cache"))
    other = replace(CLIP, view="image/pooled", label="clip@11111111:image/pooled")
    with pytest.raises(DataError, match="are those of clip@11111111:image/pooled"):
        check_origins(head, {"image": other}, dataset, Path("cache"))
    check_origins(head, {"image": CLIP, "text": minilm}, dataset, Path("cache"))
    assert "of clip@11111111:image/projected" in (tmp_path / "head" / "README.md").read_text()


def test_a_head_that_knows_no_encoders_is_taken_at_its_word(tmp_path: Path) -> None:
    save(replace(saved_head(tmp_path / "head", CLIP), encoders={}), tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["encoders"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    check_origins(load(tmp_path / "old"), {}, "", Path("cache"))


def test_a_run_s_heads_know_which_encoder_each_view_is_of(tmp_path: Path) -> None:
    posts, folder = noisy_and_cached(tmp_path)
    sources = find_sources(posts, folder / "cache", "classic", "classic")
    run = fit_run(posts, choose_protocol(posts), "concat", sources, [0], folder / "runs", params={"max_epochs": 1})
    head = run.heads["seed-0"]()
    given = load_material(posts, [choose_protocol(posts)], sources).views.origins
    assert {name: Origin.from_json(said) for name, said in head.encoders.items()} == given
    check_origins(head, given, posts.flags, folder / "cache")
    with pytest.raises(DataError, match="as its view 'image', and the vectors are those of classic@"):
        check_origins(head, {**given, "image": given["text"]}, posts.flags, folder / "cache")


def test_loaded_views_say_how_they_are_made_again(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(precision="fp16"), "crisis extract")
    sources = find_sources(posts, tmp_path / "cache", None, "classic")
    origin = load_material(posts, [choose_protocol(posts)], sources).views.origins["text"]
    command = origin.command(posts.flags, Path("c"))
    assert command.startswith("crisis extract --model classic --precision fp16 ")
    assert command.endswith(f" {posts.flags} --cache c")
    assert (origin.model, origin.modality, origin.label) == ("classic", "text", sources[0].label)
    assert Origin.from_json(json.loads(json.dumps(origin.to_json()))) == origin
    with pytest.raises(DataError, match="does not say"):
        Origin.from_json({"model": "classic"})
