"""Utilisation, error analysis and similarity are what their equations say, from numbers and from trained heads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from classifiers import Balance, FittedHead, HeadError, fit
from classifiers.analysis import (
    OneRight,
    Utilisation,
    modulation_scores,
    neighbour_similarity,
    only_one_right,
)
from classifiers.inspection import (
    read_outs,
    representations,
    similarities,
    unimodal_accuracy,
    utilisation,
)
from tests.classifiers.head_support import IMAGE, TEXT, TORCH_HEADS, Posts, draw

VIEWS = (IMAGE, TEXT)
READ_OUT_HEADS = ("concat", "sum", "gated", "film")


@pytest.fixture(scope="module")
def posts() -> Posts:
    return draw(400, "sum")


def trained(head: str, posts: Posts, **kwargs: object) -> FittedHead:
    return fit(head, posts.views, posts.labels, posts.train, posts.dev, 3, 0, max_epochs=5, lr=0.02, width=8, **kwargs)


def standardised(fitted: FittedHead, posts: Posts, rows: np.ndarray) -> list[np.ndarray]:
    """Test views over train's mean and deviation, in float64, by hand."""
    prepared = []
    for view in VIEWS:
        train = posts.views[view][posts.train].astype(np.float64)
        prepared.append((posts.views[view][rows] - train.mean(axis=0)) / train.std(axis=0))
    return prepared


def weights(fitted: FittedHead) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in fitted.head.tensors().items()}


def hidden(fitted: FittedHead, prepared: list[np.ndarray]) -> list[np.ndarray]:
    w = weights(fitted)
    return [
        np.maximum(x @ w[f"projections.{m}.weight"].T + w[f"projections.{m}.bias"], 0) for m, x in enumerate(prepared)
    ]


def concat_logits(fitted: FittedHead, prepared: list[np.ndarray]) -> np.ndarray:
    w = weights(fitted)
    return np.concatenate(hidden(fitted, prepared), axis=1) @ w["classifier.weight"].T + w["classifier.bias"]


def test_utilisation_is_the_accuracy_lost_without_a_view() -> None:
    used = Utilisation(0.8, {"colour": 0.2, "gray": 0.7})
    assert used.lost == pytest.approx({"colour": 0.75, "gray": 0.125})
    # the source: u(m_1|m_0) = (Acc - Acc(m_0 at zeros)) / Acc, d_util = u(m_1|m_0) - u(m_0|m_1)
    assert used.d_util == pytest.approx((0.8 - 0.2) / 0.8 - (0.8 - 0.7) / 0.8)


@given(*[st.integers(0, 100).map(lambda percent: percent / 100)] * 3)
def test_d_util_lies_between_its_bounds_and_turns_with_the_views(full: float, first: float, second: float) -> None:
    if full == 0:
        with pytest.raises(HeadError, match="right about no post"):
            Utilisation(full, {"a": first, "b": second})
        return
    d_util = Utilisation(full, {"a": first, "b": second}).d_util
    assert d_util == -Utilisation(full, {"a": second, "b": first}).d_util
    if full >= max(first, second):
        assert -1 <= d_util <= 1


def test_d_util_is_refused_for_three_views() -> None:
    with pytest.raises(HeadError, match="compares two views"):
        _ = Utilisation(0.5, {"a": 0.1, "b": 0.2, "c": 0.3}).d_util


def test_utilisation_of_a_head_zeroes_standardised_views(posts: Posts) -> None:
    fitted = trained("concat", posts)
    prepared, truth = standardised(fitted, posts, posts.test), posts.truth()
    found = utilisation(fitted, posts.views, posts.labels, posts.test)
    expected = {}
    for index, view in enumerate(VIEWS):
        zeroed = [np.zeros_like(x) if m == index else x for m, x in enumerate(prepared)]
        expected[view] = np.mean(concat_logits(fitted, zeroed).argmax(axis=1) == truth)
    assert found.accuracy == np.mean(concat_logits(fitted, prepared).argmax(axis=1) == truth)
    assert found.without == expected
    assert found.accuracy > max(expected.values()) > 0.2


