"""What all captioners share: candidates, the choice of the one nearest to the photo by CLIP score, and what is kept.

Farah 2025, 4.4.3: five captions per image from each captioner; the one most similar to the image by CLIP is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything, at_least
from features.encoders.encoder import Encoder
from features.errors import BadOption, FeatureError
from features.text import Text, TextRead

SCORER = "ViT-B-32/laion2b_s34b_b79k@1a25a446712ba5ee05982a381eed697ef9b435cf"
"""The CLIP model that chooses among a captioner's candidates unless told otherwise."""

SCORED_VIEWS = {"image/score": (1,), "image/truncated": (1,)}
"""What a captioner of photos writes beside its captions."""


class OptionalText(Parameter):
    """A text with a default, or none: None, or the word "none"."""

    def checked(self, value: Any) -> Any:
        return None if value in (None, "none") else super().checked(value)


def decoding_options(candidates: int, max_new_tokens: int, scorer: str = SCORER) -> tuple[Parameter, ...]:
    """The options of every captioner, with these defaults."""
    return (
        Parameter("candidates", candidates, at_least(1), "how many captions to choose from"),
        Parameter("max_new_tokens", max_new_tokens, at_least(1), "the most tokens that a caption may have"),
        OptionalText("scorer", scorer, anything("the name of CLIP weights, or none"), "the CLIP weights to choose by"),
    )


@dataclass(frozen=True)
class Candidate:
    """One generated caption; `truncated`: the length limit was reached before the model ended it."""

    text: str
    truncated: bool


@dataclass(frozen=True)
class Decoding:
    """Beam search that returns its `candidates` best beams: nothing is drawn, so a caption depends on its own photo
    (and tweet) only. One candidate is greedy decoding.
    """

    candidates: int
    max_new_tokens: int

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of transformers' `generate`."""
        return {
            "do_sample": False,
            "num_beams": self.candidates,
            "num_return_sequences": self.candidates,
            "max_new_tokens": self.max_new_tokens,
        }


def check_room(context: int | None, given: int, decoding: Decoding) -> None:
    """Refuse captions of more tokens than a model of `context` positions (None: no limit) has behind `given` ones.

    Raises `BadOption` with the most that it has.
    """
    if context is not None and given + decoding.max_new_tokens > context:
        raise BadOption(
            f"The model has positions for {context} tokens, {given} of which are taken before a caption begins: use "
            f"--set max_new_tokens={max(context - given, 1)} or fewer."
        )


Generate = Callable[[np.ndarray, Sequence[Text]], list[list[Candidate]]]
"""Prepared images [n, ...] and the n texts that go with them (or none) to n lists of candidates."""


