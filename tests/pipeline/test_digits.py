"""Colored-and-gray digits: two images of one written digit, train's colours tell the digit and test's do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from classifiers import Balance, HeadError, HeadSpec, Job, fit_each
from pipeline.datasets.digits import MEAN_COLOURS, Digits, make_digits
from pipeline.errors import UsageError

PARTS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def digits() -> Digits:
    return make_digits(0.02)


def colours(digits: Digits, rows: np.ndarray) -> np.ndarray:
    """The colour of each post, read off its brightest pixel: [n, 3]."""
    gray = digits.views["gray"][rows]
    brightest = gray.argmax(axis=1)
    pixels = digits.views["colour"][rows].reshape(len(rows), 64, 3)[np.arange(len(rows)), brightest]
    return pixels / gray.max(axis=1, keepdims=True)


def test_both_views_show_the_written_digit_of_the_post(digits: Digits) -> None:
    source = load_digits()
    np.testing.assert_array_equal(digits.views["gray"], (source.data / 16).astype(np.float32)[digits.images])
    np.testing.assert_array_equal(digits.labels, source.target[digits.images])
    tinted = digits.views["gray"][:, :, None] * colours(digits, np.arange(len(digits.labels)))[:, None, :]
    np.testing.assert_allclose(digits.views["colour"].reshape(tinted.shape), tinted, atol=1e-6)
    assert digits.views["colour"].min() >= 0
    assert digits.views["colour"].max() <= 1


@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_colours_are_clipped_normal_draws_around_the_digit_s_mean(sigma: float) -> None:
    drawn = make_digits(sigma)
    for part, spread in (("train", sigma), ("test", 1.0)):
        rows = np.flatnonzero(drawn.coloured_for == part)
        found = colours(drawn, rows)
        # a channel whose mean is 0 or 1 is clipped on one side: half of its draws are at the edge
        edge = np.isin(MEAN_COLOURS[drawn.labels[rows]], (0.0, 1.0))
        at_edge = (found == MEAN_COLOURS[drawn.labels[rows]]) & edge
        assert at_edge.sum() / edge.sum() == pytest.approx(0.5, abs=0.02)
        inside = (found > 1e-6) & (found < 1 - 1e-6) & edge
        distance = np.abs(found - MEAN_COLOURS[drawn.labels[rows]])[inside]
        # |N(0, spread)| below 1
        expected = np.abs(np.random.default_rng(5).normal(0, spread, 200_000))
        assert np.median(distance) == pytest.approx(np.median(expected[expected < 1]), rel=0.06)


def test_train_colours_tell_the_digit_and_test_colours_do_not(digits: Digits) -> None:
    rows = digits.split(0)
    nearest = KNeighborsClassifier(5).fit(colours(digits, rows["train"]), digits.labels[rows["train"]])
    scored = {part: nearest.score(colours(digits, rows[part]), digits.labels[rows[part]]) for part in ("dev", "test")}
    assert scored["dev"] == 1.0
    assert scored["test"] < 0.35


def test_no_written_digit_is_in_two_parts(digits: Digits) -> None:
    for seed in (0, 1):
        rows = digits.split(seed)
        shown = {part: set(digits.images[rows[part]].tolist()) for part in PARTS}
        assert sum(len(images) for images in shown.values()) == len(set().union(*shown.values())) == 1797
        assert [len(shown[part]) for part in PARTS] == [1257, 180, 360]
        assert [set(digits.coloured_for[rows[part]]) for part in PARTS] == [{"train"}, {"train"}, {"test"}]
        assert [len(rows[part]) for part in PARTS] == [2 * 1257, 2 * 180, 360]
        for part in PARTS:
            share = np.bincount(digits.labels[rows[part]]) / len(rows[part])
            np.testing.assert_allclose(share, np.bincount(load_digits().target) / 1797, atol=0.01)
    assert set(digits.split(0)["test"]) != set(digits.split(1)["test"])


def test_same_seed_same_posts_and_same_test_at_every_sigma(digits: Digits) -> None:
    again, other, wide = make_digits(0.02), make_digits(0.02, seed=1), make_digits(0.5)
    np.testing.assert_array_equal(digits.views["colour"], again.views["colour"])
    assert (digits.views["colour"] != other.views["colour"]).any()
    test = digits.split(3)["test"]
    np.testing.assert_array_equal(test, wide.split(3)["test"])
    np.testing.assert_array_equal(digits.views["colour"][test], wide.views["colour"][test])
    assert (make_digits(0.0).views["colour"][:64] != digits.views["colour"][:64]).any()


def test_a_draw_more_is_one_more_post_of_every_digit() -> None:
    for draws in (1, 3):
        drawn = make_digits(0.1, draws=draws)
        assert (np.bincount(drawn.images) == draws + 1).all()
        assert {name: view.shape for name, view in drawn.views.items()} == {
            "colour": ((draws + 1) * 1797, 192),
            "gray": ((draws + 1) * 1797, 64),
        }


@pytest.mark.parametrize("wrong", [{"sigma": -0.1}, {"sigma": 0.1, "draws": 0}])
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="at least one draw"):
        make_digits(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_d_sse_reads_the_shape_where_a_plain_fusion_trusts_the_colour(digits: Digits) -> None:
    rows = digits.split(0)
    found = {}
    for name, views, balance in (
        ("gray", ("gray",), "none"),
        ("baseline", ("colour", "gray"), "none"),
        ("d_sse", ("colour", "gray"), "d_sse"),
    ):
        job = Job(
            HeadSpec("concat", {"keep": "last"}, Balance(balance)),
            rows["train"],
            rows["dev"],
            10,
            views=views,
            answer=(rows["test"],),
        )
        ((_, outcome),) = fit_each([job], digits.views, digits.labels, 1)
        assert not isinstance(outcome, HeadError)
        found[name] = np.mean(outcome.answers[0].argmax(axis=1) == digits.labels[rows["test"]])
    assert found["baseline"] < 0.7
    assert found["d_sse"] > max(0.82, found["gray"] - 0.14)


def test_the_experiment_measures_tells_and_draws_every_fusion(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.balance import Results, measure
    from benchmarks.balance_plot import plot

    rows = measure((0.02, 0.5), seeds=1, draws=1, p_c=0.1, head="concat", params={"max_epochs": 2})
    assert {(row["method"], row["sigma"]) for row in rows} == {
        ("gray", None),
        *((method, sigma) for method in ("colour", "baseline", "R-SSE", "D-SSE") for sigma in (0.02, 0.5)),
    }
    found = Results(rows)
    assert "D-SSE" in "\n".join([*found.table(), *found.summary()])
    assert all(-1 <= d_util <= 1 for d_util in found.values("baseline", 0.02, "d_util"))
    assert len(found.values("baseline", 0.02, "scores")[0]["gray"]) == 2
    plot(found, tmp_path / "digits.png")
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
