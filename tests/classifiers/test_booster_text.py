"""LightGBM's text is checked before LightGBM sees it: what its own parser would die of is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from classifiers import fit
from classifiers.heads.booster_text import check_text


@pytest.fixture(scope="module", params=[2, 4])
def grown(request: pytest.FixtureRequest) -> tuple[str, int]:
    """A real model's text, and its trees a round."""
    count = int(request.param)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, count, 200)
    view = rng.normal(size=(200, 5)).astype(np.float32)
    view[:, 0] += 2 * labels
    fitted = fit("lightgbm", {"text": view}, labels, np.arange(150), np.arange(150, 200), count, 0)
    return fitted.head.tensors()["model"].tobytes().decode(), count if count > 2 else 1


def test_what_lightgbm_writes_passes(grown: tuple[str, int]) -> None:
    check_text(grown[0], 5, grown[1])


@pytest.mark.parametrize(
    ("pattern", "instead", "why"),
    [
        (r"max_feature_idx=\d+", "max_feature_idx=999", "max_feature_idx"),
        (r"num_class=\d+", "num_class=99999999", "num_class"),
        (r"tree_sizes=\d+", "tree_sizes=1", "tree_sizes"),
        (r"split_feature=\d+", "split_feature=9", "features that there are not"),
        (r"left_child=-?\d+", "left_child=0", "children|goes round"),
        (r"right_child=-?\d+", "right_child=-77", "children"),
        (r"leaf_value=[^ \n]+", "leaf_value=nan", "not finite"),
        (r"num_leaves=\d+", "num_leaves=3", "numbers for"),
        (r"num_cat=0", "num_cat=1", "kind that no head grows"),
        (r"threshold=[^ \n]+", "threshold=%d", "something else than numbers"),
        (r"split_gain=[^ \n]+", "split_gain=x", "something else than numbers"),
        (r"decision_type=\d+", "decision_type=1", "decides in a way"),
        (r"objective=\w+", "objective=custom", "objective"),
        (r"feature_infos=\S+", "feature_infos=[", "feature_infos"),
        (r"is_linear=0", "is_linear=1", "kind that no head grows"),
        (r"\n\nTree=1\n", "\n7\nTree=1\n", "says nothing"),
        (r"end of trees", "end of tree", "tree_sizes"),
        (r"^tree\n", "true\n", "no tree|says nothing"),
    ],
)
def test_what_it_would_die_of_is_refused(grown: tuple[str, int], pattern: str, instead: str, why: str) -> None:
    text, trees = grown
    spoilt = re.sub(pattern, instead, text, count=1)
    assert spoilt != text
    if "tree_sizes" not in pattern:
        spoilt = of_right_sizes(spoilt)
    with pytest.raises(ValueError, match=why):
        check_text(spoilt, 5, trees)


def of_right_sizes(text: str) -> str:
    """The sizes of the trees made right again, so that something else must be found."""
    head, _, rest = text.partition("\n\nTree=0\n")
    body, found, tail = f"Tree=0\n{rest}".partition("\nend of trees\n")
    if not found:
        return text
    sizes = [len(tree) for tree in re.split(r"(?=^Tree=)", body, flags=re.MULTILINE)[1:]]
    sizes[-1] += 1
    head = re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(map(str, sizes))}", head)
    return f"{head}\n\n{body}{found}{tail}"


def test_the_wrong_number_of_features_or_rounds_is_refused(grown: tuple[str, int]) -> None:
    text, trees = grown
    for features, outputs in ((4, trees), (5, trees + 1)):
        with pytest.raises(ValueError):
            check_text(text, features, outputs)
