"""What the rows of a worklist are made from: handed to an engine, and by it to whoever reads, infers and writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features import Encoder
from pipeline.datasets.posts import Posts
from pipeline.extraction.options import STORED, Options
from pipeline.extraction.reads import TextReads
from pipeline.extraction.vectors import VectorStore
from pipeline.inputs.inputs import Inputs


@dataclass(frozen=True)
class Work:
    """`inputs` are those of each modality that the encoder reads; in the `store` are the vectors that need not be made
    again; `reads` takes note of how much of each text is read.
    """

    posts: Posts
    encoder: Encoder
    inputs: Sequence[Inputs]
    store: VectorStore
    options: Options
    reads: TextReads = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", TextReads(self.encoder, self.inputs, len(self.posts)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """In which vectors are stored."""
        return np.dtype(STORED[self.options.precision])

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(one.modality for one in self.inputs)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's vectors as stored."""
        return self.dtype.itemsize * sum(math.prod(shape) for shape in self.encoder.views.values())
