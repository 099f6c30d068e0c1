"""Heads over tokens: their equations in numpy, padding that counts for nothing, and slabs that keep memory small."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from head_support import IMAGE, TEXT
from test_head_forward import Weights, relu, softmax

from classifiers import HEADS, HeadError, fit
from classifiers.heads.torch_head import TorchHead
from classifiers.heads.transformer import TransformerLayer, last_asked
from classifiers.problem import standardisation, take_views
from classifiers.tokens import SLAB_BYTES, TokenRows, slabs

DIMS = {IMAGE: 5, TEXT: 4}
LENGTHS = {IMAGE: 4, TEXT: 6}
TOKEN_HEADS = tuple(name for name, card in HEADS.items() if card.tokens)
Views = list[np.ndarray]


def norm(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w.by_name[f"{name}.weight"] + w.by_name[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])


def layer(w: Weights, name: str, tokens: np.ndarray) -> np.ndarray:
    """A pre-norm transformer layer over the tokens of one post that are present; width 6, two heads of 3."""
    qkv = np.stack([w(f"{name}.qkv", norm(w, f"{name}.norms.0", x)) for x in tokens]).reshape(-1, 3, 2, 3)
    mixed = []
    for query in qkv[:, 0]:
        heads = [softmax(qkv[:, 1, h] @ query[h] / np.sqrt(3)) @ qkv[:, 2, h] for h in range(2)]
        mixed.append(w(f"{name}.out", np.concatenate(heads)))
    tokens = tokens + np.stack(mixed)
    return tokens + np.stack(
        [w(f"{name}.outer", gelu(w(f"{name}.inner", norm(w, f"{name}.norms.1", x)))) for x in tokens]
    )


def embed(w: Weights, views: Views) -> Views:
    segments = w.by_name["embedding.segments"]
    return [
        np.stack([w(f"embedding.projections.{m}", x) + segments[m] for x in tokens]) for m, tokens in enumerate(views)
    ]


def firsts(w: Weights, views: Views) -> np.ndarray:
    return w("classifier", np.concatenate([norm(w, "norm", tokens[0]) for tokens in views]))


def read_transformer_fusion(w: Weights, views: Views) -> np.ndarray:
    image, text = embed(w, views)
    tokens = np.concatenate([image, text])
    for index in range(2):
        tokens = layer(w, f"layers.{index}", tokens)
    return firsts(w, [tokens[: len(image)], tokens[len(image) :]])


def read_bottleneck_fusion(w: Weights, views: Views) -> np.ndarray:
    image, text = embed(w, views)
    shared = w.by_name["bottleneck"]
    for index in range(2):
        mixed = layer(w, f"layers.{2 * index}", np.concatenate([text, shared]))
        text, shared = mixed[:-3], mixed[-3:]
        mixed = layer(w, f"layers.{2 * index + 1}", np.concatenate([image, shared]))
        image, shared = mixed[:-3], mixed[-3:]
    return firsts(w, [image, text])


def read_mmbt(w: Weights, views: Views) -> np.ndarray:
    placed = []
    for tokens in embed(w, views):
        for t, x in enumerate(tokens):
            angles = [t / 10000 ** (2 * (c // 2) / 6) for c in range(6)]
            placed.append(x + [math.cos(a) if c % 2 else math.sin(a) for c, a in enumerate(angles)])
    sequence = np.concatenate([w.by_name["cls"], placed])
    for index in range(2):
        sequence = layer(w, f"layers.{index}", sequence)
    return w("classifier", norm(w, "norm", sequence[0]))


def read_cmb(w: Weights, views: Views) -> np.ndarray:
    tokens = np.concatenate(embed(w, views))
    for index in range(2):
        tokens = layer(w, f"layers.{index}", tokens)
    return w("classifier", relu(w("hidden", tokens.mean(axis=0))))


def read_attention_pool(w: Weights, views: Views) -> np.ndarray:
    hidden = []
    for m, tokens in enumerate(views):
        shares = softmax(tokens @ w.by_name[f"queries.{m}"] / np.sqrt(tokens.shape[1]))
        hidden.append(relu(w(f"projections.{m}", shares @ tokens)))
    return w("classifier", np.concatenate(hidden))


READINGS: dict[str, Callable[[Weights, Views], np.ndarray]] = {
    "transformer_fusion": read_transformer_fusion,
    "bottleneck_fusion": read_bottleneck_fusion,
    "mmbt": read_mmbt,
    "cmb": read_cmb,
    "attention_pool": read_attention_pool,
}


def small(name: str) -> TorchHead:
    from test_head_readings import small as build

    return build(name, DIMS)


def draw(n: int, seed: int = 0, dtype: type = np.float32) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Token views with padding behind each post's own number of tokens, 1 or more; and those numbers."""
    rng = np.random.default_rng(seed)
    views, counts = {}, {}
    for view, length in LENGTHS.items():
        counts[view] = rng.integers(1, length + 1, size=n)
        views[view] = (rng.normal(size=(n, length, DIMS[view])) + 1).astype(dtype)
        views[view][np.arange(length) >= counts[view][:, None]] = 0
    return views, counts


