"""How good the answers of a run are, over its seeds and folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.metrics import per_class, scores, summarise
from pipeline.datasets.posts import Posts
from pipeline.protocols.choose import Protocol

if TYPE_CHECKING:
    import pandas

METRICS = ("accuracy", "macro_f1", "weighted_f1")


@dataclass(frozen=True)
class Prediction:
    """What one fit said about one part: `posts`, `labels` int64 [n], `probabilities` [n, C]; `majority` is the
    commonest class of that fit's train rows, the baseline's answer for every post.
    """

    seed: int
    fold: str
    part: str
    posts: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    majority: int

    @cached_property
    def predicted(self) -> np.ndarray:
        answer: np.ndarray = self.probabilities.argmax(axis=1)
        return answer


class Evaluation:
    """Metrics per seed, over the folds of a seed taken together, beside the majority baseline."""

    def __init__(self, posts: Posts, protocol: Protocol, predictions: Sequence[Prediction]) -> None:
        self.posts = posts
        self.protocol = protocol
        self.predictions = predictions

    def summary(self) -> dict[str, Any]:
        """Per part: rows (mean over seeds), each metric as mean, sd and values over seeds, majority baseline; with
        several folds also each held-out event's rows, macro-F1 and majority macro-F1.
        """
        return {part: self._part(part) for part in ("dev", "test")}

    def _part(self, part: str) -> dict[str, Any]:
        by_seed = self._by_seed(part)
        rows = [sum(len(p.labels) for p in held) for held in by_seed]
        result: dict[str, Any] = {"rows": round(float(np.mean(rows)))}
        if len(set(rows)) > 1:
            result["rows_per_seed"] = rows
        truth = [np.concatenate([p.labels for p in held]) for held in by_seed]
        answer = [np.concatenate([p.predicted for p in held]) for held in by_seed]
        majority = [np.concatenate([np.full(len(p.labels), p.majority) for p in held]) for held in by_seed]
        found = [scores(t, a) for t, a in zip(truth, answer, strict=True)]
        for metric in METRICS:
            result[metric] = summarise([score[metric] for score in found])
        base = [scores(t, m) for t, m in zip(truth, majority, strict=True)]
        for metric in METRICS:
            result[f"majority_{metric}"] = float(np.mean([score[metric] for score in base]))
        if part == "test" and any(p.fold for p in self.predictions):
            result["events"] = self._events()
        return result

    def _by_seed(self, part: str) -> list[list[Prediction]]:
        held: dict[int, list[Prediction]] = {}
        for prediction in self.predictions:
            if prediction.part == part:
                held.setdefault(prediction.seed, []).append(prediction)
        return list(held.values())

    def _events(self) -> dict[str, Any]:
        events: dict[str, list[Prediction]] = {}
        for prediction in self.predictions:
            if prediction.part == "test":
                events.setdefault(prediction.fold, []).append(prediction)
        return {
            event: {
                "rows": len(held[0].labels),
                "macro_f1": summarise([scores(p.labels, p.predicted)["macro_f1"] for p in held]),
                "majority_macro_f1": float(
                    np.mean([scores(p.labels, np.full(len(p.labels), p.majority))["macro_f1"] for p in held])
                ),
            }
            for event, held in events.items()
        }

    def details(self) -> dict[str, Any]:
        """What `metrics.json` holds beyond the summary: per class and per subset, per part."""
        return {part: {"classes": self._classes(part), "subsets": self._subsets(part)} for part in ("dev", "test")}

    def _classes(self, part: str) -> dict[str, Any]:
        names = self.protocol.task.classes
        tables = [
            per_class(
                np.concatenate([p.labels for p in held]),
                np.concatenate([p.predicted for p in held]),
                len(names),
            )
            for held in self._by_seed(part)
        ]
        result = {}
        for index, name in enumerate(names):
            # a seed whose part does not hold the class says nothing of it
            told = [table for table in tables if table["support"][index]] or tables
            support = float(np.mean([table["support"][index] for table in tables]))
            result[name] = {
                "support": int(support) if support.is_integer() else support,
                **{m: summarise([table[m][index] for table in told]) for m in ("precision", "recall", "f1")},
            }
        return result

    def _subsets(self, part: str) -> dict[str, Any]:
        """Pairs whose two labels agree or not (where known), and each event: rows and macro-F1 over seeds."""
        events = np.array(self.posts.events, dtype=object)
        masks = {
            "concordant": self.protocol.concordant == 1,
            "discordant": self.protocol.concordant == 0,
            **{f"event {event}": events == event for event in sorted(set(self.posts.events) - {""})},
        }
        result = {}
        for name, mask in masks.items():
            values, rows = [], []
            for held in self._by_seed(part):
                inside = [mask[p.posts] for p in held]
                truth = np.concatenate([p.labels[i] for p, i in zip(held, inside, strict=True)])
                answer = np.concatenate([p.predicted[i] for p, i in zip(held, inside, strict=True)])
                if len(truth):
                    values.append(scores(truth, answer)["macro_f1"])
                    rows.append(len(truth))
            if values:
                result[name] = {"rows": round(float(np.mean(rows))), "macro_f1": summarise(values)}
        return result

    def frame(self) -> pandas.DataFrame:
        """One row per post and fit, with all that the figures are computed from; no dataset is needed for them."""
        import pandas

        classes = self.protocol.task.classes
        names = np.array(classes, dtype=object)
        ids = np.array(self.posts.ids, dtype=object)
        events = np.array(self.posts.events, dtype=object)
        frames = []
        for p in self.predictions:
            said = {f"p({name})": p.probabilities[:, c].astype(np.float32) for c, name in enumerate(classes)}
            columns = {
                "post_id": ids[p.posts],
                "seed": p.seed,
                "fold": p.fold,
                "split": p.part,
                "label": names[p.labels],
                "predicted": names[p.predicted],
                **said,
                "majority": names[p.majority],
                "event": events[p.posts],
                "concordant": self.protocol.concordant[p.posts].astype(np.int8),
            }
            frames.append(pandas.DataFrame(columns))
        return pandas.concat(frames, ignore_index=True)
