"""What a head cannot be trained on or asked is refused in one sentence that names the culprit."""

from __future__ import annotations

import numpy as np
import pytest
from head_support import ALL_HEADS, IMAGE, QUICK, TEXT, draw

from classifiers import HEADS, FittedHead, HeadError, fit
from classifiers.zero_shot import zero_shot

POSTS = draw(160, "sum")


def quick(name: str) -> FittedHead:
    return fit(name, POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, **QUICK[name])


@pytest.mark.parametrize("name", ALL_HEADS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_refused_by_name(name: str, value: float) -> None:
    views = {view: array.copy() for view, array in POSTS.views.items()}
    row = int(POSTS.train[3])
    views[TEXT][row, 5] = value
    with pytest.raises(HeadError, match=f"'{TEXT}' has a NaN or an infinity in 1 of .* row {row}\\)"):
        fit(name, views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0)
    with pytest.raises(HeadError, match=f"row {row}\\)"):
        quick(name).predict_proba(views)


def test_features_far_outside_of_train_are_refused_and_not_answered_with_nan() -> None:
    fitted = quick("guided_ca")
    views = {view: array.copy() for view, array in POSTS.views.items()}
    views[IMAGE][4] = 1e30
    with pytest.raises(HeadError, match="no finite answer for row 4"):
        fitted.predict_proba(views)


@pytest.mark.parametrize("name", HEADS)
def test_heads_survive_two_rows_and_constant_columns(name: str) -> None:
    views = {IMAGE: np.ones((4, 4), dtype=np.float32), TEXT: np.eye(4, dtype=np.float32)}
    rows = np.arange(4)
    fitted = fit(name, views, np.array([0, 1, 0, 1]), rows[:2], rows[2:], 2, 0, **QUICK[name])
    assert np.isfinite(fitted.predict_proba(views)).all()


BAD_CALLS: list[tuple[dict[str, object], str]] = [
    ({"views": {}}, "at least 1 views"),
    ({"views": {IMAGE: np.ones(160)}}, "must be an array of numbers"),
    ({"views": {IMAGE: np.ones((160, 0))}}, "must be an array of numbers"),
    ({"views": {IMAGE: np.full((160, 2), "a")}}, "must be an array of numbers"),
    ({"views": {IMAGE: np.ones((160, 2)), TEXT: np.ones((159, 2))}}, "differ in their number of rows"),
    ({"labels": np.zeros(159, dtype=np.int64)}, "must be 160 integers"),
    ({"labels": np.zeros(160)}, "must be 160 integers"),
    ({"labels": np.zeros(160, dtype=np.int64)}, "All train rows have the label 0"),
    ({"train_rows": np.array([0, 160])}, "train rows name row 160"),
    ({"dev_rows": np.array([-1])}, "dev rows name row -1"),
    ({"dev_rows": np.array([], dtype=np.int64)}, "no dev rows"),
    ({"train_rows": np.ones(160, dtype=bool)}, "must be a list of row numbers"),
    ({"n_classes": 2}, "hold the label 2, but the classes are 0 to 1"),
    ({"seed": -1}, "seed must be"),
    ({"head_name": "transformer"}, "no head 'transformer'"),
    ({"depth": 3}, "no parameter 'depth'"),
]


@pytest.mark.parametrize(("change", "words"), BAD_CALLS)
def test_a_wrong_call_is_one_sentence(change: dict[str, object], words: str) -> None:
    call = {
        "head_name": "mlp",
        "views": POSTS.views,
        "labels": POSTS.labels,
        "train_rows": POSTS.train,
        "dev_rows": POSTS.dev,
        "n_classes": 3,
        "seed": 0,
    }
    with pytest.raises(HeadError, match=words) as caught:
        fit(**{**call, **change})
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_dev_without_any_known_label_is_refused() -> None:
    labels = POSTS.labels.copy()
    labels[POSTS.dev] = 3
    with pytest.raises(HeadError, match="No dev row has a label that occurs in train"):
        fit("mlp", POSTS.views, labels, POSTS.train, POSTS.dev, 4, 0)


def test_prediction_names_the_view_that_does_not_fit() -> None:
    fitted = quick("concat")
    with pytest.raises(HeadError, match=f"trained on the view '{TEXT}', which is not given"):
        fitted.predict_proba({IMAGE: POSTS.views[IMAGE]})
    with pytest.raises(HeadError, match=f"'{TEXT}' has 15 features, but the head was trained on 16"):
        fitted.predict_proba({**POSTS.views, TEXT: POSTS.views[TEXT][:, 1:]})
    with pytest.raises(HeadError, match="requested rows name row 160"):
        fitted.predict_proba(POSTS.views, np.array([160]))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("part", ["train", "dev"])
def test_heads_survive_a_class_that_is_absent_in_one_part(name: str, part: str) -> None:
    posts = draw(160, "sum", dims=(16, 16))
    rows = {"train": posts.train, "dev": posts.dev}
    rows[part] = rows[part][posts.labels[rows[part]] != 1]
    fitted = fit(name, posts.views, posts.labels, rows["train"], rows["dev"], 3, 0, **QUICK[name])
    answers = fitted.predict_proba(posts.views, posts.test)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    # what train never showed is never given; what dev never showed may be
    assert (answers[:, 1] == 0).all() == (part == "train")
    assert np.isfinite([row["dev_loss"] for row in fitted.history]).all()


def test_zero_shot_refuses_two_views_of_one_modality() -> None:
    vectors = np.ones((4, 3))
    assert zero_shot({"image": vectors, "text": vectors}, np.ones((2, 3))).shape == (4, 2)
    with pytest.raises(HeadError, match="one view per modality, but were given text/clip/projected, text/other/p"):
        zero_shot({"text/clip/projected": vectors, "text/other/projected": vectors}, np.ones((2, 3)))


@pytest.mark.parametrize("name", HEADS)
def test_heads_survive_five_thousand_columns(name: str) -> None:
    rng = np.random.default_rng(0)
    views = {view: rng.normal(size=(60, 5000)).astype(np.float32) for view in (IMAGE, TEXT)}
    labels, rows = np.arange(60) % 3, np.arange(60)
    quick = {**QUICK[name], **({"max_epochs": 1} if "max_epochs" in QUICK[name] else {})}
    fitted = fit(name, views, labels, rows[:40], rows[40:], 3, 0, **quick)
    assert np.isfinite(fitted.predict_proba(views)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_heads_survive_a_hundred_thousand_rows(name: str) -> None:
    rng = np.random.default_rng(0)
    labels, rows = rng.integers(0, 3, 100_000), np.arange(100_000)
    views = {view: (rng.normal(size=(100_000, 4)) + labels[:, None]).astype(np.float16) for view in (IMAGE, TEXT)}
    quick = {**QUICK[name], **({"max_epochs": 1, "batch_size": 4096} if "max_epochs" in QUICK[name] else {})}
    fitted = fit(name, views, labels, rows[:99_000], rows[99_000:], 3, 0, **quick)
    assert np.isfinite(fitted.predict_proba(views, rows[99_000:])).all()
