"""The command that a user is told to run for what is not in the cache."""

from __future__ import annotations

import shlex
from pathlib import Path


def extract_command(encoder: str, dataset: str, cache: Path) -> str:
    """`crisis extract` with the flags of the encoder and those that name the posts, as a shell takes them."""
    return f"crisis extract {encoder} {dataset} --cache {shlex.quote(str(cache))}"
