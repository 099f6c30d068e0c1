"""Where vectors come from: which encoder made a view, and how it is made again.

Widths do not tell encoders apart: two that have nothing in common give 384 numbers each. A head is therefore asked only
about vectors of the encoder that it was trained on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cache import FeatureFile
from classifiers import FittedHead
from pipeline.errors import DataError
from pipeline.inputs.commands import extract_command
from pipeline.runs.sources import Source


@dataclass(frozen=True)
class Origin:
    """The encoder of one view, as a saved head keeps it.

    label: model, short fingerprint and view, as results name it; fingerprint: the full one, 64 hex digits; model and
    view: their names; modality: what the view stands for ("image", "text", "joint", "caption"); flags: those of
    `crisis extract` that make the same vectors of other posts.
    """

    label: str
    fingerprint: str
    model: str
    view: str
    modality: str
    flags: tuple[str, ...]

    @classmethod
    def of(cls, source: Source, file: FeatureFile) -> Origin:
        """The origin of `source`, whose cache file is open as `file`."""
        flags = tuple(file.provenance.get("flags", ("--model", source.model)))
        # of what is in the file, whatever the file is called
        label = f"{source.path.stem.partition('@')[0]}@{file.fingerprint[:8]}:{source.view}"
        return cls(label, file.fingerprint, source.model, source.view, source.modality, flags)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Origin:
        """What `to_json` gave. Raises `DataError` for anything else."""
        try:
            return cls(**{**said, "flags": tuple(said["flags"])})
        except (KeyError, TypeError) as error:
            raise DataError("This head does not say, as it should, which encoders its vectors come from.") from error

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "flags": list(self.flags)}

    def command(self, dataset: str, cache: Path) -> str:
        """What makes these vectors of the posts that the flags `dataset` name."""
        return extract_command(shlex.join(self.flags), dataset, cache)


def check_origins(head: FittedHead, given: Mapping[str, Origin], dataset: str, cache: Path) -> None:
    """Raise `DataError` where a view is not made by the encoder that the head was trained on, or is not there.

    `given` is by view name; `dataset` are the flags that name the posts. A head of an earlier version, which knows no
    encoders, is taken at its word.
    """
    for name, origin in ((name, Origin.from_json(said)) for name, said in head.encoders.items()):
        other = given.get(name)
        if other is None or (other.fingerprint, other.view) != (origin.fingerprint, origin.view):
            what = f"the vectors are those of {other.label}" if other else "there are no such vectors"
            raise DataError(
                f"The head was trained on {origin.label} as its view '{name}', and {what}; make the right ones with: "
                f"{origin.command(dataset, cache)}"
            )
