"""The heads of libraries and plain numpy: each equals its library, or its definition read with loops."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
from head_support import IMAGE, TEXT, draw
from sklearn import ensemble, svm, tree
from sklearn.metrics import f1_score, log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from classifiers import FittedHead, HeadError, fit, head_card, load, save
from classifiers.heads.neighbours import NearestNeighbours

POSTS = draw(400, "sum")


def fitted(name: str, seed: int = 0, **params: object) -> FittedHead:
    return fit(name, POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, seed, **params)


def scaled(view: str) -> np.ndarray:
    array = POSTS.views[view].astype(np.float64)
    return StandardScaler().fit(array[POSTS.train]).transform(array)


def units() -> np.ndarray:
    parts = [scaled(view) for view in (IMAGE, TEXT)]
    return np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)


@pytest.mark.parametrize("k", [1, 7, 400])
def test_knn_gives_the_shares_of_scikit_learn_s_neighbours(k: int) -> None:
    ours = fitted("knn", k_grid=(k,)).predict_proba(POSTS.views, POSTS.test)
    k = min(k, len(POSTS.train))
    wide, truth = units(), POSTS.labels[POSTS.train]
    model = KNeighborsClassifier(n_neighbors=k, metric="cosine").fit(wide[POSTS.train], truth)
    prior = np.bincount(truth) / len(truth)
    expected = (k * model.predict_proba(wide[POSTS.test]) + prior) / (k + 1)
    # half precision may swap two neighbours that are equally far
    assert np.mean(np.abs(ours - expected).max(axis=1) < 1e-5) > 0.95


def test_knn_chooses_k_on_dev() -> None:
    grid = (1, 5, 40)
    labels = np.where(np.random.default_rng(0).random(400) < 0.4, (POSTS.labels + 1) % 3, POSTS.labels)

    def noisy(**params: object) -> FittedHead:
        return fit("knn", POSTS.views, labels, POSTS.train, POSTS.dev, 3, 0, **params)

    ranks = []
    for k in grid:
        dev = noisy(k_grid=(k,)).predict_proba(POSTS.views, POSTS.dev)
        truth = labels[POSTS.dev]
        ranks.append((-f1_score(truth, dev.argmax(axis=1), average="macro"), log_loss(truth, dev)))
    assert len({f1 for f1, _ in ranks}) == 3
    chosen = noisy(k_grid=grid)
    assert chosen.best_epoch == 1 + ranks.index(min(ranks))
    assert [row["k"] for row in chosen.history] == list(grid)


def test_knn_compares_dev_with_train_once_for_all_k(monkeypatch: pytest.MonkeyPatch) -> None:
    grid, compared = (1, 5, 40, 400), []
    alone = [fitted("knn", k_grid=(k,)).history[0] for k in grid]
    plain = NearestNeighbours._units
    monkeypatch.setattr(
        NearestNeighbours,
        "_units",
        lambda self, views: compared.append(len(views[IMAGE])) or plain(self, views),
    )
    together = fitted("knn", k_grid=grid).history
    assert [{**row, "epoch": 1} for row in together] == alone
    assert sum(compared) == len(POSTS.train) + len(POSTS.dev)


def test_equally_near_neighbours_share_the_places_that_are_left() -> None:
    views = {IMAGE: np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.float32)}
    labels = np.array([0, 0, 1, 1, 0, 1])
    model = fit("knn", views, labels, np.arange(4), np.arange(4, 6), 2, 0, k_grid=(2,))
    # three posts are equally near, two of them of class 0; train's shares are a third neighbour
    np.testing.assert_allclose(model.predict_proba(views, np.array([4]))[0], [(4 / 3 + 0.5) / 3, (2 / 3 + 0.5) / 3])


def test_prototype_is_the_nearest_class_mean_with_the_sharpness_of_the_lowest_dev_loss() -> None:
    wide, truth = units(), POSTS.labels[POSTS.train]
    means = np.stack([wide[POSTS.train][truth == c].mean(axis=0) for c in range(3)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    answers, losses = [], []
    for sharpness in (1, 2, 5, 10, 20, 50):
        powers = np.exp(sharpness * (wide / np.sqrt(2)) @ means.T)
        answers.append(powers / powers.sum(axis=1, keepdims=True))
        losses.append(log_loss(POSTS.labels[POSTS.dev], answers[-1][POSTS.dev]))
    best = int(np.argmin(losses))
    ours = fitted("prototype")
    assert 0 < best < 5
    assert ours.best_epoch == best + 1
    np.testing.assert_allclose(ours.predict_proba(POSTS.views), answers[best], atol=1e-5)
    # between vectors of unit length the highest cosine is the smallest distance
    distances = np.linalg.norm(wide[:, None] / np.sqrt(2) - means, axis=2)
    np.testing.assert_array_equal(ours.predict(POSTS.views), distances.argmin(axis=1))


def test_lightgbm_stops_on_dev_and_is_its_own_text_model(tmp_path: Path) -> None:
    ours = fitted("lightgbm", rounds=200, patience=4, lr=0.5, min_leaf=5)
    losses = [row["dev_loss"] for row in ours.history]
    assert ours.best_epoch == 1 + int(np.argmin(losses)) == len(losses) - 4 < 196
    assert min(losses) < losses[-1] != losses[-2]
    save(ours, tmp_path)
    text = ours.head.tensors()["model"].tobytes().decode()
    booster = lightgbm.Booster(model_str=text)
    assert booster.num_trees() == 3 * ours.best_epoch
    wide = np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1)
    np.testing.assert_allclose(ours.predict_proba(POSTS.views), booster.predict(wide), atol=1e-6)
    given = ours.predict_proba(POSTS.views, POSTS.dev).astype(np.float64)
    given /= given.sum(axis=1, keepdims=True)  # in float32 they add up to 1 only nearly
    assert log_loss(POSTS.labels[POSTS.dev], given) == pytest.approx(min(losses), abs=1e-5)


def test_lightgbm_repeats_with_a_seed_and_draws_columns_anew_with_another() -> None:
    one, same, other = (fitted("lightgbm", seed, rounds=20, min_leaf=5) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.predict_proba(POSTS.views), same.predict_proba(POSTS.views))
    assert (one.predict_proba(POSTS.views) != other.predict_proba(POSTS.views)).any()


def test_two_classes_have_one_tree_per_round(tmp_path: Path) -> None:
    labels = (POSTS.labels > 0).astype(np.int64)
    ours = fit("lightgbm", POSTS.views, labels, POSTS.train, POSTS.dev, 2, 0, rounds=5, min_leaf=5)
    save(ours, tmp_path / "head")
    loaded = load(tmp_path / "head").predict_proba(POSTS.views)
    wide = np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1)
    booster = lightgbm.Booster(model_str=ours.head.tensors()["model"].tobytes().decode())
    np.testing.assert_allclose(loaded[:, 1], booster.predict(wide), atol=1e-6)


FORESTS = {
    "random_forest": ensemble.RandomForestClassifier(n_estimators=100, min_samples_leaf=2, random_state=3),
    "extra_trees": ensemble.ExtraTreesClassifier(n_estimators=100, min_samples_leaf=2, random_state=3),
    "decision_tree": tree.DecisionTreeClassifier(min_samples_leaf=5, random_state=3),
    "sklearn.tree.DecisionTreeClassifier": tree.DecisionTreeClassifier(random_state=3),
}


@pytest.mark.parametrize("name", FORESTS)
def test_trees_answer_as_scikit_learn_s_and_are_kept_without_pickle(name: str, tmp_path: Path) -> None:
    ours = fitted(f"sklearn:{name}", seed=3)
    means, scales = (ours.head.tensors()[key] for key in ("mean", "scale"))
    wide = (np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1) - means) / scales
    model = FORESTS[name].fit(wide[POSTS.train], POSTS.labels[POSTS.train])
    np.testing.assert_allclose(ours.predict_proba(POSTS.views), model.predict_proba(wide), atol=1e-6)
    save(ours, tmp_path / "head")
    loaded = load(tmp_path / "head")
    assert loaded.card.name == f"sklearn:{name}"
    np.testing.assert_array_equal(loaded.predict_proba(POSTS.views), ours.predict_proba(POSTS.views))


def test_an_estimator_without_probabilities_answers_by_its_decision_values() -> None:
    ours = fitted("sklearn:svm")
    means, scales = ours.head.mean, ours.head.scale
    wide = (np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1) - means) / scales
    model = svm.SVC(random_state=0).fit(wide[POSTS.train], POSTS.labels[POSTS.train])
    values = model.decision_function(wide)
    np.testing.assert_array_equal(ours.predict(POSTS.views), values.argmax(axis=1))
    labels = (POSTS.labels > 0).astype(np.int64)
    two = fit("sklearn:linear_svm", POSTS.views, labels, POSTS.train, POSTS.dev, 2, 0)
    assert np.mean(two.predict(POSTS.views, POSTS.test) == labels[POSTS.test]) > 0.9


@pytest.mark.parametrize("name", ["svm", "naive_bayes", "lda", "sklearn.linear_model.RidgeClassifier"])
def test_what_only_pickle_could_keep_is_fitted_and_refused_to_save(name: str, tmp_path: Path) -> None:
    ours = fitted(f"sklearn:{name}")
    assert np.mean(ours.predict(POSTS.views, POSTS.test) == POSTS.truth()) > 0.6
    with pytest.raises(HeadError, match="can only be kept as a pickle"):
        save(ours, tmp_path / "head")
    assert not (tmp_path / "head").exists()


NO_CLASSIFIERS = (
    *("nothing", "os.system", "sklearn.svm.SVX", "sklearn.linear_model.Lasso", "svm.SVC", "sklearn.cluster.KMeans"),
    # these have decision values or probabilities, though not of the labels
    *("sklearn.ensemble.IsolationForest", "sklearn.svm.OneClassSVM", "sklearn.mixture.GaussianMixture"),
    # a classifier only around another one, without which it cannot even say so
    "sklearn.semi_supervised.SelfTrainingClassifier",
)


@pytest.mark.parametrize("name", NO_CLASSIFIERS)
def test_only_classifiers_of_scikit_learn_are_built(name: str) -> None:
    with pytest.raises(HeadError, match="There is no classifier '" + name.replace(".", r"\.")):
        fitted(f"sklearn:{name}")


def test_an_estimator_that_cannot_answer_some_post_says_so_in_a_sentence() -> None:
    # the distance to be a neighbour within is 1, far below that of any two posts in so many dimensions
    with pytest.raises(HeadError, match=r"'.*RadiusNeighborsClassifier' cannot answer this: No neighbors found"):
        fitted("sklearn:sklearn.neighbors.RadiusNeighborsClassifier")


def test_sklearn_name_and_parameter_mean_the_same() -> None:
    assert head_card("sklearn:svm").defaults == {"estimator": "svm"}
    one, two = fitted("sklearn:naive_bayes"), fitted("sklearn", estimator="naive_bayes")
    np.testing.assert_array_equal(one.predict_proba(POSTS.views), two.predict_proba(POSTS.views))


@pytest.mark.parametrize("spoil", ["circle", "outside", "feature", "roots"])
def test_trees_in_which_a_walk_would_not_end_are_refused(spoil: str) -> None:
    ours = fitted("sklearn:decision_tree")
    tensors = {name: array.copy() for name, array in ours.head.tensors().items()}
    if spoil == "circle":
        tensors["nodes"][0, 1] = 0
    elif spoil == "outside":
        tensors["nodes"][0, 1] = len(tensors["nodes"])
    elif spoil == "feature":
        tensors["nodes"][0, 2] = 40
    else:
        tensors["roots"] = np.array([len(tensors["nodes"])])
    with pytest.raises(HeadError, match="not trees over its features"):
        ours.head.load_tensors(tensors)
