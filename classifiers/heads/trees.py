"""Decision trees and forests of scikit-learn as plain arrays, answered with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classifiers.errors import HeadError

_NAMES = {"nodes": np.int64, "thresholds": np.float64, "shares": np.float64, "roots": np.int64}


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """A fitted tree or forest as arrays; empty for any other estimator.

    All trees' nodes lie one after another: `nodes` int64 [m, 3] are left child, right child and feature (-1 of
    all in a leaf), `thresholds` float64 [m], `shares` float64 [m, C] the classes' shares in train, `roots`
    int64 [trees] the first node of each tree.
    """
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    if type(model) in (RandomForestClassifier, ExtraTreesClassifier):
        grown = [tree.tree_ for tree in model.estimators_]
    elif type(model) is DecisionTreeClassifier:
        grown = [model.tree_]
    else:
        return {}
    roots = np.cumsum([0] + [tree.node_count for tree in grown])[:-1]
    nodes = []
    for root, tree in zip(roots, grown, strict=True):
        leaf = tree.children_left < 0
        columns = (tree.children_left + root, tree.children_right + root, tree.feature)
        nodes.append(np.where(leaf[:, None], -1, np.column_stack(columns)))
    shares = np.concatenate([tree.value[:, 0, :] for tree in grown])
    return {
        "nodes": np.concatenate(nodes).astype(np.int64),
        "thresholds": np.concatenate([tree.threshold for tree in grown]),
        "shares": shares / shares.sum(axis=1, keepdims=True),
        "roots": roots.astype(np.int64),
    }


def answer(arrays: Mapping[str, np.ndarray], wide: np.ndarray) -> np.ndarray:
    """The mean over trees of the shares in the leaf that each post falls into: float64 [n, C].

    `wide` is float32 [n, D]; a post goes left where its feature is at most the threshold.
    """
    nodes, thresholds = arrays["nodes"], arrays["thresholds"]
    posts = np.arange(len(wide))
    total = np.zeros((len(wide), arrays["shares"].shape[1]))
    for root in arrays["roots"]:
        at = np.full(len(wide), root)
        inner = posts[nodes[at, 0] >= 0]
        while len(inner):
            here = at[inner]
            left = wide[inner, nodes[here, 2]] <= thresholds[here]
            at[inner] = np.where(left, nodes[here, 0], nodes[here, 1])
            inner = inner[nodes[at[inner], 0] >= 0]
        total += arrays["shares"][at]
    return total / len(arrays["roots"])


def check(arrays: Mapping[str, np.ndarray], dim: int, n_outputs: int) -> None:
    """`HeadError` unless the arrays are trees over `dim` features in which every walk ends.

    Children come after their parents, so no walk can go in circles.
    """
    for name, dtype in _NAMES.items():
        if name not in arrays or arrays[name].dtype != dtype:
            raise HeadError(f"The saved weights do not fit the head: '{name}' is absent or of another type.")
    nodes, count = arrays["nodes"], len(arrays["nodes"])
    good = (
        nodes.shape == (count, 3)
        and arrays["thresholds"].shape == (count,)
        and arrays["shares"].shape == (count, n_outputs)
        and arrays["roots"].ndim == 1
        and len(arrays["roots"]) > 0
        and bool(((arrays["roots"] >= 0) & (arrays["roots"] < count)).all())
    )
    if good:
        inner = np.flatnonzero(nodes[:, 0] >= 0)
        children = nodes[inner, :2]
        good = bool(
            (children > inner[:, None]).all()
            and (children < count).all()
            and ((nodes[inner, 2] >= 0) & (nodes[inner, 2] < dim)).all()
        )
    if not good:
        raise HeadError("The saved weights do not fit the head: 'nodes' are not trees over its features.")
