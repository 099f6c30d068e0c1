"""A head is asked only about vectors of the encoder it was trained on, whatever their width."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers import FittedHead, fit, load, save
from pipeline.datasets import open_dataset
from pipeline.datasets.tabular import Columns
from pipeline.errors import DataError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.material import load_material
from pipeline.runs.origins import Origin, check_origins
from pipeline.runs.run import Run
from pipeline.runs.sources import find_sources
from pipeline.runs.views import Views
from tests.pipeline.conftest import Run as Command
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
    assert origin.command(posts.flags, Path("my cache")).endswith(" --cache 'my cache'")
    assert (origin.model, origin.modality, origin.label) == ("classic", "text", sources[0].label)
    assert Origin.from_json(json.loads(json.dumps(origin.to_json()))) == origin
    with pytest.raises(DataError, match="does not say"):
        Origin.from_json({"model": "classic"})


@pytest.fixture
def two_settings(tmp_path: Path, run: Command) -> tuple[Path, Path, Path]:
    """In the working folder, a table and its vectors of one encoder under two settings, and the run of a head on the
    first ones: the two files of the cache, and the run's folder.
    """
    posts = make_posts(tmp_path / "data", count=120, photos=30)
    rows = zip(posts.texts, posts.images, posts.labels["label"]["pair"], strict=True)
    lines = ["text,photo,label", *(f"{text} {photo},data/{photo},{label}" for text, photo, label in rows)]
    Path("posts.csv").write_text("\n".join(lines), encoding="utf-8")
    flags = ["--data", "posts.csv", "--text-column", "text", "--image-column", "photo", "--label-column", "label"]
    files = []
    for precision in ("fp32", "fp16"):
        code, out, said = run("extract", "--model", "classic", "--precision", precision, *flags[:6], "--json", "-q")
        assert code == 0, said
        files.append(Path(json.loads(out)["file"]))
    words = ["--head", "concat", "--model", files[0].stem, "--seeds", "1", "--set", "max_epochs=2"]
    code, out, said = run("fit-head", *words, *flags, "--json", "-q")
    assert code == 0, said
    return files[0], files[1], Path(json.loads(out)["run"])


def command_of(sentence: str) -> list[str]:
    """The words after `crisis` of the command that a sentence tells to run."""
    found = re.search(r"with: crisis (.*)$", sentence.strip())
    assert found is not None, sentence
    return shlex.split(found.group(1))


def test_the_same_encoder_at_another_setting_is_another(two_settings: tuple[Path, Path, Path], run: Command) -> None:
    right, wrong, folder = two_settings
    trained = Run.open(folder)
    head = trained.heads["seed-0"]()
    columns = Columns(text="text", image="photo", label="label")
    posts = open_dataset(None, Path("posts.csv"), columns)
    cache = right.parent.parent

    def views(file: Path) -> Views:
        sources = find_sources(posts, cache, file.stem, file.stem)
        return load_material(posts, [choose_protocol(posts)], sources).views

    other = views(wrong)
    assert {name: array.shape[1] for name, array in other.arrays.items()} == head.dims, "the widths tell nothing"
    with pytest.raises(DataError, match=f"trained on {right.stem}:.* the vectors are those of {wrong.stem}:") as caught:
        check_origins(head, other.origins, posts.flags, cache)
    right.unlink()
    command = command_of(str(caught.value))
    assert "fp32" in command
    assert run(*command, "-q")[0] == 0
    found = views(right)
    check_origins(head, found.origins, posts.flags, cache)
    frame = trained.predictions
    rows = [posts.row_of[post] for post in frame["post_id"]]
    probabilities = head.predict_proba({name: array[rows] for name, array in found.arrays.items()})
    np.testing.assert_array_equal(probabilities, frame[trained.config.probability_columns].to_numpy())


def test_analysis_asks_no_head_about_vectors_of_another_encoder(
    two_settings: tuple[Path, Path, Path], run: Command
) -> None:
    right, wrong, folder = two_settings
    asked = ["analyse", str(folder), "--neighbours", "3", "--json"]
    code, before, said = run(*asked)
    assert code == 0, said
    right.unlink()
    code, _, said = run(*asked)
    assert code == 1, said
    command = command_of(" ".join(said.split()))
    command[-1] = command[-1].rstrip(".")
    os.link(wrong, right)
    code, _, said = run(*asked)
    assert code == 1, said
    said = " ".join(said.split())
    assert f"the vectors are those of {wrong.stem}:image/statistics; make the right ones with: crisis extract" in said
    assert command_of(said)[: len(command)] == command
    right.unlink()
    assert run(*command_of(said), "-q")[0] == 0
    assert run(*asked)[1] == before
