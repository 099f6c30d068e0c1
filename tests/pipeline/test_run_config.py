"""A configuration and its JSON are one thing: what is read back is equal, and so is its digest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from features.fingerprint import digest_of
from pipeline.errors import DataError
from pipeline.runs.config import RunConfig
from tests.pipeline.run_support import config


def test_what_is_read_back_is_equal() -> None:
    written = config(balance={"label": "over", "class_weight": {2: 1.0, 10: 2.0}}, notes=("one",), mix_share=50.0)
    read = RunConfig.from_json(json.loads(json.dumps(written.to_json())))
    assert read == written
    assert read.digest == written.digest == digest_of(written.to_json())
    assert (read.balance_label, read.called) == ("over", "the head 'prototype' with balance over")
    assert "fused" not in written.to_json()
    assert config().called == "the head 'prototype'"


def test_fused_runs_name_what_they_were_fused_from() -> None:
    written = config(fused=({"run": "one", "head": "mlp"},), identity=None)
    said = written.to_json()
    assert said["fused"] == [{"run": "one", "head": "mlp"}]
    assert said["identity"] is None
    assert RunConfig.from_json(said) == written


@pytest.mark.parametrize("gone", [("identity", "test_to_train"), ("balance", "eval_setting", "mix_share")])
def test_what_an_earlier_version_did_not_say_stays_out_of_the_digest(gone: tuple[str, ...]) -> None:
    said = {name: value for name, value in config().to_json().items() if name not in gone}
    read = RunConfig.from_json(said)
    assert read.to_json() == said
    assert read.digest == digest_of(said)
    assert (read.balance_label, read.test_to_train) == ("none", 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": None}, "as 'task'"),
        ({"classes": "ab"}, "as 'classes'"),
        ({"colour": "red"}, "'colour' is not a part of one"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        RunConfig.from_json({**config().to_json(), **change})
    with pytest.raises(DataError, match="not an object"):
        RunConfig.from_json([])
