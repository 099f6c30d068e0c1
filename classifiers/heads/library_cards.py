"""The declared heads that a library or plain numpy trains, beside logistic regression."""

from __future__ import annotations

from classifiers.heads.card import HeadCard

LIBRARY_CARDS = (
    HeadCard(
        name="knn",
        summary="the k train posts of the highest mean cosine, k chosen on dev",
        source="nearest neighbours (Cover and Hart 1967)",
        loader="classifiers.heads.neighbours:NearestNeighbours",
        family="library",
        views=(1, None),
        defaults={"k_grid": (1, 3, 5, 10, 20, 50, 100)},
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
        defaults={"sharpness_grid": (1, 2, 5, 10, 20, 50)},
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
        defaults={"lr": 0.1, "rounds": 300, "patience": 10, "leaves": 15, "min_leaf": 20, "column_share": 0.1},
    ),
    HeadCard(
        name="sklearn",
        summary="any classifier of scikit-learn on the concatenated views (sklearn:svm, sklearn:random_forest, ...)",
        source="scikit-learn",
        loader="classifiers.heads.sklearn_head:SklearnHead",
        family="library",
        views=(1, None),
        defaults={"estimator": "extra_trees"},
    ),
)
