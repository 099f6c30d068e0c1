"""Counting a dataset: labels, agreement of the two modalities, splits (`crisis data stats`)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.datasets.posts import Posts


def dataset_stats(posts: Posts) -> dict[str, Any]:
    """`posts`, `groups`, `events`, `labels`, `agreement` and `splits` as counts, raw classes as annotated."""
    return {
        "posts": len(posts),
        "groups": len(set(posts.groups)),
        "events": _counts(posts.events),
        "labels": {
            source: {modality: _counts(column) for modality, column in by.items()}
            for source, by in posts.labels.items()
        },
        "agreement": {
            source: _agreement(posts, by["text"], by["image"])
            for source, by in posts.labels.items()
            if {"text", "image"} <= set(by)
        },
        "splits": _splits(posts),
    }


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))


def _agreement(posts: Posts, text: Any, image: Any) -> dict[str, Any]:
    """Per event and for all: pairs whose two labels agree, pairs whose do not, and the table text x image."""
    rows: dict[str, list[int]] = {"all": list(range(len(posts)))}
    for row, event in enumerate(posts.events):
        rows.setdefault(event, []).append(row)
    classes = sorted({*text, *image} - {""})
    result = {}
    for event, held in sorted(rows.items()):
        pairs = Counter((text[row], image[row]) for row in held if text[row] and image[row])
        agree = sum(count for (one, other), count in pairs.items() if one == other)
        result[event] = {
            "concordant": agree,
            "discordant": sum(pairs.values()) - agree,
            "table": {one: {other: pairs[one, other] for other in classes} for one in classes},
        }
    return result


def _splits(posts: Posts) -> dict[str, Any]:
    """Split set -> task -> split -> class -> count, for the split sets that are there."""
    if posts.splits:
        labels = posts.pair_labels or [""] * len(posts)
        name = next(iter(posts.labels), "rows")
        parts: dict[str, Counter[str]] = {}
        for part, label in zip(posts.splits, labels, strict=True):
            parts.setdefault(part, Counter())[label or "unlabelled"] += 1
        return {"column": {name: {part: dict(sorted(count.items())) for part, count in sorted(parts.items())}}}
    return {
        split_set: {
            source: {
                part: _counts(rows.labels) for part, rows in posts.dataset.read_split(posts, split_set, source).items()
            }
            for source in sources
        }
        for split_set in posts.dataset.split_sets(posts)
        if (sources := posts.dataset.split_sources(posts, split_set))
    }
