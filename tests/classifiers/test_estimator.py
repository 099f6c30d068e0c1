"""Any head keeps scikit-learn's contract, and works in its grid searches, pipelines and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from head_support import IMAGE, TEXT, draw
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers import fit
from classifiers.estimator import HeadClassifier

POSTS = draw(400, "sum")
WIDE = np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1)
BLOCKS = {IMAGE: POSTS.views[IMAGE].shape[1], TEXT: POSTS.views[TEXT].shape[1]}
LEARN = np.concatenate([POSTS.train, POSTS.dev])

CHECKED = [
    HeadClassifier(),
    HeadClassifier("mlp", params={"max_epochs": 15, "width": 32, "lr": 0.01, "batch_size": 16}),
    HeadClassifier("knn"),
    HeadClassifier("prototype"),
    HeadClassifier("lightgbm", params={"rounds": 5, "min_leaf": 1, "column_share": 1.0}),
    HeadClassifier("sklearn:decision_tree"),
]


@parametrize_with_checks(CHECKED)
def test_head_passes_scikit_learn_s_estimator_checks(estimator: HeadClassifier, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("head", ["guided_ca", "logistic"])
def test_estimator_is_the_head_on_the_columns_its_blocks_name(head: str) -> None:
    params = {"max_epochs": 3} if head == "guided_ca" else {}
    model = HeadClassifier(head, blocks=BLOCKS, params=params, random_state=5).fit(WIDE[LEARN], POSTS.labels[LEARN])
    random = np.random.RandomState(5)
    train, dev = model._divided(POSTS.labels[LEARN], random)
    assert set(train) | set(dev) == set(range(len(LEARN)))
    assert not set(train) & set(dev)
    assert len(dev) == round(0.15 * len(LEARN))
    seed = int(random.randint(2**31 - 1))
    own = fit(head, POSTS.views, POSTS.labels, LEARN[train], LEARN[dev], 3, seed, **params)
    np.testing.assert_array_equal(model.predict_proba(WIDE), own.predict_proba(POSTS.views))


def test_labels_may_be_words() -> None:
    words = np.array(["no damage", "mild", "severe"])[POSTS.labels]
    model = HeadClassifier(blocks=BLOCKS).fit(WIDE[LEARN], words[LEARN])
    assert list(model.classes_) == ["mild", "no damage", "severe"]
    assert model.score(WIDE[POSTS.test], words[POSTS.test]) > 0.8


def test_grid_search_chooses_hyperparameters_of_a_head() -> None:
    grid = {"params": [{"c_grid": (1e-7,)}, {"c_grid": (0.1,)}], "dev_share": [0.2]}
    search = GridSearchCV(HeadClassifier(blocks=BLOCKS), grid, cv=3).fit(WIDE[LEARN], POSTS.labels[LEARN])
    assert search.best_params_["params"] == {"c_grid": (0.1,)}
    assert search.score(WIDE[POSTS.test], POSTS.labels[POSTS.test]) > 0.8


def test_head_works_behind_a_transformer_in_cross_validation_and_calibration() -> None:
    piped = make_pipeline(PCA(12, random_state=0), HeadClassifier("mlp", params={"max_epochs": 10}))
    assert cross_val_score(piped, WIDE, POSTS.labels, cv=3).mean() > 0.7
    calibrated = CalibratedClassifierCV(HeadClassifier("knn", blocks=BLOCKS), cv=3).fit(
        WIDE[LEARN], POSTS.labels[LEARN]
    )
    assert calibrated.score(WIDE[POSTS.test], POSTS.labels[POSTS.test]) > 0.8


def test_clone_keeps_settings_and_forgets_the_fit() -> None:
    model = HeadClassifier("knn", blocks=BLOCKS, params={"k_grid": (3,)}).fit(WIDE[LEARN], POSTS.labels[LEARN])
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "fitted_")


def test_few_posts_serve_as_train_and_dev() -> None:
    model = HeadClassifier().fit([[0.0], [1.0], [0.1], [0.9]], [0, 1, 0, 1])
    np.testing.assert_array_equal(model.predict([[0.05], [0.95]]), [0, 1])


@pytest.mark.parametrize("blocks", [{"a": 3}, {"a": 40, "b": 0}, {"a": 41, "b": -1}])
def test_blocks_that_do_not_cover_the_columns_are_refused(blocks: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must cover the 40 columns"):
        HeadClassifier(blocks=blocks).fit(WIDE[LEARN], POSTS.labels[LEARN])


def test_what_a_head_refuses_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no head 'nothing'"):
        HeadClassifier("nothing").fit(WIDE[LEARN], POSTS.labels[LEARN])
