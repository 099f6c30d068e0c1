"""The fusion heads' equations read again in numpy, one post at a time, with loops where the heads have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from head_support import IMAGE, TEXT
from test_head_forward import READINGS as READ_ELSEWHERE
from test_head_forward import Weights, attend, relu, sigmoid, softmax

from classifiers import HEADS, head_card
from classifiers.heads.torch_head import TorchHead

DIMS = {IMAGE: 12, TEXT: 12}
CLASSES = 3
Vectors = list[np.ndarray]


def hidden(w: Weights, views: Vectors) -> Vectors:
    return [relu(w(f"projections.{m}", v)) for m, v in enumerate(views)]


def read_sum(w: Weights, views: Vectors) -> np.ndarray:
    return sum(w(f"classifiers.{m}", h) for m, h in enumerate(hidden(w, views)))


def read_gated(w: Weights, views: Vectors) -> np.ndarray:
    first, second = hidden(w, views)
    return w("classifier", sigmoid(w("gate", first)) * w("gated", second))


def read_film(w: Weights, views: Vectors) -> np.ndarray:
    first, second = hidden(w, views)
    modulation = w("modulation", first)
    return w("classifier", modulation[:6] * second + modulation[6:])


def of_abavisani(masks: Callable[[Weights, Vectors], Vectors], attends: bool = True) -> Callable[..., np.ndarray]:
    def read(w: Weights, views: Vectors) -> np.ndarray:
        h = relu(w("hidden", np.concatenate([a * p for a, p in zip(masks(w, views), hidden(w, views), strict=True)])))
        return w("classifier", attend(h, groups=6) if attends else h)

    return read


def read_self_attention(w: Weights, views: Vectors) -> np.ndarray:
    h = relu(w("hidden", np.concatenate([attend(p, groups=6) for p in hidden(w, views)])))
    return w("classifier", attend(h, groups=6))


def own(w: Weights, views: Vectors) -> Vectors:
    return [sigmoid(w(f"masks.{m}", v)) for m, v in enumerate(views)]


def crossed(w: Weights, views: Vectors) -> Vectors:
    return own(w, views[::-1])


def joint(w: Weights, views: Vectors) -> Vectors:
    return own(w, [np.concatenate(views)] * 2)


def no_mask(w: Weights, views: Vectors) -> Vectors:
    return [np.ones(1), np.ones(1)]


def guided(w: Weights, views: Vectors) -> np.ndarray:
    """Munia et al. 2025, eqs 4-7 and the concatenation; 12 features are 6 groups of 2."""
    attended = [attend(v, groups=6) for v in views]
    z, a = hidden(w, attended), own(w, attended)
    return np.concatenate([a[1] * z[0], a[0] * z[1]])


def attention(w: Weights, name: str, x: np.ndarray, y: np.ndarray, differential: bool) -> np.ndarray:
    """Eqs 8-9 with a loop over the asking rows, X and Y [G, d_model]."""
    wq, wk, wv = (w.by_name[f"{name}.{part}.weight"] for part in ("query", "key", "value"))
    d = len(wv) // 2
    answers = []
    for row in x:
        q, keys, values = wq @ row, y @ wk.T, y @ wv.T
        shares = softmax(keys[:, :d] @ q[:d] / np.sqrt(d))
        if differential:
            shares = shares - w.by_name[f"{name}.lambda_"] * softmax(keys[:, d:] @ q[d:] / np.sqrt(d))
        answers.append(shares @ values)
    return np.concatenate(answers)


def read_guided_ca_diff(w: Weights, views: Vectors) -> np.ndarray:
    z = guided(w, views).reshape(6, 2)
    return w("classifier", attention(w, "attention", z, z, differential=True))


def between(differential: bool) -> Callable[[Weights, Vectors], np.ndarray]:
    def read(w: Weights, views: Vectors) -> np.ndarray:
        first, second = (h.reshape(6, 1) for h in hidden(w, views))
        return w(
            "classifier",
            np.concatenate(
                [
                    attention(w, "attentions.0", first, second, differential),
                    attention(w, "attentions.1", second, first, differential),
                ]
            ),
        )

    return read


def read_guided_ca_printed(w: Weights, views: Vectors) -> np.ndarray:
    image, text = (attend(v, groups=6) for v in views)
    shared, bias = w.by_name["mask.weight"], w.by_name["projections.0.bias"]
    z_i, z_t = relu(w("projections.0", image)), relu(w("projections.1", text))
    a_i, a_t = sigmoid(shared @ image + bias), sigmoid(shared @ text + bias)
    return w("classifier", np.concatenate([a_t * z_i, a_i * z_t]))


def compact(w: Weights, views: Vectors) -> np.ndarray:
    """The sketch of an outer product, summed entry by entry, without a Fourier transform."""
    d, phi = 16, np.zeros(16)
    for i, a in enumerate(views[0]):
        for j, b in enumerate(views[1]):
            place = (w.by_name["hash_0"][i] + w.by_name["hash_1"][j]) % d
            phi[int(place)] += w.by_name["sign_0"][i] * w.by_name["sign_1"][j] * a * b
    phi = np.sign(phi) * np.sqrt(np.abs(phi))
    return phi / np.linalg.norm(phi) * np.sqrt(d)


def read_compact_bilinear_gated(w: Weights, views: Vectors) -> np.ndarray:
    phi = compact(w, views)
    return w("classifier", sigmoid(w("gate", phi)) * w("gated", phi))


READINGS: dict[str, Callable[[Weights, Vectors], np.ndarray]] = {
    "sum": read_sum,
    "gated": read_gated,
    "film": read_film,
    "cross_attention_printed": of_abavisani(own),
    "co_attention": of_abavisani(joint),
    "self_attention": read_self_attention,
    "cross_attention_no_cross": of_abavisani(no_mask),
    "cross_attention_no_self": of_abavisani(crossed, attends=False),
    "cross_attention_no_dropout": of_abavisani(crossed),
    "guided_ca_diff": read_guided_ca_diff,
    "guided_ca_self": lambda w, views: w("classifier", attend(guided(w, views), groups=6)),
    "cross_attention_003": between(differential=False),
    "cross_diff_attention": between(differential=True),
    "guided_ca_printed": read_guided_ca_printed,
    "compact_bilinear": lambda w, views: w("classifier", compact(w, views)),
    "compact_bilinear_gated": read_compact_bilinear_gated,
}
SMALL: dict[str, Any] = {"width": 6, "sketch": 16, "layers": 2, "bottlenecks": 3, "dropout": 0.0}


def small(name: str, dims: dict[str, int], seed: int = 0) -> TorchHead:
    """A head with few, far from zero weights and a standardisation that is not the identity."""
    params = {key: SMALL[key] for key in head_card(name).defaults}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head: TorchHead = head_card(name).build(dims, CLASSES, params).eval()
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(0.7 * torch.randn(parameter.shape))
    rng = np.random.default_rng(seed)
    head.set_standardisation(
        {view: rng.normal(size=dim).astype(np.float32) for view, dim in dims.items()},
        {view: rng.uniform(0.5, 2, size=dim).astype(np.float32) for view, dim in dims.items()},
    )
    return head


@pytest.mark.parametrize("name", READINGS)
def test_forward_equals_a_numpy_reading_of_the_equations(name: str) -> None:
    head = small(name, DIMS)
    rng = np.random.default_rng(1)
    views = {view: (2 * rng.normal(size=(5, dim)) + 1).astype(np.float32) for view, dim in DIMS.items()}
    with torch.no_grad():
        ours = head({view: torch.from_numpy(array) for view, array in views.items()}).numpy()
    w = Weights(head)
    for post in range(5):
        standard = [w.standardise(m, views[view][post].astype(np.float64)) for m, view in enumerate(sorted(DIMS))]
        np.testing.assert_allclose(ours[post], READINGS[name](w, standard), rtol=1e-4, atol=1e-4)
    assert np.abs(ours - ours[0]).max() > 0.01


def test_every_torch_head_is_read_in_numpy() -> None:
    from test_head_tokens import READINGS as OF_TOKENS

    read = {*READ_ELSEWHERE, *READINGS, *OF_TOKENS, "guided_ca_batch"}
    assert read == {name for name, card in HEADS.items() if card.family == "torch"}


def test_the_batch_form_attends_over_posts_and_says_so() -> None:
    head = small("guided_ca_batch", DIMS)
    views = {view: torch.randn(4, dim, generator=torch.Generator().manual_seed(0)) for view, dim in DIMS.items()}
    with torch.no_grad():
        together, alone = head(views).numpy(), head({view: array[:1] for view, array in views.items()}).numpy()
    assert np.abs(together[0] - alone[0]).max() > 1e-3
    assert not HEADS["guided_ca_batch"].swept
    w = Weights(head)
    standard = [
        np.stack([w.standardise(m, row.astype(np.float64)) for row in views[view].numpy()])
        for m, view in enumerate(sorted(DIMS))
    ]
    attended = [np.stack([softmax(x @ row / np.sqrt(12)) @ x for row in x]) for x in standard]
    for post in range(4):
        views_of_post = [x[post] for x in attended]
        z, a = hidden(w, views_of_post), own(w, views_of_post)
        expected = w("classifier", np.concatenate([a[1] * z[0], a[0] * z[1]]))
        np.testing.assert_allclose(together[post], expected, rtol=1e-4, atol=1e-4)


def test_lambda_changes_the_answer_because_the_sequence_is_longer_than_one() -> None:
    for name in ("guided_ca_diff", "cross_diff_attention"):
        head = small(name, DIMS)
        views = {view: torch.randn(3, dim, generator=torch.Generator().manual_seed(0)) for view, dim in DIMS.items()}
        before = head(views)
        with torch.no_grad():
            for key, parameter in head.named_parameters():
                if key.endswith("lambda_"):
                    parameter.fill_(0.0)
        after = head(views)
        # a change of scale alone would leave the directions as they were
        weight = head.state_dict()["classifier.bias"]
        cosine = torch.cosine_similarity(before - weight, after - weight, dim=1)
        assert (cosine < 0.999).any(), name


@pytest.mark.parametrize("name", ["concat", "sum", "gated", "film"])
def test_modality_read_outs_depend_on_their_own_view_only(name: str) -> None:
    head = small(name, DIMS)
    generator = torch.Generator().manual_seed(0)
    first, second = ({view: torch.randn(4, dim, generator=generator) for view, dim in DIMS.items()} for _ in range(2))
    mixed = {IMAGE: first[IMAGE], TEXT: second[TEXT]}
    with torch.no_grad():
        image, text = head.modality_logits(head.prepare(first))
        same_image, other_text = head.modality_logits(head.prepare(mixed))
        logits = head(first)
    assert image.shape == text.shape == (4, CLASSES)
    torch.testing.assert_close(image, same_image, rtol=0, atol=0)
    assert (text - other_text).abs().max() > 0.01
    if name in ("concat", "sum"):
        torch.testing.assert_close(image + text, logits)


def test_the_printed_form_needs_views_of_one_width() -> None:
    from classifiers import HeadError

    with pytest.raises(HeadError, match=r"have 12 and 10; use 'guided_ca'"):
        head_card("guided_ca_printed").build({IMAGE: 12, TEXT: 10}, 2, {"width": 4, "dropout": 0.0})


@pytest.mark.parametrize("name", [name for name, card in HEADS.items() if card.family == "torch"])
def test_what_is_prepared_does_not_depend_on_the_initialisation(name: str) -> None:
    params = HEADS[name].defaults
    views = {view: torch.randn(3, dim, generator=torch.Generator().manual_seed(0)) for view, dim in DIMS.items()}
    made = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made.append(head_card(name).build(DIMS, CLASSES, params).prepare(views))
    for one, other in zip(*made, strict=True):
        assert torch.equal(one, other)