class Captioner(Encoder):
    """Writes `captions/<name>`; beside it `<modality>/truncated` [1] (1: cut by the length limit) and, with a scorer,
    `<modality>/score` [1], the cosine of the caption and the photo in CLIP's space.

    `modality` is "image", or "joint" where the caption depends on the post's text as well; `reads` then says how much
    of each text is read, which is `text_limit` tokens at most.
    """

    def __init__(
        self,
        name: str,
        modality: str,
        prepare: Callable[[Any], np.ndarray],
        generate: Generate,
        decoding: Decoding,
        scorer: Any | None,
        identity: Mapping[str, Any],
        reads: Callable[[Sequence[Text]], list[TextRead]] | None = None,
        text_limit: int | None = None,
    ) -> None:
        if decoding.candidates > 1 and scorer is None:
            raise FeatureError("Several candidates need a CLIP model to choose by; name one with --set scorer=...")
        self._name = name
        self._modality = modality
        self._generate = generate
        self._reads = reads
        self.text_limit = text_limit
        self._parts = [prepare] + ([scorer.prepare] if scorer else [])
        self._shapes: list[tuple[int, ...]] = []
        self._scorer = scorer
        self.modalities: tuple[str, ...] = (modality,)
        self.captions = {name: modality}
        kept = ("truncated", "score") if scorer else ("truncated",)
        self.views: dict[str, tuple[int, ...]] = {f"{modality}/{view}": (1,) for view in kept}
        self.identity = {
            **identity,
            "decoding": asdict(decoding),
            "scorer": scorer.identity if scorer else None,
        }

    def prepare(self, image: Any) -> np.ndarray:
        """The captioner's own pixels and, with a scorer, CLIP's, as one flat float32 array."""
        arrays = [part(image) for part in self._parts]
        self._shapes = [array.shape for array in arrays]
        return np.concatenate([array.ravel() for array in arrays]).astype(np.float32, copy=False)

    def tokenize(self, texts: Sequence[Text]) -> list[Any]:
        return super().tokenize(texts) if self._reads is None else self._reads(texts)

    def text_read(self, tokens: Any) -> TextRead | None:
        return tokens if isinstance(tokens, TextRead) else None

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        if self._modality != "image":
            return super().encode_images(batch)
        return self._caption(batch, ())

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        if self._modality != "joint":
            return super().encode_pairs(batch, texts)
        return self._caption(batch, texts)

    def _caption(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        own, *clip = self._split(batch)
        candidates = self._generate(own, texts)
        views: dict[str, np.ndarray] = {}
        chosen = [0] * len(candidates)
        if self._scorer is not None:
            scores = self._scores(clip[0], candidates)
            chosen = [int(np.argmax(row)) for row in scores]
            best = [row[index] for row, index in zip(scores, chosen, strict=True)]
            views[f"{self._modality}/score"] = np.array(best, np.float32)[:, None]
        kept = [row[index] for row, index in zip(candidates, chosen, strict=True)]
        views[f"{self._modality}/truncated"] = np.array([[one.truncated] for one in kept], np.float32)
        views[f"captions/{self._name}"] = np.array([one.text for one in kept], dtype=object)
        return views

    def _split(self, batch: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([prod(shape) for shape in self._shapes])[:-1]
        pieces = np.split(batch, ends, axis=1)
        return [piece.reshape(len(batch), *shape) for piece, shape in zip(pieces, self._shapes, strict=True)]

    def _scores(self, pixels: np.ndarray, candidates: list[list[Candidate]]) -> list[np.ndarray]:
        """Cosines of each photo and its candidates; rounded, so that equal captions tie whatever the batch."""
        assert self._scorer is not None
        images = self._scorer.encode_images(np.ascontiguousarray(pixels))["image/projected"]
        texts = self._scorer.encode_texts([one.text for row in candidates for one in row])["text/projected"]
        ends = np.cumsum([len(row) for row in candidates])[:-1]
        return [np.round(rows @ image, 5) for rows, image in zip(np.split(texts, ends), images, strict=True)]


def load_scorer(scorer: str | None, device: str, precision: str) -> Any | None:
    """The CLIP encoder that chooses among candidates; `scorer` as `--pretrained` of the model `clip`."""
    if scorer is None:
        return None
    from features.encoders.clip import load

    return load(pretrained=scorer, revision=None, device=device, precision=precision)


def read_candidates(
    sequences: Any, skip: int, end: set[int], decode: Callable[[Any], str], each: int
) -> list[list[Candidate]]:
    """Generated ids [n * each, t] to n lists of candidates; `skip` ids are the prompt's, `end` ends one."""
    found = []
    for ids in sequences[:, skip:].tolist():
        stop = next((position for position, token in enumerate(ids) if token in end), None)
        text = decode(ids if stop is None else ids[: stop + 1])
        found.append(Candidate(" ".join(text.split()), stop is None))
    return [found[start : start + each] for start in range(0, len(found), each)]


def ids_of(value: Any) -> set[int]:
    """An end-of-text id, or several, or none, as a set."""
    return set() if value is None else {value} if isinstance(value, int) else set(value)
