"""Stage two: train a head on cached views over several seeds, and say how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import classifiers
from classifiers.params import training_dict
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.log import say
from pipeline.runs import Evaluation, Prediction, write_run
from pipeline.splits import Fold, Protocol
from pipeline.views import Source, Views, default_models, find_sources, load_views

PARTS = ("dev", "test")


@dataclass
class Fitted:
    """A finished run: its folder, its configuration and its evaluation per part ("dev", "test")."""

    run: Path
    config: dict[str, Any]
    evaluation: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        shown = ("task", "setting", "split", "head", "views", "seeds", "left_out", "notes")
        return {"run": str(self.run), **{key: self.config[key] for key in shown}, **self.evaluation}

    def warnings(self) -> list[str]:
        """What a reader of the figures must know: posts left out, and what the protocol cannot promise."""
        left_out = self.config["left_out"]
        said = [f"{sum(left_out.values())} labelled posts are left out: {_words(left_out)}"] if left_out else []
        said += self.config["notes"]
        test = self.evaluation["test"]
        if test["macro_f1"]["mean"] <= test["majority_macro_f1"]:
            said.append("on test this head is no better than always answering the majority class (macro-F1)")
        return said


def choose_sources(
    posts: Posts, cache: Path, head: str, *, model: str | None, image: str | None, text: str | None
) -> list[Source]:
    """The views to train on: `--image` and `--text`, or `--model` for both, or what is cached.

    With `--image` or `--text` alone, only that modality is used. Raises `UsageError` where the head
    needs a modality that was not given.
    """
    declared = classifiers.head_card(head)
    if model is not None:
        from features import card

        modalities = card(model.partition(":")[0].partition("@")[0]).modalities
        image = image or (model if {"image", "joint"} & set(modalities) else None)
        text = text or (model if "text" in modalities else None)
    if image is None and text is None:
        chosen = default_models(posts, cache, ("image", "text"))
        image, text = chosen["image"], chosen["text"]
        say(f"Models: image {image}, text {text} (chosen from what is cached)")
    given = [m for m, spec in (("image", image), ("text", text)) if spec]
    if len(given) < declared.views[0]:
        raise UsageError(f"The head '{head}' needs an image and a text model; give --image and --text.")
    return find_sources(posts, cache, image, text)


def fit_head(
    posts: Posts, protocol: Protocol, head: str, sources: Sequence[Source], seeds: Sequence[int], runs: Path
) -> Fitted:
    """Train `head` once per seed and fold, evaluate on dev and test, and write the run folder.

    Posts whose features are not usable are left out of training and evaluation, and counted.
    """
    wanted = np.flatnonzero(protocol.labels >= 0)
    views = load_views(posts, sources, wanted)
    place = np.full(len(posts), -1, dtype=np.int64)
    place[wanted] = np.where(views.usable, np.arange(len(wanted)), -1)
    labels = protocol.labels[wanted]
    predictions: list[Prediction] = []
    fitted: list[tuple[str, Any]] = []
    last: tuple[Fold, Any] | None = None
    for seed in seeds:
        for fold in protocol.folds(seed):
            rows = _usable(fold, place, views)
            if last and classifiers.head_card(head).deterministic and _same(last[0], fold):
                model = last[1]
            else:
                model = classifiers.fit(
                    head, views.arrays, labels, rows["train"], rows["dev"], len(protocol.task.classes), seed
                )
                last = (fold, model)
            fitted.append((f"seed-{seed}" + (f"-{fold.name}" if fold.name else ""), model))
            majority = int(np.bincount(labels[rows["train"]]).argmax())
            for part in PARTS:
                predictions.append(
                    Prediction(
                        seed=seed,
                        fold=fold.name,
                        part=part,
                        posts=wanted[rows[part]],
                        labels=labels[rows[part]],
                        probabilities=model.predict_proba(views.arrays, rows[part]),
                        majority=majority,
                    )
                )
    config = _config(posts, protocol, head, sources, views, seeds, fitted)
    evaluation = Evaluation(posts, protocol, predictions)
    folder = write_run(runs, config, evaluation, fitted)
    return Fitted(folder, config, evaluation.summary())


def _usable(fold: Fold, place: np.ndarray, views: Views) -> dict[str, np.ndarray]:
    """The fold's rows in the loaded arrays, without the posts that are left out."""
    rows = {part: place[getattr(fold, part)] for part in ("train", "dev", "test")}
    rows = {part: held[held >= 0] for part, held in rows.items()}
    for part, held in rows.items():
        if not len(held):
            where = f" of the fold '{fold.name}'" if fold.name else ""
            why = f" ({_words(views.left_out)})" if views.left_out else ""
            raise CrisisError(f"No post with usable features is left in {part}{where}{why}.")
    return rows


def _same(one: Fold, other: Fold) -> bool:
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in ("train", "dev", "test"))


def _config(
    posts: Posts,
    protocol: Protocol,
    head: str,
    sources: Sequence[Source],
    views: Views,
    seeds: Sequence[int],
    fitted: Sequence[tuple[str, Any]],
) -> dict[str, Any]:
    """All that decides the result, as plain JSON values."""
    model = fitted[0][1]
    return {
        "dataset": posts.name,
        "posts": len(posts),
        "task": protocol.task.name,
        "classes": list(protocol.task.classes),
        "setting": protocol.setting,
        "split": protocol.split,
        "head": head,
        "parameters": {**model.params, **training_dict(model.training)},
        "views": {source.modality: source.label for source in sources},
        "fingerprints": dict(views.fingerprints),
        "seeds": list(seeds),
        "left_out": dict(views.left_out),
        "notes": list(protocol.notes),
    }


def _words(counts: dict[str, int] | Any) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