@pytest.mark.parametrize("head", [name for name in TORCH_HEADS if name != "cmb"])
def test_every_torch_head_can_lose_a_view(head: str, posts: Posts) -> None:
    fitted = fit(head, posts.views, posts.labels, posts.train, posts.dev, 3, 0, max_epochs=1)
    found = utilisation(fitted, posts.views, posts.labels, posts.test)
    assert found.accuracy == np.mean(fitted.predict(posts.views, posts.test) == posts.truth())
    # a vector at train's mean is a zero vector after standardisation; heads over tokens take raw zeros as absent
    for index, view in enumerate(VIEWS):
        shape = posts.views[view].shape
        own = np.zeros(shape[1]) if fitted.card.tokens else fitted.head.tensors()[f"mean_{index}"]
        replaced = {**posts.views, view: np.broadcast_to(own.astype(np.float32), shape)}
        assert found.without[view] == np.mean(fitted.predict(replaced, posts.test) == posts.truth())


@pytest.mark.parametrize("head", READ_OUT_HEADS)
def test_read_outs_split_the_last_layer(head: str, posts: Posts) -> None:
    fitted = trained(head, posts)
    w, z = weights(fitted), hidden(fitted, standardised(fitted, posts, posts.test))
    if head == "concat":
        halves = np.split(w["classifier.weight"], 2, axis=1)
        logits = [h @ half.T + w["classifier.bias"] / 2 for h, half in zip(z, halves, strict=True)]
    elif head == "sum":
        logits = [h @ w[f"classifiers.{m}.weight"].T + w[f"classifiers.{m}.bias"] for m, h in enumerate(z)]
    else:
        logits = []
        for m in range(2):
            h0, h1 = (h if other == m else np.zeros_like(h) for other, h in enumerate(z))
            if head == "gated":
                gate = 1 / (1 + np.exp(-(h0 @ w["gate.weight"].T + w["gate.bias"])))
                fused = gate * (h1 @ w["gated.weight"].T + w["gated.bias"])
            else:
                gamma, beta = np.split(h0 @ w["modulation.weight"].T + w["modulation.bias"], 2, axis=1)
                fused = gamma * h1 + beta
            logits.append(fused @ w["classifier.weight"].T + w["classifier.bias"])
    said = read_outs(fitted, posts.views, posts.test)
    scored = unimodal_accuracy(fitted, posts.views, posts.labels, posts.test)
    for view, own in zip(VIEWS, logits, strict=True):
        np.testing.assert_array_equal(said[view], own.argmax(axis=1))
        assert scored[view] == np.mean(own.argmax(axis=1) == posts.truth())


def test_read_outs_name_labels_that_train_showed(posts: Posts) -> None:
    fitted = fit("concat", posts.views, posts.labels * 2 + 1, posts.train, posts.dev, 6, 0, max_epochs=5, lr=0.02)
    for said in read_outs(fitted, posts.views).values():
        assert set(said.tolist()) <= {1, 3, 5}
    assert utilisation(fitted, posts.views, posts.labels * 2 + 1).accuracy > 0.5


def test_representations_are_those_before_and_after_fusion(posts: Posts) -> None:
    fitted = trained("concat", posts)
    z = hidden(fitted, standardised(fitted, posts, posts.test))
    found = representations(fitted, posts.views, posts.test)
    for view, own in zip(VIEWS, z, strict=True):
        np.testing.assert_allclose(found.unimodal[view], own, atol=1e-4)
    np.testing.assert_allclose(found.multimodal, np.concatenate(z, axis=1), atol=1e-4)
    w = weights(fitted)
    film = trained("film", posts)
    w, (h0, h1) = weights(film), hidden(film, standardised(film, posts, posts.test))
    gamma, beta = np.split(h0 @ w["modulation.weight"].T + w["modulation.bias"], 2, axis=1)
    np.testing.assert_allclose(representations(film, posts.views, posts.test).multimodal, gamma * h1 + beta, atol=1e-3)
    summed = trained("sum", posts)
    scores = representations(summed, posts.views, posts.test).multimodal
    np.testing.assert_array_equal(scores.argmax(axis=1), summed.predict(posts.views, posts.test))


