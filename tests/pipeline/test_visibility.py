"""Table 4.1's settings of evaluation and mix training: which views are visible to whom."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import HeadError, fit
from pipeline.runs.visibility import EVAL_SETTINGS, eval_setting, mixed_out

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


def shown(given: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The views `given`, those that are not in `names` as zeros."""
    return {name: array if name in names else np.zeros_like(array) for name, array in given.items()}


@pytest.mark.parametrize("name", EVAL_SETTINGS)
def test_every_setting_trains_and_answers(name: str) -> None:
    letters = {"T": "text", "I": "image", "C": "caption"}
    train, test = ({letters[letter] for letter in side} for side in name.split("_"))
    assert (set(eval_setting(name).train), set(eval_setting(name).test)) == (train, test)
    given = {view: array for view, array in views().items() if view in train}
    asked = shown(given, eval_setting(name).test)
    fitted = fit("cmb", given, LABELS, ROWS[:200], ROWS[200:300], 2, 0, max_epochs=2, width=16)
    assert np.isfinite(fitted.predict_proba(asked, ROWS[300:])).all()


@pytest.mark.parametrize("tokens", [False, True])
def test_one_head_uses_what_is_there(tokens: bool) -> None:
    given = {view: array for view, array in views(tokens).items() if view != "image"}
    params = {"max_epochs": 25, "width": 16, "lr": 1e-2, "batch_size": 32}
    fitted = fit("cmb", given, LABELS, ROWS[:200], ROWS[200:300], 2, 0, **params)

    def score(name: str, parity: int) -> float:
        rows = ROWS[300:][ROWS[300:] % 2 == parity]
        return float((fitted.predict(shown(given, eval_setting(name).test), rows) == LABELS[rows]).mean())

    assert min(score("TC_TC", 0), score("TC_TC", 1), score("TC_T", 0), score("TC_C", 1)) > 0.85
    assert max(score("TC_T", 1), score("TC_C", 0)) < 0.7


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_mix_training_takes_a_view_from_an_exact_share_of_the_posts(share: float) -> None:
    train = ROWS[100:300]
    out = mixed_out(np.repeat(train, 2), share, seed=3)
    assert len(set(out)) == len(out) == (1 - share) * 200
    assert set(out) <= set(train)
    np.testing.assert_array_equal(mixed_out(train, share, seed=3), out)
    assert (0 < share < 1) == (set(mixed_out(train, share, seed=4)) != set(out))


def test_smaller_shares_keep_a_part_of_what_larger_ones_keep() -> None:
    out = [set(mixed_out(ROWS, share, seed=0)) for share in (0.2, 0.6, 0.9)]
    assert out[0] > out[1] > out[2]


def test_wrong_settings_are_refused_in_a_sentence() -> None:
    with pytest.raises(HeadError, match="no setting 'CT_C'"):
        eval_setting("CT_C")
    with pytest.raises(HeadError, match="from 0 to 1"):
        mixed_out(ROWS, 50, 0)
