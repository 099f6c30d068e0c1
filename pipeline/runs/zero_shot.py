"""CLIP zero-shot over cached features: no head is trained, the classes are prompts (Teng 2025, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache import FeatureFile
from classifiers.metrics import majority_label
from classifiers.zero_shot import class_vectors, zero_shot
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.inputs.commands import extract_command
from pipeline.protocols.choose import Protocol
from pipeline.runs.class_prompts import prompt_posts
from pipeline.runs.config import RunConfig, asked_config
from pipeline.runs.evaluation import Evaluation, Prediction
from pipeline.runs.material import load_material
from pipeline.runs.model_spec import ModelSpec, card_of
from pipeline.runs.run import PARTS, Run
from pipeline.runs.sources import Source, default_view, find_sources
from pipeline.runs.views import load_views

# what only training decides
UNSAID = frozenset({"identity", "eval_setting", "mix_share", "test_to_train"})
MODALITIES = {"image": ("image",), "text": ("text",), "both": ("image", "text")}


@dataclass(frozen=True)
class Prompted:
    """A model that is asked by prompts: `model` as MODEL[@FINGERPRINT], the `modality` of the vectors to use, "image",
    "text" or "both" (their mean), and the `prompts`, a task's name or a JSON file {class: [prompt, ...]}.

    Raises `UsageError` for another modality.
    """

    model: str
    modality: str
    prompts: str

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise UsageError(f"There is no modality '{self.modality}'; choose one of {', '.join(MODALITIES)}.")

    def find_sources(self, posts: Posts, cache: Path) -> list[Source]:
        """The views of the posts; `UsageError` with the command to run where they are not encoded."""
        used = MODALITIES[self.modality]
        return find_sources(posts, cache, *(self.model if name in used else None for name in ("image", "text")))


def zero_shot_run(
    posts: Posts,
    protocol: Protocol,
    cache: Path,
    asked: Prompted,
    seeds: Sequence[int],
    runs: Path,
    *,
    keep: bool = False,
) -> Run:
    """Answer the dev and test posts of each seed by the prompts of each class, and write the run into `runs`; with
    `keep`, one that is there already, of the same configuration and figures, is given from there.

    The seeds only draw splits: nothing else is random. Raises `UsageError` with the command to run where posts or
    prompts are not encoded, and for prompts that lack a class of the task.
    """
    sources = asked.find_sources(posts, cache)
    written = prompt_posts(asked.prompts)
    source = _prompt_source(written, cache, sources[0])
    found = load_views(written, [source], np.arange(len(written)))
    classes = class_vectors(found.arrays["text"], written.pair_labels, protocol.task.classes)

    material = load_material(posts, [protocol], sources)
    views = material.views
    usable = zero_shot({name: array[views.usable] for name, array in views.arrays.items()}, classes)
    answers = np.zeros((len(material.rows), usable.shape[1]), dtype=usable.dtype)
    answers[views.usable] = usable
    predictions = _predictions(protocol, seeds, material.places, answers)
    config = RunConfig(
        **asked_config(posts, protocol),
        head="zero_shot",
        preset="untrained",
        parameters={"modality": asked.modality, "prompts": dict(zip(written.ids, written.texts, strict=True))},
        views={one.modality: one.label for one in sources},
        fingerprints={**views.fingerprints, "prompts": found.fingerprints["text"]},
        seeds=tuple(seeds),
        left_out=views.left_out,
        notes=protocol.notes,
        unsaid=UNSAID,
    )
    evaluation = Evaluation(posts, protocol, predictions)
    # the configuration of an untrained run does not tell its labels
    if keep and (there := Run.find(runs, config)) is not None and there.summary == evaluation.summary():
        return there
    return Run.write(runs, config, evaluation)


def _prompt_source(written: Posts, cache: Path, posts_source: Source) -> Source:
    """The prompts' cache file that the same weights made in the same precision as the posts' file."""
    wanted = _content(posts_source.path)
    model = posts_source.model
    for path in sorted((cache / written.name).glob(f"{model}@*.h5")):
        content = _content(path)
        if all(content.get(key) == wanted.get(key) for key in ("identity", "precision", "plugin")):
            declared = card_of(ModelSpec(model), written, cache)
            return Source("text", model, default_view(path, "text", declared.default_views["text"]), path)
    raise UsageError(
        f"There are no prompts of '{written.name}' in {cache} that the model of {posts_source.path.name} encoded; run, "
        "with the --pretrained and --precision of that file: "
        + extract_command(f"--model {model}", written.flags, cache)
    )


def _content(path: Path) -> dict[str, Any]:
    """What the file's fingerprint was computed from."""
    with FeatureFile.open(path) as file:
        content: dict[str, Any] = file.provenance.get("content", {})
        return content


def _predictions(protocol: Protocol, seeds: Sequence[int], places: np.ndarray, answers: np.ndarray) -> list[Prediction]:
    """`places` int64 [posts] gives a post's row in `answers` [n, C], -1 for one that is left out."""
    predictions = []
    for seed in seeds:
        for fold in protocol.folds(seed):
            majority = majority_label(protocol.labels[fold.train])
            for part in PARTS:
                rows = getattr(fold, part)
                rows = rows[places[rows] >= 0]
                if not len(rows):
                    raise CrisisError(f"No post with usable features is left in {part}.")
                labels = protocol.labels[rows]
                predictions.append(Prediction(seed, fold.name, part, rows, labels, answers[places[rows]], majority))
    return predictions