def test_similarity_counts_common_neighbours() -> None:
    rng = np.random.default_rng(0)
    mixed, own, k = rng.normal(size=(700, 6)), rng.normal(size=(700, 3)), 7
    near = []
    for space in (mixed, own):
        distances = cdist(space, space)
        np.fill_diagonal(distances, np.inf)
        near.append([set(row) for row in np.argsort(distances, axis=1)[:, :k].tolist()])
    expected = [len(a & b) / k for a, b in zip(*near, strict=True)]
    np.testing.assert_allclose(neighbour_similarity(mixed, own, k), expected, atol=1e-12)
    assert (neighbour_similarity(own, 3 * own + 1, k) == 1).all()
    assert np.mean(expected) == pytest.approx(k / 699, abs=0.01)
    for bad in (0, 700):
        with pytest.raises(HeadError, match="k is"):
            neighbour_similarity(mixed, own, bad)


def test_similarities_of_a_head_are_means_over_its_maps(posts: Posts) -> None:
    fitted = trained("concat", posts)
    maps = representations(fitted, posts.views, posts.test)
    found = similarities(fitted, posts.views, 5, posts.test)
    for view in VIEWS:
        expected = neighbour_similarity(maps.multimodal, maps.unimodal[view], 5).mean()
        assert found[view] == pytest.approx(expected)


def test_table_counts_posts_that_one_modality_alone_is_right_about() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    text = np.array([0, 0, 1, 1, 1, 1, 0, 0])
    image = np.array([0, 1, 0, 1, 1, 0, 1, 0])
    fused = np.array([0, 0, 0, 1, 1, 0, 1, 0])
    found = only_one_right(truth, fused, {"text": text, "image": image})
    # text alone: posts 1 (fusion right) and 5 (wrong); image alone: posts 2 and 6 (both right)
    assert found == {"text": OneRight(1, 1), "image": OneRight(2, 0)}
    assert (found["text"].share, found["image"].share) == (0.5, 1.0)
    third = only_one_right(truth, fused, {"text": text, "image": image, "audio": np.zeros(8, dtype=int)})
    # audio is right about the zeros: posts 1 and 2 no longer have one modality alone, post 3 has, and fusion fails
    assert third == {"text": OneRight(0, 1), "image": OneRight(1, 0), "audio": OneRight(0, 1)}
    assert np.isnan(OneRight(0, 0).share)
    for alone in ({"text": text}, {"text": text, "image": image[1:]}):
        with pytest.raises(HeadError, match="two or more modalities"):
            only_one_right(truth, fused, alone)


def test_modulation_scores_come_from_the_history(posts: Posts) -> None:
    watched = trained("concat", posts, balance=Balance("d_sse", {"p_c": 0.0}))
    scores = modulation_scores(watched.history)
    assert list(scores) == list(VIEWS)
    for view in VIEWS:
        assert scores[view] == [row[f"S({view})"] for row in watched.history]
        assert len(scores[view]) == len(watched.history)
    with pytest.raises(HeadError, match="no modulation scores"):
        modulation_scores(trained("concat", posts).history)


def test_heads_that_cannot_be_looked_into_are_refused(posts: Posts) -> None:
    library = fit("logistic", posts.views, posts.labels, posts.train, posts.dev, 3, 0)
    with pytest.raises(HeadError, match="is a library's"):
        utilisation(library, posts.views, posts.labels)
    with pytest.raises(HeadError, match="no read-out per view"):
        read_outs(trained("guided_ca", posts), posts.views)
    with pytest.raises(HeadError, match="labels for"):
        utilisation(trained("concat", posts), posts.views, posts.labels[:-1])
