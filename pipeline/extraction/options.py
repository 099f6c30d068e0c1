"""How to extract: what the flags of `crisis extract` say beside the dataset and the encoder."""

from __future__ import annotations

from dataclasses import dataclass

from crisis_registry import did_you_mean
from features.text import CLEANERS
from pipeline.errors import UsageError

OVERWRITE = ("only-missing", "always", "never")
ON_ERROR = ("skip", "stop", "blank")
RECHECK = ("stamp", "content")
STORED = {"fp32": "float32", "fp16": "float16", "bf16": "float32"}
"""The dtype on disk per precision; bf16 has none in HDF5, and every bf16 value is exact in float32."""


@dataclass(frozen=True)
class Options:
    """How to extract. Only `precision`, `cleaner` and `text` change the vector of a good row.

    `pretrained`, `revision` and `encoder_flags` say which weights and options the encoder was given, `device` where
    it was put. `batch_size` None: found by trying. `recheck`: whether inputs that the file has are known by a
    "stamp", or read anew for their "content".
    """

    precision: str = "fp32"
    cleaner: str = "raw"
    text: str = "tweet"
    encoder_flags: tuple[str, ...] = ()
    pretrained: str | None = None
    revision: str | None = None
    device: str = "cpu"
    batch_size: int | None = None
    num_workers: int = 2
    overwrite: str = "only-missing"
    on_error: str = "skip"
    recheck: str = "stamp"

    def flags(self) -> list[str]:
        """The command-line flags that choose this encoder and these vectors again."""
        named = {"--pretrained": self.pretrained, "--revision": self.revision}
        named |= {"--precision": self.precision, "--cleaner": self.cleaner, "--text": self.text}
        words = [word for flag, value in named.items() if value is not None for word in (flag, value)]
        return [*words, *self.encoder_flags]

    def __post_init__(self) -> None:
        for flag, value, known in (
            ("--overwrite", self.overwrite, OVERWRITE),
            ("--on-error", self.on_error, ON_ERROR),
            ("--recheck", self.recheck, RECHECK),
            ("--cleaner", self.cleaner, tuple(CLEANERS)),
        ):
            if value not in known:
                near = did_you_mean(value, known)
                raise UsageError(f"There is no {flag} '{value}'{near}; choose one of {', '.join(known)}.")
        if min(self.num_workers, 1 if self.batch_size is None else self.batch_size) < 1:
            raise UsageError("--batch-size and --num-workers must be at least 1.")
