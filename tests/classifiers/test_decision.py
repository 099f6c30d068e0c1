"""Decision fusion is what the source's equations say, post by post."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers import HeadError
from classifiers.decision import RULES, fuse

CHOICES = st.integers(0, 2**32 - 1)


def answers(seed: int, classes: int, heads: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(classes, 0.7), 20).astype(np.float32) for _ in range(heads)]


@given(CHOICES, st.integers(2, 6), st.integers(2, 4))
def test_mean_is_the_average_distribution_and_max_its_most_confident_class(seed: int, classes: int, heads: int) -> None:
    given_answers = answers(seed, classes, heads)
    mean, largest = fuse("mean", given_answers), fuse("max", given_answers)
    for post in range(20):
        rows = [answer[post].astype(np.float64) for answer in given_answers]
        np.testing.assert_allclose(mean[post], sum(rows) / heads, atol=1e-6)
        by_class = [max(row[i] for row in rows) for i in range(classes)]
        np.testing.assert_allclose(largest[post], np.array(by_class) / sum(by_class), atol=1e-6)
        assert by_class[largest[post].argmax()] == max(by_class)


@given(CHOICES)
def test_or_is_the_larger_and_and_the_smaller_class_number(seed: int) -> None:
    one, two = answers(seed, 2)
    classes = [one.argmax(axis=1), two.argmax(axis=1)]
    # the source numbers the positive class 1, so that "or" is a maximum
    np.testing.assert_array_equal(fuse("or", [one, two], positive=1).argmax(axis=1), np.maximum(*classes))
    np.testing.assert_array_equal(fuse("and", [one, two], positive=1).argmax(axis=1), np.minimum(*classes))
    # the other way round the roles swap
    np.testing.assert_array_equal(fuse("or", [one, two], positive=0).argmax(axis=1), np.minimum(*classes))
    np.testing.assert_array_equal(fuse("and", [one, two], positive=0).argmax(axis=1), np.maximum(*classes))


@pytest.mark.parametrize("rule", RULES)
@given(seed=CHOICES)
def test_fused_answers_are_distributions_and_ignore_the_order_of_heads(rule: str, seed: int) -> None:
    one, two = answers(seed, 2)
    fused = fuse(rule, [one, two], positive=0)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(fused, fuse(rule, [two, one], positive=0))


@pytest.mark.parametrize("rule", RULES)
def test_a_tie_goes_the_way_of_the_heads_themselves(rule: str) -> None:
    even, sure = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])
    assert fuse(rule, [even, sure], positive=0).argmax() == 0
    assert fuse(rule, [even, even], positive=1).argmax() == even.argmax()


@pytest.mark.parametrize(
    ("rule", "heads", "classes", "positive", "words"),
    [
        ("sum", 2, 2, 0, "no fusion rule 'sum'"),
        ("mean", 1, 2, 0, "two heads or more"),
        ("or", 2, 3, 0, "for two classes"),
        ("and", 2, 2, None, "for two classes"),
        ("and", 2, 2, 2, "for two classes"),
    ],
)
def test_wrong_fusions_are_refused(rule: str, heads: int, classes: int, positive: int | None, words: str) -> None:
    with pytest.raises(HeadError, match=words):
        fuse(rule, answers(0, classes, heads), positive)
    with pytest.raises(HeadError, match="same posts"):
        fuse("mean", [answers(0, 2)[0], answers(0, 2)[0][:3]])
