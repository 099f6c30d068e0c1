"""The declared heads that a library or plain numpy trains, beside logistic regression."""

from __future__ import annotations

from classifiers.heads.card import HeadCard
from crisis_registry import Parameter, Range, above, at_least, each


def _whole(value: float) -> bool:
    return value >= 1 and value == int(value)


def _share(value: float) -> bool:
    return 0 < value <= 1


LIBRARY_CARDS = (
    HeadCard(
        name="knn",
        summary="the k train posts of the highest mean cosine, k chosen on dev",
        source="nearest neighbours (Cover and Hart 1967)",
        loader="classifiers.heads.neighbours:NearestNeighbours",
        family="library",
        views=(1, None),
        hyperparameters=(
            Parameter(
                "k_grid",
                (1, 3, 5, 10, 20, 50, 100),
                each(Range("", _whole), "one or more whole numbers above 0"),
                "the numbers of neighbours to choose from",
            ),
        ),
        deterministic=True,
        weighs_classes=False,
    ),
    HeadCard(
        name="prototype",
        summary="the class whose mean vector has the highest mean cosine",
        source="nearest class mean (Rocchio 1971)",
        loader="classifiers.heads.neighbours:Prototype",
        family="library",
        views=(1, None),
        hyperparameters=(
            Parameter(
                "sharpness_grid",
                (1, 2, 5, 10, 20, 50),
                each(above(0), "one or more numbers above 0"),
                "the factors before the softmax to choose from",
            ),
        ),
        deterministic=True,
        weighs_classes=False,
    ),
    HeadCard(
        name="lightgbm",
        summary="gradient-boosted trees on the concatenated views, stopped early on dev",
        source="LightGBM (Ke et al. 2017)",
        loader="classifiers.heads.boosting:Boosting",
        family="library",
        views=(1, None),
        hyperparameters=(
            Parameter("lr", 0.1, above(0), "shrinkage of each tree"),
            Parameter("rounds", 300, at_least(1), "trees at most"),
            Parameter("patience", 10, at_least(1), "trees without a lower dev loss before stopping"),
            Parameter("leaves", 15, at_least(2), "leaves of a tree at most"),
            Parameter("min_leaf", 20, at_least(1), "posts of a leaf at least"),
            Parameter(
                "column_share",
                0.1,
                Range("above 0 and at most 1", _share),
                "share of the features that a tree draws from",
            ),
        ),
    ),
    HeadCard(
        name="sklearn",
        summary="any classifier of scikit-learn on the concatenated views (sklearn:svm, sklearn:random_forest, ...)",
        source="scikit-learn",
        loader="classifiers.heads.sklearn_head:SklearnHead",
        family="library",
        views=(1, None),
        hyperparameters=(
            Parameter(
                "estimator",
                "extra_trees",
                Range("the name or the import path of a scikit-learn classifier", bool),
                "which classifier of scikit-learn",
            ),
        ),
    ),
)
