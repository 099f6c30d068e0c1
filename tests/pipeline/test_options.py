"""What the flags of an extraction may say."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.extraction.options import Options


def test_the_flags_that_choose_the_vectors() -> None:
    options = Options(pretrained="here", precision="fp16", text="knowledge", encoder_flags=("--set", "a=1"))
    assert options.flags() == [
        *("--pretrained", "here", "--precision", "fp16", "--cleaner", "raw", "--text", "knowledge"),
        *("--set", "a=1"),
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"overwrite": "alway"}, r"no --overwrite 'alway' \(did you mean 'always'\?\)"),
        ({"on_error": "ignore"}, "no --on-error 'ignore'; choose one of skip, stop, blank"),
        ({"cleaner": "none"}, "no --cleaner 'none'"),
        ({"batch_size": 0}, "at least 1"),
        ({"num_workers": 0}, "at least 1"),
    ],
)
def test_what_does_not_exist_is_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Options(**given)  # type: ignore[arg-type]
