"""How much of the texts an encoder has read: which were cut at its limit, and which tokens it does not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from cache import FeatureFile, Status
from features import Encoder
from features.text import Text
from pipeline.inputs.inputs import Inputs, PairInputs, TextInputs

_AT_ONCE = 1024
_UNSEEN = -1


class TextReads:
    """Notes taken while texts are tokenized, post by post (9 bytes for each), and their sum over all rows."""

    def __init__(self, encoder: Encoder, inputs: Sequence[Inputs], posts: int) -> None:
        self._encoder = encoder
        read = {one.modality: one for one in inputs if isinstance(one, (TextInputs, PairInputs))}
        # an encoder that reads texts by themselves and with photos reads them alike
        self._inputs = read.get("text") or read.get("joint")
        self._counted = self._inputs is not None and encoder.text_limit is not None
        size = posts if self._counted else 0
        self._tokens = np.full(size, _UNSEEN, np.int32)
        self._unknown = np.zeros(size, np.int32)
        self._cut = np.zeros(size, bool)

    def wants(self, inputs: Inputs) -> bool:
        """Whether what `inputs` gives is counted."""
        return self._counted and inputs is self._inputs

    def note(self, posts: Sequence[int], tokens: Sequence[object]) -> None:
        """Keep how much is read of the text of each post, which `encoder.tokenize` made `tokens` of."""
        for post, one in zip(posts, tokens, strict=True):
            read = self._encoder.text_read(one)
            if read is not None:
                self._tokens[post], self._unknown[post], self._cut[post] = read.tokens, read.unknown, read.cut

    def counts(self, file: FeatureFile, rows: np.ndarray) -> dict[str, int] | None:
        """Over the rows (int64 [posts]; below 0: not there) whose text is good: how many there are, how many were cut,
        the tokens that were read and those of them that are unknown; None where that is not counted.

        Rows that share a text were tokenized once, those of an earlier run are tokenized now.
        """
        if not self._counted or self._inputs is None:
            return None
        status = file.status_of(self._inputs.modality)
        which = np.flatnonzero((rows >= 0) & np.isin(status[rows], (Status.OK, Status.BLANK)))
        hashes = np.ascontiguousarray(file.hashes(self._inputs.modality)[rows[which]]).view("V16").ravel()
        _, text_of = np.unique(hashes, return_inverse=True)
        post_of = np.full(text_of.max(initial=-1) + 1, _UNSEEN, np.int64)
        post_of[text_of] = which
        seen = self._tokens[which] != _UNSEEN
        post_of[text_of[seen]] = which[seen]
        unseen = iter(post_of[self._tokens[post_of] == _UNSEEN].tolist())
        while batch := list(islice(unseen, _AT_ONCE)):
            self.note(batch, self._encoder.tokenize(list(self._texts(batch))))
        posts = post_of[text_of]
        return {
            "rows": len(posts),
            "cut": int(self._cut[posts].sum()),
            "tokens": int(np.maximum(self._tokens[posts], 0).sum(dtype=np.int64)),
            "unknown": int(self._unknown[posts].sum(dtype=np.int64)),
        }

    def _texts(self, posts: Sequence[int]) -> Iterator[Text]:
        for post in posts:
            if isinstance(self._inputs, PairInputs):
                yield self._inputs.text(post)
            elif isinstance(self._inputs, TextInputs):
                yield self._inputs.load(post)
