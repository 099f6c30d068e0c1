"""Posts that lack their text or their photo: left out with a word on how to keep them, or kept with the view absent."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

import crisis

Run = Callable[..., tuple[int, str, str]]
NO_TEXT, NO_PHOTO, NEITHER = range(0, 120, 6), range(3, 120, 8), (5, 11)


@pytest.fixture
def table(run: Run, tmp_path: Path) -> list[str]:
    """Flags of 120 posts, some without text, some without photo, two without either; each modality tells the label."""
    rng = np.random.default_rng(0)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "image", "label"])
        for row in range(120):
            label = "ab"[int(rng.integers(2))]
            image, text = f"{row}.png", f"{label * 3} happened {row}"
            pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8) + (100 if label == "a" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / image)
            text = "" if row in NO_TEXT or row in NEITHER else text
            image = "" if (row in NO_PHOTO and row not in NO_TEXT) or row in NEITHER else image
            writer.writerow([row, text, image, label])
    named = ["--data", str(tmp_path / "t.csv"), "--cache", str(tmp_path / "cache"), "-q"]
    assert run("extract", "--model", "classic", *named)[0] == 3
    return [*named, "--output", str(tmp_path / "runs"), "--seeds", "2", "--json"]


def fitted(run: Run, *arguments: str) -> tuple[dict[str, Any], str]:
    code, out, error = run("fit-head", *arguments)
    assert code == 0, error
    return json.loads(out), error


def lacking() -> tuple[int, int]:
    """Posts with a photo alone, and with a text alone."""
    with_photo = [row for row in range(120) if row not in NEITHER and (row in NO_TEXT or row not in NO_PHOTO)]
    with_text = [row for row in range(120) if row not in NO_TEXT and row not in NEITHER]
    return len(set(with_photo) - set(with_text)), len(set(with_text) - set(with_photo))


def test_posts_that_lack_a_view_are_left_out_with_a_word_on_how_to_keep_them(run: Run, table: list[str]) -> None:
    found, said = fitted(run, "--head", "concat", *table)
    assert sum(found["left_out"].values()) == sum(lacking()) + 2
    assert "those that have one of the views can stay, with --missing absent" in said
    alone, said = fitted(run, "--head", "mlp", "--text", "classic", *table)
    assert sum(alone["left_out"].values()) == lacking()[0] + 2
    assert "--missing" not in said, "of one view there is nothing to keep"


@pytest.mark.parametrize("head", ["logistic", "concat", "guided_ca", "cmb", "lightgbm", "knn", "film"])
def test_kept_posts_are_answered_by_what_they_have(run: Run, table: list[str], head: str) -> None:
    # labels are plain in each modality, so a post is answered right by the one that it has
    found, said = fitted(run, "--head", head, "--missing", "absent", *table)
    assert sum(found["left_out"].values()) == 2
    photos, texts = lacking()
    assert any(
        f"{photos} posts have no text view" in note and f"{texts} posts have no image" in note
        for note in found["notes"]
    )
    assert "can stay" not in said
    assert json.loads((Path(found["run"]) / "config.json").read_text())["missing"] == "absent"
    frame = pandas.read_parquet(Path(found["run"]) / "predictions.parquet")
    frame = frame[frame["post_id"].astype(int).isin([*NO_TEXT, *NO_PHOTO])]
    assert len(frame) > 20
    assert (frame["label"] == frame["predicted"]).mean() > 0.8
    assert any("is not shown as the mean of train" in note for note in found["notes"]) == (head != "cmb")


def test_an_absent_view_is_the_mean_of_train_once_standardised() -> None:
    import torch

    from classifiers import head_card

    rng = np.random.default_rng(0)
    views = {name: rng.normal(3, 2, (50, 4)).astype(np.float32) for name in ("image", "text")}
    views["text"][:10] = 0
    rows = np.arange(50)
    labels = rng.integers(0, 2, 50)
    for name in ("mlp", "logistic", "guided_ca"):
        head = crisis_fit(name, views, labels, rows)
        mean = {
            "image": views["image"][:10],
            "text": np.tile(views["text"][10:40].mean(axis=0, dtype=np.float64), (10, 1)),
        }
        absent = head.predict_proba({"image": views["image"][:10], "text": views["text"][:10]})
        imputed = head.predict_proba({key: value.astype(np.float32) for key, value in mean.items()})
        np.testing.assert_allclose(absent, imputed, atol=2e-5, err_msg=name)
    built = head_card("mlp").build({"text": 4}, 2, head_card("mlp").defaults)
    built.set_standardisation({"text": np.full(4, 3.0, np.float32)}, {"text": np.full(4, 2.0, np.float32)})
    given = torch.tensor([[0.0, 0, 0, 0], [0, 0, 0, 1]])
    assert built.prepare({"text": given})[0].tolist() == [[0, 0, 0, 0], [-1.5, -1.5, -1.5, -1]]


def crisis_fit(name: str, views: dict[str, np.ndarray], labels: np.ndarray, rows: np.ndarray) -> Any:
    from classifiers import fit

    return fit(
        name, views, labels, rows[:40], rows[40:], 2, 0, **({"max_epochs": 2} if name in ("mlp", "guided_ca") else {})
    )


def test_the_same_in_a_notebook_and_a_wrong_word_is_refused(run: Run, table: list[str], tmp_path: Path) -> None:
    posts = crisis.open_dataset(tmp_path / "t.csv")
    kept = crisis.fit(
        posts,
        "logistic",
        image="classic",
        text="classic",
        seeds=1,
        missing="absent",
        cache=tmp_path / "cache",
        runs=tmp_path / "r",
    )
    assert kept.config.missing == "absent"
    code, _, error = run("fit-head", "--head", "logistic", "--missing", "absnt", *table)
    assert code == 2
    assert "did you mean 'absent'" in error
