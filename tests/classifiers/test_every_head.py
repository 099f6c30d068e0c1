"""What every head in the table must keep, by one test each over the whole table, so that no new head can escape.

Gradients of every torch head against finite differences are in test_head_gradients, over the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lightgbm
import numpy as np
import pytest
from head_support import QUICK, draw
from test_head_forward import READINGS as OF_FUSION
from test_head_forward import softmax
from test_head_readings import READINGS as OF_VARIANTS
from test_head_tokens import READINGS as OF_TOKENS

from classifiers import HEADS, FittedHead, fit

# the one head whose answers depend on company, which its summary says and which no sweep takes up
DEPENDS_ON_COMPANY = {"guided_ca_batch"}
POSTS = draw(160, "sum", dims=(16, 16))

Tensors = Mapping[str, np.ndarray]


def fitted(name: str) -> FittedHead:
    return fit(name, POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, **QUICK[name])


@pytest.mark.parametrize("name", HEADS)
def test_a_post_is_answered_alike_alone_in_company_and_in_any_order(name: str) -> None:
    head = fitted(name)
    together = head.predict_proba(POSTS.views, POSTS.test)
    order = np.random.default_rng(0).permutation(len(POSTS.test))
    shuffled = head.predict_proba(POSTS.views, POSTS.test[order])
    alone = np.concatenate([head.predict_proba(POSTS.views, POSTS.test[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(shuffled, together[order], rtol=0, atol=1e-6)
    if name in DEPENDS_ON_COMPANY:
        assert np.abs(alone - together[:8]).max() > 1e-3
        assert not HEADS[name].swept
        assert "depend on company" in HEADS[name].summary
    else:
        np.testing.assert_allclose(alone, together[:8], rtol=0, atol=1e-6)
        assert np.abs(together - together[0]).max() > 1e-3


def wide(post: int) -> np.ndarray:
    return np.concatenate([POSTS.views[name][post] for name in sorted(POSTS.views)]).astype(np.float64)


def standard(tensors: Tensors, post: int) -> np.ndarray:
    return (wide(post) - tensors["mean"]) / tensors["scale"]


def unit(tensors: Tensors, post: int) -> np.ndarray:
    """Each view's standardised vector at length 1, both together at length 1."""
    parts = np.split(standard(tensors, post), 2)
    return np.concatenate([part / np.linalg.norm(part) for part in parts]) / np.sqrt(2)


def read_logistic(tensors: Tensors, post: int) -> np.ndarray:
    return softmax(tensors["coef"] @ standard(tensors, post) + tensors["intercept"])


def read_prototype(tensors: Tensors, post: int) -> np.ndarray:
    return softmax(tensors["sharpness"][0] * (tensors["prototypes"].astype(np.float64) @ unit(tensors, post)))


def read_knn(tensors: Tensors, post: int) -> np.ndarray:
    """The votes of the k nearest, and train's own shares as one more vote."""
    cosines = tensors["posts"].astype(np.float64) @ unit(tensors, post)
    k, votes = int(tensors["k"][0]), np.bincount(tensors["targets"], minlength=3) / len(tensors["targets"])
    for near in np.argsort(-cosines)[:k]:
        votes[tensors["targets"][near]] += 1
    return votes / (k + 1)


def read_tree(tensors: Tensors, post: int) -> np.ndarray:
    at, x = int(tensors["roots"][0]), standard(tensors, post).astype(np.float32)
    while tensors["nodes"][at, 0] >= 0:
        left, right, feature = tensors["nodes"][at]
        at = int(left if x[feature] <= tensors["thresholds"][at] else right)
    return tensors["shares"][at]


def read_boosting(tensors: Tensors, post: int) -> np.ndarray:
    """Every tree walked by hand; tree i speaks for class i modulo 3."""
    model = lightgbm.Booster(model_str=tensors["model"].tobytes().decode()).dump_model()
    x, logits = wide(post), np.zeros(3)
    for number, tree in enumerate(model["tree_info"]):
        node = tree["tree_structure"]
        while "split_feature" in node:
            node = node["left_child" if x[node["split_feature"]] <= node["threshold"] else "right_child"]
        logits[number % 3] += node["leaf_value"]
    return softmax(logits)


LIBRARY: dict[str, Callable[[Tensors, int], np.ndarray]] = {
    "logistic": read_logistic,
    "prototype": read_prototype,
    "knn": read_knn,
    "sklearn": read_tree,
    "lightgbm": read_boosting,
}


@pytest.mark.parametrize("name", LIBRARY)
def test_a_library_head_answers_as_a_numpy_reading_of_what_it_learned(name: str) -> None:
    head = fitted(name)
    ours, tensors = head.predict_proba(POSTS.views, POSTS.test[:20]), head.head.tensors()
    for answer, post in zip(ours, POSTS.test[:20], strict=True):
        np.testing.assert_allclose(answer, LIBRARY[name](tensors, post), rtol=0, atol=1e-5)


def test_no_head_is_without_a_numpy_reading() -> None:
    # the batch form is read in test_head_readings, in a test of its own since it answers a batch at a time
    read = {*OF_FUSION, *OF_VARIANTS, *OF_TOKENS, *LIBRARY, "guided_ca_batch"}
    assert read == set(HEADS)


@pytest.mark.parametrize("name", [name for name, card in HEADS.items() if card.family == "torch"])
def test_every_torch_head_says_how_many_numbers_it_learns(name: str) -> None:
    assert HEADS[name].parameters is not None
