"""Of all architectures that AutoModel has, a sample: each works and equals the library, or is refused in a sentence.

All of them: `python -m benchmarks.architectures --kind text`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.architectures_text import attempt, names


@pytest.mark.parametrize("kind", random.Random(5).sample(names(), 60))
def test_architecture_works_or_is_refused(kind: str, tmp_path: Path) -> None:
    outcome, why = attempt(kind, tmp_path)
    assert outcome != "failed", why
    assert "Traceback" not in why
