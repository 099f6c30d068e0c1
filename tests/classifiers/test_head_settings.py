"""Table 4.1's settings and mix training: which views are shown to whom."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import HeadError, fit
from classifiers.settings import SETTINGS, asked_views, mix, trained_views

RNG = np.random.default_rng(0)
N = 400
LABELS = RNG.integers(0, 2, N)
ROWS = np.arange(N)


def views(tokens: bool = False) -> dict[str, np.ndarray]:
    """The label's sign, in text for even rows and in the caption for odd ones; the image knows nothing."""
    rng = np.random.default_rng(1)
    made = {}
    for name, parity in (("text", 0), ("caption", 1), ("image", 2)):
        shown = np.where(parity == ROWS % 2, 2 * LABELS - 1, 0)
        shape = (N, 3, 6) if tokens else (N, 6)
        made[name] = rng.normal(size=shape).astype(np.float16)
        made[name][..., 0] += (3 * shown if not tokens else 3 * shown[:, None]).astype(np.float16)
    return made


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_trains_and_answers(name: str) -> None:
    letters = {"T": "text", "I": "image", "C": "caption"}
    train, test = ({letters[letter] for letter in side} for side in name.split("_"))
    given, asked = trained_views(name, views()), asked_views(name, views())
    assert set(given) == set(asked) == train
    for view, array in asked.items():
        assert array.any() == (view in test)
    fitted = fit("cmb", given, LABELS, ROWS[:200], ROWS[200:300], 2, 0, max_epochs=2, width=16)
    assert np.isfinite(fitted.predict_proba(asked, ROWS[300:])).all()


@pytest.mark.parametrize("tokens", [False, True])
def test_one_head_uses_what_is_there(tokens: bool) -> None:
    given = views(tokens)
    params = {"max_epochs": 25, "width": 16, "lr": 1e-2, "batch_size": 32}
    trained = trained_views("TC_TC", given)
    fitted = fit("cmb", trained, LABELS, ROWS[:200], ROWS[200:300], 2, 0, **params)

    def score(setting: str, parity: int) -> float:
        rows = ROWS[300:][ROWS[300:] % 2 == parity]
        return float((fitted.predict(asked_views(setting, given), rows) == LABELS[rows]).mean())

    assert min(score("TC_TC", 0), score("TC_TC", 1), score("TC_T", 0), score("TC_C", 1)) > 0.85
    assert max(score("TC_T", 1), score("TC_C", 0)) < 0.7


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_mix_training_takes_the_caption_from_an_exact_share_of_train(share: float) -> None:
    given, train = views(), ROWS[:200]
    before = {name: array.copy() for name, array in given.items()}
    mixed = mix(given, np.repeat(train, 2), share, seed=3)
    kept = mixed["caption"].any(axis=1)
    assert kept[train].sum() == share * 200
    assert kept[200:].all()
    np.testing.assert_array_equal(mixed["caption"][kept], given["caption"][kept])
    assert mixed["text"] is given["text"]
    for name, array in given.items():
        np.testing.assert_array_equal(array, before[name])
    again, other = mix(given, train, share, seed=3), mix(given, train, share, seed=4)
    np.testing.assert_array_equal(again["caption"], mixed["caption"])
    assert (0 < share < 1) == (not np.array_equal(other["caption"], mixed["caption"]))


def test_smaller_shares_keep_a_part_of_what_larger_ones_keep() -> None:
    kept = [mix(views(), ROWS, share, seed=0)["caption"].any(axis=1) for share in (0.2, 0.6, 0.9)]
    assert (kept[0] <= kept[1]).all()
    assert (kept[1] <= kept[2]).all()


def test_wrong_settings_are_refused_in_a_sentence() -> None:
    with pytest.raises(HeadError, match="no setting 'CT_C'"):
        trained_views("CT_C", views())
    with pytest.raises(HeadError, match="trains on the view 'caption', which is not given"):
        trained_views("TC_T", {"text": np.ones((2, 2))})
    with pytest.raises(HeadError, match="from 0 to 1"):
        mix(views(), ROWS, 50, 0)
    with pytest.raises(HeadError, match="'caption' away"):
        mix({"text": np.ones((2, 2))}, ROWS[:2], 0.5, 0)
