"""Stage two: figures that can be recomputed from what the run folder holds, and no stale or partial features."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score

import classifiers
from cache import CacheError
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.run import Run
from pipeline.runs.sources import choose_sources
from tests.pipeline.support import Counting, classic_card, fit_run, make_posts


@pytest.fixture
def posts(tmp_path: Path) -> Posts:
    posts = make_posts(tmp_path / "data", count=240, photos=40)
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    return posts


def fit(posts: Posts, tmp_path: Path, head: str = "logistic", seeds: int = 2, **flags: object) -> Run:
    sources = choose_sources(posts, tmp_path / "cache", head, model=None, image="classic", text="classic")
    return fit_run(posts, choose_protocol(posts, **flags), head, sources, range(seeds), tmp_path / "runs")


@pytest.mark.parametrize("split", ["group", "event"])
def test_figures_equal_those_of_sklearn_on_the_written_predictions(posts: Posts, tmp_path: Path, split: str) -> None:
    result = fit(posts, tmp_path, "guided_ca", split=split)
    frame = pandas.read_parquet(result.folder / "predictions.parquet")
    for part in ("dev", "test"):
        found = result.summary[part]
        for seed in (0, 1):
            held = frame[(frame.split == part) & (frame.seed == seed)]
            truth, answer = held.label, held.predicted
            assert found["accuracy"]["values"][seed] == pytest.approx(accuracy_score(truth, answer))
            assert found["macro_f1"]["values"][seed] == pytest.approx(f1_score(truth, answer, average="macro"))
            assert found["weighted_f1"]["values"][seed] == pytest.approx(f1_score(truth, answer, average="weighted"))
            probabilities = held[["p(a)", "p(b)"]].to_numpy()
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
            assert (np.array(["a", "b"])[probabilities.argmax(1)] == answer.to_numpy()).all()
        assert found["macro_f1"]["mean"] == pytest.approx(np.mean(found["macro_f1"]["values"]))
        assert found["macro_f1"]["sd"] == pytest.approx(np.std(found["macro_f1"]["values"], ddof=1))
    if split == "event":
        test = frame[(frame.split == "test") & (frame.seed == 0)]
        assert sorted(test.post_id) == sorted(posts.ids)
        assert set(result.summary["test"]["events"]) == {"one", "two", "three"}


def test_run_folder_holds_all_that_decides_the_result(posts: Posts, tmp_path: Path) -> None:
    result = fit(posts, tmp_path, "guided_ca")
    names = {path.name for path in result.folder.iterdir()}
    assert names == {"config.json", "metrics.json", "predictions.parquet", "history.parquet", "heads", "SHA256SUMS"}
    config = json.loads((result.folder / "config.json").read_text())
    assert config["parameters"]["width"] == 128
    assert config["classes"] == ["a", "b"]
    assert len(config["fingerprints"]["image"]) == 64
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["summary"] == result.summary
    assert set(metrics["test"]["classes"]) == {"a", "b"}
    assert "event one" in metrics["test"]["subsets"]
    history = pandas.read_parquet(result.folder / "history.parquet")
    assert {"seed-0", "seed-1"} == set(history["fit"])
    assert not [path for path in (tmp_path / "runs").iterdir() if path.name.startswith(".")]


def test_same_configuration_gives_the_same_numbers(posts: Posts, tmp_path: Path) -> None:
    one, other = fit(posts, tmp_path, "guided_ca"), fit(posts, tmp_path, "guided_ca")
    assert one.summary == other.summary
    assert one.folder != other.folder
    frames = [pandas.read_parquet(r.folder / "predictions.parquet") for r in (one, other)]
    pandas.testing.assert_frame_equal(*frames)


def test_saved_head_gives_the_written_probabilities(posts: Posts, tmp_path: Path) -> None:
    from cache import FeatureFile

    result = fit(posts, tmp_path, "concat", seeds=1)
    head = classifiers.load(result.folder / "heads" / "seed-0")
    assert head.class_names == ("a", "b")
    frame = pandas.read_parquet(result.folder / "predictions.parquet")
    frame = frame[frame.split == "test"]
    with FeatureFile.open(next((tmp_path / "cache" / "small").glob("classic@*.h5"))) as file:
        rows = file.rows_of(frame.post_id.tolist())
        views = {"image": file.take("image/statistics", rows), "text": file.take("text/hashed", rows)}
    np.testing.assert_array_equal(head.predict_proba(views), frame[["p(a)", "p(b)"]].to_numpy())


def test_majority_baseline_is_the_commonest_class_of_train(posts: Posts, tmp_path: Path) -> None:
    labels = ["a" if i % 10 else "b" for i in range(240)]
    skewed = replace(posts, labels={"label": {"pair": labels}})
    found = fit(skewed, tmp_path, split="random", split_seed=0).summary["test"]
    protocol = choose_protocol(skewed, split="random", split_seed=0)
    truth = protocol.labels[protocol.folds(0)[0].test]
    expected = f1_score(truth, np.zeros(len(truth), int), average="macro")
    assert found["majority_macro_f1"] == pytest.approx(expected)


def test_bad_rows_are_left_out_and_counted(posts: Posts, tmp_path: Path) -> None:
    (tmp_path / "data" / posts.images[0]).write_bytes(b"broken")
    gone = sum(image == posts.images[0] for image in posts.images)
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    result = fit(posts, tmp_path, split="event")
    assert result.config.left_out == {"image undecodable": gone}
    assert result.summary["test"]["rows"] == 240 - gone
    sources = choose_sources(posts, tmp_path / "cache", "logistic", model=None, image=None, text="classic")
    text_only = fit_run(posts, choose_protocol(posts, split="event"), "logistic", sources, range(1), tmp_path / "runs")
    assert text_only.summary["test"]["rows"] == 240


def test_head_without_better_answers_than_the_majority_says_so(posts: Posts, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = replace(posts, labels={"label": {"pair": [("a", "b")[c] for c in rng.integers(0, 10, 240) // 9]}})
    assert any("no better than always answering" in said for said in fit(noise, tmp_path).warnings())


def test_missing_features_name_the_command(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    command = r"run: crisis extract --model clip --dataset table --data small.csv"
    with pytest.raises(UsageError, match=command):
        choose_sources(posts, tmp_path / "cache", "logistic", model=None, image=None, text=None)
    with pytest.raises(UsageError, match=r"There are no 'dinov2' features of 'small'.*--model dinov2"):
        choose_sources(posts, tmp_path / "cache", "logistic", model=None, image="dinov2", text=None)


def test_partial_features_name_the_command(posts: Posts, tmp_path: Path) -> None:
    extra = make_posts(tmp_path / "data", count=260, photos=40)
    grown = replace(extra, ids=[*posts.ids, *[f"new-{i}" for i in range(20)]])
    with pytest.raises(CrisisError, match=r"lacks 20 of the 260 posts.*crisis extract --model classic"):
        fit(
            replace(grown, texts=[*posts.texts, *extra.texts[240:]], images=[*posts.images, *extra.images[240:]]),
            tmp_path,
        )


def test_stale_text_and_photo_are_refused(posts: Posts, tmp_path: Path) -> None:
    with pytest.raises(CrisisError, match=r"1 posts have another text now"):
        fit(replace(posts, texts=["changed", *posts.texts[1:]]), tmp_path)
    Image.new("RGB", (7, 7)).save(tmp_path / "data" / posts.images[0])
    with pytest.raises(CrisisError, match=r"have another image now"):
        fit(posts, tmp_path)
    (tmp_path / "data" / posts.images[0]).unlink()
    assert fit(posts, tmp_path).summary["test"]["rows"] > 0


def test_renamed_cache_is_refused(posts: Posts, tmp_path: Path) -> None:
    file = next((tmp_path / "cache" / "small").glob("classic@*.h5"))
    file.rename(file.with_name("classic@00000000.h5"))
    with pytest.raises(CacheError, match="it was renamed"):
        fit(posts, tmp_path)


def test_several_caches_of_one_model_must_be_named(posts: Posts, tmp_path: Path) -> None:
    extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(precision="fp16"), "crisis extract")
    with pytest.raises(UsageError, match="There are several 'classic' caches"):
        fit(posts, tmp_path)
    half = extract(posts, classic_card(), Counting(), tmp_path / "cache", Options(precision="fp16"), "").file.stem
    (source,) = choose_sources(posts, tmp_path / "cache", "logistic", model=None, image=half, text=None)
    assert source.path.stem == half


def test_head_that_needs_two_modalities_refuses_one(posts: Posts, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs an image and a text model"):
        choose_sources(posts, tmp_path / "cache", "guided_ca", model=None, image="classic", text=None)


def test_named_view_is_used_and_a_wrong_one_lists_those_there_are(posts: Posts, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    sources = choose_sources(posts, cache, "logistic", model=None, image="classic:image/no", text=None)
    with pytest.raises(UsageError, match="has no image view 'image/no'; it has image/statistics"):
        fit_run(posts, choose_protocol(posts), "logistic", sources, range(1), tmp_path / "runs")


def test_a_star_stands_for_all_pooled_views_that_it_matches(posts: Posts, tmp_path: Path) -> None:
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    sources = choose_sources(posts, cache, "concat", model=None, image="classic:image/*", text="classic")
    assert [source.name for source in sources] == ["image/statistics", "text"]
    result = fit_run(posts, choose_protocol(posts), "concat", sources, range(1), runs)
    assert set(result.config.views) == set(result.config.fingerprints) == {"image/statistics", "text"}
    with pytest.raises(UsageError, match=r"no pooled text view 'text/layer-\*'; it has image/statistics"):
        choose_sources(posts, cache, "concat", model=None, image=None, text="classic:text/layer-*")
