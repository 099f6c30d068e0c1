"""How heads are trained: seeded, on train rows only, stopped early, and honest about labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_support import ALL_HEADS, IMAGE, QUICK, TEXT, TORCH_HEADS, Posts, draw
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.preprocessing import StandardScaler

from classifiers import FittedHead, HeadError, fit
from classifiers.heads.torch_head import TorchHead, one_thread
from classifiers.metrics import accuracy
from classifiers.problem import standardisation
from classifiers.training import trainer as training

POSTS = draw(160, "sum")


def quick(name: str, posts: Posts = POSTS, seed: int = 0, **params: object) -> FittedHead:
    return fit(name, posts.views, posts.labels, posts.train, posts.dev, 3, seed, **{**QUICK[name], **params})


def same(one: FittedHead, two: FittedHead) -> bool:
    first, second = one.head.tensors(), two.head.tensors()
    return one.history == two.history and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ALL_HEADS)
def test_same_seed_same_bits_whatever_ran_before(name: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = quick(name)
        torch.manual_seed(99)
        np.random.seed(99)  # noqa: NPY002
        state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
        second = quick(name)
        assert same(first, second)
        assert torch.equal(torch.random.get_rng_state(), state)
        np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
        assert torch.get_num_threads() == 2
        with one_thread():
            assert same(first, quick(name))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", TORCH_HEADS)
def test_another_seed_gives_another_fit(name: str) -> None:
    assert not same(quick(name, seed=0), quick(name, seed=1))


@pytest.mark.parametrize("which", [0, 1, 2], ids=["initialisation", "order", "dropout"])
def test_initialisation_order_and_dropout_are_drawn_apart(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = quick("guided_ca")
    seeds = training.seeds_of(0)
    monkeypatch.setattr(training, "seeds_of", lambda seed: seeds)
    assert same(first, quick("guided_ca"))
    seeds[which] += 1
    assert not same(first, quick("guided_ca"))


@pytest.mark.parametrize("name", TORCH_HEADS)
def test_a_fit_and_its_answers_take_one_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    standardised = TorchHead.standardised
    monkeypatch.setattr(
        TorchHead, "standardised", lambda *given: seen.append(torch.get_num_threads()) or standardised(*given)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        quick(name, max_epochs=1).predict_proba(POSTS.views)
    finally:
        torch.set_num_threads(threads)
    assert len(seen) >= 3
    assert set(seen) == {1}


def test_threads_and_generator_come_back_after_a_failure() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    views = {name: array * np.float32(1e30) for name, array in POSTS.views.items()}
    with pytest.raises(HeadError, match=r"diverged in epoch 1.*learning rate below 1e"):
        fit("mlp", POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, lr=1e30)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    # size alone is no failure: views are standardised
    assert fit("mlp", views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, max_epochs=1).best_epoch == 1


@pytest.mark.parametrize("name", TORCH_HEADS)
def test_early_stopping_restores_the_best_epoch(name: str) -> None:
    rng = np.random.default_rng(0)
    # labels without any relation to the views: the dev loss must rise soon
    noise = POSTS._replace(labels=rng.integers(0, 3, len(POSTS.labels)))
    fitted = quick(name, noise, max_epochs=60, patience=4, lr=3e-3, batch_size=16)
    losses = [row["dev_loss"] for row in fitted.history]
    assert [row["epoch"] for row in fitted.history] == list(range(1, len(losses) + 1))
    assert fitted.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == fitted.best_epoch + 4
    assert losses[-1] > min(losses)

    probabilities = fitted.predict_proba(noise.views, noise.dev)
    truth = noise.labels[noise.dev]
    kept = fitted.history[fitted.best_epoch - 1]
    given = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    assert -np.log(given).mean() == pytest.approx(kept["dev_loss"], abs=1e-5)
    assert f1_score(truth, probabilities.argmax(axis=1), average="macro") == kept["dev_macro_f1"]
    assert np.mean(truth == probabilities.argmax(axis=1)) == kept["dev_accuracy"]


def test_a_fit_that_keeps_improving_runs_to_the_last_epoch() -> None:
    fitted = quick("mlp", max_epochs=4, lr=1e-4)
    assert len(fitted.history) == fitted.best_epoch == 4
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]


def test_standardisation_is_that_of_the_train_rows() -> None:
    train = {name: array[POSTS.train] for name, array in POSTS.views.items()}
    train["text/constant"] = np.full((len(POSTS.train), 2), 0.1, dtype=np.float32)
    means, scales = standardisation(train)
    for name, array in train.items():
        scaler = StandardScaler().fit(array.astype(np.float64))
        np.testing.assert_allclose(means[name], scaler.mean_, rtol=1e-6)
        np.testing.assert_allclose(scales[name], scaler.scale_, rtol=1e-6)
    np.testing.assert_array_equal(scales["text/constant"], 1)


def test_dead_units_of_an_encoder_are_not_blown_up() -> None:
    signal = POSTS.views[IMAGE][POSTS.train]
    dust = signal[:, :3] * np.array([1e-33, 1e-9, 1e-4], dtype=np.float32)
    _, scales = standardisation({IMAGE: np.concatenate([signal, dust], axis=1)})
    np.testing.assert_array_equal(scales[IMAGE][-3:-1], 1)
    np.testing.assert_allclose(scales[IMAGE][-1], dust[:, 2].std(), rtol=1e-4)


@pytest.mark.parametrize("name", ALL_HEADS)
def test_rows_outside_train_and_dev_are_never_looked_at(name: str) -> None:
    spoiled = POSTS._replace(
        views={view: array.copy() for view, array in POSTS.views.items()}, labels=POSTS.labels.copy()
    )
    for array in spoiled.views.values():
        array[POSTS.test] = np.nan
    spoiled.labels[POSTS.test] = -1
    assert same(quick(name), quick(name, spoiled))


CHOSEN = {"k", "sharpness"}


@pytest.mark.parametrize("name", ALL_HEADS)
def test_dev_rows_choose_but_do_not_teach(name: str) -> None:
    shifted = POSTS._replace(views={view: array.copy() for view, array in POSTS.views.items()})
    for array in shifted.views.values():
        array[POSTS.dev] += 5
    one, two = quick(name), quick(name, shifted)
    assert one.history != two.history
    if "train_loss" in one.history[0]:
        assert [row["train_loss"] for row in one.history] == [row["train_loss"] for row in two.history]
    else:
        # what dev chooses apart, these heads are what train taught them
        ours, theirs = ({k: v for k, v in fitted.head.tensors().items() if k not in CHOSEN} for fitted in (one, two))
        assert set(ours) == set(theirs) > {"mean", "scale"}
        for key, array in ours.items():
            np.testing.assert_array_equal(array, theirs[key], err_msg=key)


def test_half_precision_views_are_trained_in_single_precision() -> None:
    half = {name: array.astype(np.float16) for name, array in POSTS.views.items()}
    widened = {name: array.astype(np.float32) for name, array in half.items()}
    assert same(quick("guided_ca", POSTS._replace(views=half)), quick("guided_ca", POSTS._replace(views=widened)))


@pytest.mark.parametrize(("seed", "never_chosen"), [(1, "lowest loss"), (8, "last")])
def test_logistic_is_the_best_on_dev_of_scikit_learn_s_fits(seed: int, never_chosen: str) -> None:
    posts = draw(400, "sum", seed=seed)
    grid = (1e-4, 1e-3, 1e-2, 1e-1, 10.0)
    # a rare class: macro-F1, the loss and the end of the path then ask for different C
    rare = np.flatnonzero(posts.labels == 2)[30:]
    posts.labels[rare] = 1
    fitted = fit("logistic", posts.views, posts.labels, posts.train, posts.dev, 3, 0, c_grid=grid)
    wide = np.concatenate([posts.views[IMAGE], posts.views[TEXT]], axis=1).astype(np.float64)
    wide = StandardScaler().fit(wide[posts.train]).transform(wide)
    answers, ranks = [], []
    for c in grid:
        model = LogisticRegression(C=c, tol=1e-8, max_iter=5000)
        model.fit(wide[posts.train], posts.labels[posts.train])
        dev = model.predict_proba(wide[posts.dev])
        truth = posts.labels[posts.dev]
        ranks.append((-f1_score(truth, dev.argmax(axis=1), average="macro"), log_loss(truth, dev), c))
        answers.append(model.predict_proba(wide[posts.test]))
    best = ranks.index(min(ranks))
    lowest_loss = min(range(len(grid)), key=lambda index: ranks[index][1])
    assert best != {"lowest loss": lowest_loss, "last": len(grid) - 1}[never_chosen]
    assert fitted.best_epoch == best + 1
    assert [row["c"] for row in fitted.history] == list(grid)
    assert all(row["converged"] for row in fitted.history)
    np.testing.assert_allclose(fitted.predict_proba(posts.views, posts.test), answers[best], atol=1e-3)
    for row, rank in zip(fitted.history, ranks, strict=True):
        assert row["dev_loss"] == pytest.approx(rank[1], abs=1e-3)


def test_two_class_logistic_equals_scikit_learn() -> None:
    posts = draw(300, "sum", seed=4)
    labels = (posts.labels > 0).astype(np.int64)
    fitted = fit("logistic", {IMAGE: posts.views[IMAGE]}, labels, posts.train, posts.dev, 2, 0, c_grid=(0.1,))
    wide = StandardScaler().fit(posts.views[IMAGE][posts.train]).transform(posts.views[IMAGE])
    model = LogisticRegression(C=0.1, tol=1e-8).fit(wide[posts.train], labels[posts.train])
    np.testing.assert_allclose(fitted.predict_proba(posts.views), model.predict_proba(wide), atol=1e-3)


def test_fusion_finds_an_exclusive_or_that_no_single_view_shows() -> None:
    posts = draw(1200, "xor")

    def score(name: str, views: list[str], **params: object) -> float:
        chosen = {view: posts.views[view] for view in views}
        fitted = fit(name, chosen, posts.labels, posts.train, posts.dev, 2, 0, **params)
        return accuracy(posts.truth(), fitted.predict(chosen, posts.test))

    alone = max(score("logistic", [view], c_grid=(0.01, 1.0)) for view in (IMAGE, TEXT))
    assert alone < 0.6
    for name in ("mlp", "cross_attention", "guided_ca"):
        assert score(name, [IMAGE, TEXT], lr=3e-3, batch_size=32) > 0.85, name


@pytest.mark.parametrize("name", ["concat", "logistic"])
def test_additive_heads_gain_from_a_second_view(name: str) -> None:
    posts = draw(600, "sum")
    both = fit(name, posts.views, posts.labels, posts.train, posts.dev, 3, 0)
    for view in (IMAGE, TEXT):
        one = {view: posts.views[view]}
        single = fit(name, one, posts.labels, posts.train, posts.dev, 3, 0)
        gain = accuracy(posts.truth(), both.predict(posts.views, posts.test)) - accuracy(
            posts.truth(), single.predict(one, posts.test)
        )
        assert gain > 0.15


@pytest.mark.parametrize("name", ALL_HEADS)
def test_a_label_that_train_never_shows_is_never_given_and_counts_as_wrong(name: str) -> None:
    labels = POSTS.labels * 2 + 1  # 1, 3, 5 of 0..7
    unseen = POSTS.dev[:7]
    labels[unseen] = [0, 7, 7, 2, 2, 4, 6]
    fitted = fit(name, POSTS.views, labels, POSTS.train, POSTS.dev, 8, 0, **QUICK[name])
    probabilities = fitted.predict_proba(POSTS.views)
    assert probabilities.shape == (len(labels), 8)
    np.testing.assert_array_equal(probabilities[:, [0, 2, 4, 6, 7]], 0)
    np.testing.assert_array_equal(fitted.classes, [1, 3, 5])

    kept, predicted = fitted.history[fitted.best_epoch - 1], probabilities.argmax(axis=1)
    truth, rest = labels[POSTS.dev], POSTS.dev[7:]
    assert kept["dev_accuracy"] == np.mean(truth == predicted[POSTS.dev]) <= 1 - 7 / len(POSTS.dev)
    assert kept["dev_macro_f1"] == pytest.approx(
        f1_score(truth, predicted[POSTS.dev], average="macro", zero_division=0)
    )
    known = probabilities[rest].astype(np.float64).clip(min=np.finfo(np.float32).tiny)
    assert kept["dev_loss"] == pytest.approx(-np.log(known[np.arange(len(rest)), labels[rest]]).mean(), abs=1e-5)
