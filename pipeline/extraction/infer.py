"""Inferring: hand the new inputs of a window to the encoder, batch by batch, and gather what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from cache import Status
from features.device import is_out_of_memory
from features.images import BadImage, blank
from features.text import Text
from pipeline.extraction.batching import TEXT_TOKENS, BatchSize, Views, of_like_length
from pipeline.extraction.lanes import Lanes
from pipeline.extraction.read import Pending, Window
from pipeline.extraction.work import Work
from pipeline.inputs.inputs import Inputs, PairInputs


class Inference:
    """The second of three steps. `encoded` counts, per modality, the distinct inputs that went through the encoder;
    `failed` says per modality which could not, and why, and `passing` which of these may do better another time.
    """

    def __init__(self, work: Work, lanes: Lanes) -> None:
        size, device = work.options.batch_size, work.options.device
        self._work = work
        self._lanes = lanes
        self._sizes = {modality: BatchSize(size, device) for modality in work.modalities}
        self._tokens = BatchSize(None, device, TEXT_TOKENS) if size is None else None
        self._blank: np.ndarray | None = None
        self.failed: dict[str, dict[bytes, Status]] = {modality: {} for modality in work.modalities}
        self.passing: set[bytes] = set()
        self.encoded = dict.fromkeys(work.modalities, 0)

    def send(self, window: Window) -> None:
        """Hand the window's new inputs to the encoder, batch by batch."""
        for pending in window.pending:
            if pending.inputs.modality == "text":
                self._send_texts(pending)
            else:
                self._send_photos(pending)

    def gather(self, pending: Pending, digests: list[bytes]) -> dict[str, np.ndarray]:
        """Vectors by view in the order of `digests`; those that are not finite have failed."""
        failed = self.failed[pending.inputs.modality]
        vectors: dict[str, np.ndarray] = {}
        for slots, answer in pending.answers:
            good = np.ones(len(slots), dtype=bool)
            for name, values in answer.result().items():
                if name.startswith("captions/"):
                    vectors.setdefault(name, np.full(len(digests), "", object))[slots] = values
                    continue
                # a value beyond the stored dtype's range becomes infinite here and is caught below
                with np.errstate(over="ignore"):
                    stored = values.astype(self._work.dtype)
                if name not in vectors:
                    vectors[name] = np.full((len(digests), *stored.shape[1:]), np.nan, self._work.dtype)
                vectors[name][slots] = stored
                good &= np.isfinite(stored).reshape(len(stored), -1).all(axis=1)
            failed.update({digests[slots[at]]: Status.NON_FINITE for at in np.flatnonzero(~good).tolist()})
            self.encoded[pending.inputs.modality] += int(good.sum())
        pending.answers.clear()
        return vectors

    def white(self, inputs: Inputs, texts: Sequence[Text]) -> Iterator[tuple[Text, Views]]:
        """What the encoder says of a white photo, with each of the texts where it reads both; nothing where it cannot
        be asked.
        """
        if not texts:
            return
        if self._blank is None:
            try:
                self._blank = self._work.encoder.prepare(blank())
            except BadImage:
                # supplied region features know no white photo
                return
        white, left, size = self._blank, list(texts), self._sizes[inputs.modality]
        while left:
            batch, left = left[: size.size], left[size.size :]
            if isinstance(inputs, PairInputs):
                views = size.run(self._encode_pairs, [(white, text) for text in batch])
            else:
                views = size.run(self._encode_images, [white])
            for slot, text in enumerate(batch):
                yield text, {name: values[slot] for name, values in views.items()}

    def _send(self, pending: Pending, slots: list[int], work: Callable[[], Views]) -> None:
        pending.answers.append((slots, self._lanes.submit(work)))

    def _send_texts(self, pending: Pending) -> None:
        """Batches of texts of like length, so that little or nothing is padded."""
        lengths = [self._work.encoder.text_length(tokens) for tokens in pending.tokens]
        size = self._tokens
        if size is None or not any(lengths):
            # all cost the same, or the number of texts in a batch was given
            size, lengths = self._sizes["text"], [1] * len(lengths)
        for slots, cost in of_like_length(lengths, size):
            batch = [pending.tokens[slot] for slot in slots]
            self._send(pending, slots, partial(size.run, self._work.encoder.encode_tokens, batch, cost))
        pending.tokens.clear()

    def _send_photos(self, pending: Pending) -> None:
        """Batches of photos, or of photos with their texts; a bad photo costs only the rows it belongs to."""
        assert pending.loaded is not None
        inputs, failed = pending.inputs, self.failed[pending.inputs.modality]
        items = list(pending.new.items())
        size = self._sizes[inputs.modality]
        encode = self._encode_pairs if isinstance(inputs, PairInputs) else self._encode_images
        slots: list[int] = []
        batch: list[Any] = []
        left = len(items)
        for sharing, future in zip(pending.sharing, pending.loaded, strict=True):
            array = self._arrived(future, [items[slot][0] for slot in sharing], failed)
            for slot in sharing:
                if array is not None:
                    slots.append(slot)
                    batch.append((array, inputs.text(items[slot][1])) if isinstance(inputs, PairInputs) else array)
                left -= 1
                if batch and self._is_due(len(batch), left, size.size):
                    self._send(pending, slots, partial(size.run, encode, batch))
                    slots, batch = [], []

    def _is_due(self, batch: int, left: int, size: int) -> bool:
        """Whether a batch goes now: full, or the lane's share of what is left, so that the lanes end together."""
        share = batch * self._lanes.count >= batch + left and batch * 4 >= size
        return batch >= size or left == 0 or share

    def _encode_images(self, batch: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return self._work.encoder.encode_images(np.stack(batch))

    def _encode_pairs(self, batch: Sequence[tuple[np.ndarray, Text]]) -> dict[str, np.ndarray]:
        return self._work.encoder.encode_pairs(np.stack([photo for photo, _ in batch]), [text for _, text in batch])

    def _arrived(self, future: Future[Any], digests: list[bytes], failed: dict[bytes, Status]) -> np.ndarray | None:
        """The prepared photo; where there is none, what shares it has failed."""
        try:
            photo: np.ndarray = future.result()
            return photo
        except BadImage as bad:
            reason, passing = Status.from_reason(bad.reason), bad.passing
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # a transform that fails on one odd photo costs that photo, not the night
            reason, passing = Status.IMAGE_UNDECODABLE, True
        failed.update(dict.fromkeys(digests, reason))
        self.passing.update(digests if passing else ())
        return None