def ask(head: TorchHead, views: dict[str, np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return head({view: torch.from_numpy(array) for view, array in views.items()}).numpy()


@pytest.mark.parametrize("name", READINGS)
def test_forward_equals_a_numpy_reading_that_never_sees_padding(name: str) -> None:
    head, (views, counts) = small(name), draw(6)
    ours, w = ask(head, views), Weights(head)
    for post in range(6):
        seen = [
            np.stack([w.standardise(m, x.astype(np.float64)) for x in views[view][post, : counts[view][post]]])
            for m, view in enumerate(sorted(DIMS))
        ]
        np.testing.assert_allclose(ours[post], READINGS[name](w, seen), rtol=1e-4, atol=1e-4)
    assert np.abs(ours - ours[0]).max() > 0.01


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_a_post_of_tokens_is_answered_alike_alone_in_company_and_in_any_order(name: str) -> None:
    views, _ = draw(120, dtype=np.float16)
    labels, rows = np.arange(120) % 3, np.arange(120)
    fitted = fit(name, views, labels, rows[:60], rows[60:], 3, 0, max_epochs=2)
    together = fitted.predict_proba(views)
    order = np.random.default_rng(0).permutation(120)
    np.testing.assert_allclose(fitted.predict_proba(views, order), together[order], rtol=0, atol=1e-6)
    alone = np.concatenate([fitted.predict_proba(views, rows[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(alone, together[:10], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_more_padding_changes_nothing(name: str) -> None:
    head, (views, _) = small(name), draw(5)
    longer = {view: np.pad(array, ((0, 0), (0, 3), (0, 0))) for view, array in views.items()}
    np.testing.assert_allclose(ask(head, longer), ask(head, views), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_an_absent_view_is_answered_with_a_finite_number_and_its_content_matters_when_present(name: str) -> None:
    head, (views, _) = small(name), draw(5)
    without = {**views, TEXT: np.zeros_like(views[TEXT])}
    nothing = {view: np.zeros_like(array) for view, array in views.items()}
    assert np.isfinite(ask(head, without)).all()
    assert np.isfinite(ask(head, nothing)).all()
    assert np.abs(ask(head, without) - ask(head, views)).max() > 0.01


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_an_absent_view_is_the_same_constant_whatever_train_s_mean_was(name: str) -> None:
    head, (views, _) = small(name), draw(5)
    without = {**views, TEXT: np.zeros_like(views[TEXT])}
    before = ask(head, without)
    head.get_buffer("mean_1").add_(3.0)
    np.testing.assert_array_equal(ask(head, without), before)
    assert np.abs(ask(head, views) - ask(small(name), views)).max() > 0.01


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_a_vector_is_a_sequence_of_one_token(name: str) -> None:
    head, (views, _) = small(name), draw(5)
    vectors = {view: array[:, 0] for view, array in views.items()}
    np.testing.assert_allclose(ask(head, vectors), ask(head, {k: v[:, :1] for k, v in views.items()}), atol=1e-6)


def test_standardisation_of_tokens_leaves_padding_out() -> None:
    views, counts = draw(50, dtype=np.float16)
    rows = np.arange(10, 50)
    means, scales = standardisation(take_views(views, rows))
    for view, array in views.items():
        real = np.concatenate([array[row, : counts[view][row]] for row in rows]).astype(np.float64)
        np.testing.assert_allclose(means[view], real.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scales[view], real.std(axis=0), rtol=1e-5)


def test_token_rows_read_what_plain_indexing_reads_without_common_padding() -> None:
    array = np.zeros((8, 5, 2), dtype=np.float16)
    array[3, :2], array[6, :4] = 1, 2
    rows = TokenRows(array, np.array([6, 3, 0]))
    assert rows.shape == (3, 5, 2)
    np.testing.assert_array_equal(rows[np.array([1])], array[[3], :2])
    np.testing.assert_array_equal(rows[0:2], array[[6, 3], :4])
    np.testing.assert_array_equal(rows[2:3], np.zeros((1, 1, 2)))
    assert rows[0:2].dtype == np.float32
    assert len(rows[0:0]) == 0


def test_slabs_cover_all_rows_within_their_budget() -> None:
    for shape in ((10_000, 197, 768), (3, 5000, 5000), (0, 2, 2), (5000, 8)):
        parts = slabs(shape)
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(shape[0]))
        if len(shape) == 3 and parts:
            rows = max(part.stop - part.start for part in parts)
            assert rows == 1 or 4 * rows * shape[1] * shape[2] <= SLAB_BYTES


def test_a_fit_over_mapped_tokens_never_holds_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts, length, dim = 6000, 32, 64
    mapped = np.lib.format.open_memmap(tmp_path / "t.npy", mode="w+", dtype=np.float16, shape=(posts, length, dim))
    rng = np.random.default_rng(0)
    for part in range(0, posts, 1000):
        mapped[part : part + 1000] = rng.normal(size=(1000, length, dim))
    mapped.flush()
    views = {TEXT: np.load(tmp_path / "t.npy", mmap_mode="r")}
    labels, rows = rng.integers(0, 2, posts), np.arange(posts)
    budget = 1 << 20
    monkeypatch.setattr("classifiers.tokens.SLAB_BYTES", budget)
    params = {"max_epochs": 1, "width": 4, "batch_size": 64}
    # what a first fit imports does not count
    fit("attention_pool", views, labels, rows[:64], rows[64:99], 2, 0, **params)
    tracemalloc.start()
    fit("attention_pool", views, labels, rows[:5500], rows[5500:], 2, 0, **params)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # numpy's own: a slab in float16 and float32 and its float64 squares; the view is 24 MB, 49 in float32
    assert peak < 8 * budget


def test_heads_for_vectors_refuse_tokens_by_name() -> None:
    views, _ = draw(20)
    labels, rows = np.arange(20) % 2, np.arange(20)
    for name in ("concat", "logistic", "guided_ca"):
        with pytest.raises(HeadError, match=f"'{IMAGE}' has 4 tokens per post, but the head '{name}' takes one"):
            fit(name, views, labels, rows[:10], rows[10:], 2, 0)
    vectors = {view: array[:, 0] for view, array in views.items()}
    fitted = fit("concat", vectors, labels, rows[:10], rows[10:], 2, 0, max_epochs=1)
    with pytest.raises(HeadError, match="takes one"):
        fitted.predict_proba(views)


def test_a_token_that_is_not_finite_is_refused_by_row() -> None:
    views, _ = draw(20)
    views[TEXT][13, 0, 2] = np.nan
    labels, rows = np.arange(20) % 2, np.arange(20)
    with pytest.raises(HeadError, match=f"'{TEXT}' has a NaN or an infinity in 1 of .* row 13\\)"):
        fit("cmb", views, labels, rows[:10], rows[10:], 2, 0)


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_a_label_written_in_one_token_is_found(name: str) -> None:
    rng = np.random.default_rng(0)
    n = 500
    labels, where, rows = rng.integers(0, 2, n), rng.integers(0, 6, n), np.arange(n)
    tokens = rng.normal(size=(n, 6, 8)).astype(np.float16)
    # a mark that attracts attention, and beside it the answer
    tokens[rows, where, 0] = 6
    tokens[rows, where, 1] = 6 * (2 * labels - 1)
    views = {TEXT: tokens, IMAGE: rng.normal(size=(n, 4)).astype(np.float32)}
    params = {"layers": 1} if "layers" in HEADS[name].defaults else {}
    own = {"width": 16, "dropout": 0.0, **params}
    fitted = fit(name, views, labels, rows[:350], rows[350:420], 2, 0, lr=1e-2, batch_size=32, max_epochs=8, **own)
    assert (fitted.predict(views, rows[420:]) == labels[420:]).mean() > 0.9


@pytest.mark.parametrize("asked", [[0], [0, 3], [4, 2, 1]])
def test_a_layer_asked_for_some_tokens_gives_what_it_gives_for_all(asked: list[int]) -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(12, 0.3).eval()
    tokens, present = torch.randn(3, 5, 12), torch.ones(3, 5, dtype=torch.bool)
    present[1, 3:] = False
    with torch.no_grad():
        every, some = layer(tokens, present), layer(tokens, present, torch.tensor(asked))
        stacked = last_asked(torch.nn.ModuleList([layer, layer]), tokens, present, torch.tensor(asked))
        twice = layer(every, present)
    np.testing.assert_allclose(some.numpy(), every[:, asked].numpy(), atol=1e-6)
    np.testing.assert_allclose(stacked.numpy(), twice[:, asked].numpy(), atol=1e-6)
