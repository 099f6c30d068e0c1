"""What each head computes: its equations, read again in numpy, one post at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from head_support import ALL_HEADS, IMAGE, QUICK, TEXT, TORCH_HEADS, draw
from hypothesis import given
from hypothesis import strategies as st

from classifiers import fit, head_card
from classifiers.heads.torch_head import TorchHead, feature_groups, self_attention

DIMS = {IMAGE: 12, TEXT: 10}
CLASSES = 3


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


class Weights:
    """The weights of a head, float64, applied to one post's vector by the layer's name."""

    def __init__(self, head: TorchHead) -> None:
        self.by_name = {name: array.astype(np.float64) for name, array in head.tensors().items()}

    def __call__(self, layer: str, x: np.ndarray) -> np.ndarray:
        return self.by_name[f"{layer}.weight"] @ x + self.by_name[f"{layer}.bias"]

    def standardise(self, index: int, x: np.ndarray) -> np.ndarray:
        return (x - self.by_name[f"mean_{index}"]) / self.by_name[f"scale_{index}"]


def attend(x: np.ndarray, groups: int) -> np.ndarray:
    """Munia et al. 2025, eq. 4 for one post, with loops."""
    v = x.reshape(groups, -1)
    rows = []
    for query in v:
        shares = softmax(np.array([query @ key for key in v]) / np.sqrt(v.shape[1]))
        rows.append(sum(share * value for share, value in zip(shares, v, strict=True)))
    return np.concatenate(rows)


def read_mlp(w: Weights, f: np.ndarray, e: np.ndarray) -> np.ndarray:
    h = np.concatenate([f, e])
    return w("layers.6", relu(w("layers.3", relu(w("layers.0", h)))))


def read_concat(w: Weights, f: np.ndarray, e: np.ndarray) -> np.ndarray:
    return w("classifier", np.concatenate([relu(w("projections.0", f)), relu(w("projections.1", e))]))


def read_cross_attention(w: Weights, f: np.ndarray, e: np.ndarray) -> np.ndarray:
    mask_f, mask_e = sigmoid(w("masks.0", e)), sigmoid(w("masks.1", f))
    joint = np.concatenate([mask_f * relu(w("projections.0", f)), mask_e * relu(w("projections.1", e))])
    return w("classifier", attend(relu(w("hidden", joint)), groups=6))


def read_guided_ca(w: Weights, f: np.ndarray, e: np.ndarray) -> np.ndarray:
    f, e = attend(f, groups=6), attend(e, groups=5)
    z_f, z_e = relu(w("projections.0", f)), relu(w("projections.1", e))
    a_f, a_e = sigmoid(w("masks.0", f)), sigmoid(w("masks.1", e))
    return w("classifier", np.concatenate([a_e * z_f, a_f * z_e]))


READINGS = {
    "mlp": read_mlp,
    "concat": read_concat,
    "cross_attention": read_cross_attention,
    "guided_ca": read_guided_ca,
}


@pytest.mark.parametrize("name", READINGS)
def test_forward_equals_a_numpy_reading_of_the_equations(name: str) -> None:
    rng = np.random.default_rng(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        head: TorchHead = head_card(name).build(DIMS, CLASSES, {"width": 6, "dropout": 0.5}).eval()
    views = {view: (2 * rng.normal(size=(5, dim)) + 1).astype(np.float32) for view, dim in DIMS.items()}
    means = {view: rng.normal(size=dim).astype(np.float32) for view, dim in DIMS.items()}
    scales = {view: rng.uniform(0.5, 2, size=dim).astype(np.float32) for view, dim in DIMS.items()}
    head.set_standardisation(means, scales)

    with torch.no_grad():
        ours = head({view: torch.from_numpy(array) for view, array in views.items()}).numpy()

    w = Weights(head)
    for post in range(5):
        f = (views[IMAGE][post] - means[IMAGE]) / scales[IMAGE]
        e = (views[TEXT][post] - means[TEXT]) / scales[TEXT]
        np.testing.assert_allclose(w.standardise(0, views[IMAGE][post]), f, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours[post], READINGS[name](w, f, e), rtol=1e-4, atol=1e-5)
    assert np.abs(ours - ours[0]).max() > 0.01


@pytest.mark.parametrize("name", TORCH_HEADS)
def test_dropout_acts_in_training_and_not_in_answers(name: str) -> None:
    head: TorchHead = head_card(name).build(DIMS, CLASSES, {**head_card(name).defaults, "dropout": 0.5})
    views = {view: torch.randn(4, dim) for view, dim in DIMS.items()}
    head.train()
    assert not torch.equal(head(views), head(views))
    head.eval()
    assert torch.equal(head(views), head(views))


@pytest.mark.parametrize("name", ALL_HEADS)
def test_views_are_told_apart_by_name_and_not_by_position(name: str) -> None:
    posts = draw(160, "sum")
    swapped = dict(reversed(posts.views.items()))
    first = fit(name, posts.views, posts.labels, posts.train, posts.dev, 3, 0, **QUICK[name])
    second = fit(name, swapped, posts.labels, posts.train, posts.dev, 3, 0, **QUICK[name])
    np.testing.assert_array_equal(first.predict_proba(swapped), second.predict_proba(posts.views))


def test_prediction_in_chunks_equals_prediction_at_once() -> None:
    posts = draw(160, "sum")
    fitted = fit("guided_ca", posts.views, posts.labels, posts.train, posts.dev, 3, 0, max_epochs=1)
    many = np.tile(posts.test, 9000 // len(posts.test) + 1)
    expected = np.tile(fitted.predict_proba(posts.views, posts.test), (len(many) // len(posts.test), 1))
    np.testing.assert_allclose(fitted.predict_proba(posts.views, many), expected, rtol=0, atol=1e-6)
    assert fitted.predict_proba(posts.views, np.array([], dtype=np.int64)).shape == (0, 3)


@given(st.integers(1, 5000))
def test_groups_are_the_largest_divisor_up_to_eight(dim: int) -> None:
    groups = feature_groups(dim)
    assert 1 <= groups <= 8
    assert dim % groups == 0
    assert all(dim % more for more in range(groups + 1, 9))


@pytest.mark.parametrize("dim", [7, 8, 13, 100, 384])
def test_self_attention_equals_torch_s_own_inside_each_post(dim: int) -> None:
    vectors = torch.randn(6, dim, generator=torch.Generator().manual_seed(0))
    v = vectors.reshape(6, feature_groups(dim), -1)
    expected = torch.nn.functional.scaled_dot_product_attention(v, v, v).reshape(6, dim)
    torch.testing.assert_close(self_attention(vectors), expected, rtol=1e-5, atol=1e-6)
