"""Options of encoders, and encoders of your own, by the command line: `--set`, older flags, `--model file:Class`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cache import FeatureFile
from features import CARDS
from tests.features.tiny import save_text_model
from tests.pipeline.conftest import Run

ENCODER = """
import numpy as np
from crisis_registry import Parameter, at_least
from features import Card, Encoder


class Shout(Encoder):
    card = Card(
        name="shout",
        summary="which letters a text has",
        modalities=("text",),
        default_views={"text": "text/letters"},
        options=(Parameter("scale", 1.0, at_least(0), "what counts are multiplied by"),),
    )
    modalities = ("text",)
    views = {"text/letters": (26,)}

    def __init__(self, scale):
        self.scale = scale
        self.identity = {"scale": scale}

    def encode_texts(self, texts):
        counts = [[text.lower().count(chr(97 + letter)) for letter in range(26)] for text in texts]
        return {"text/letters": np.array(counts, np.float32) * np.float32(self.scale)}
"""


@pytest.fixture
def flags(tmp_path: Path, run: Run) -> list[str]:
    """A table of texts with two labels, and the encoder above in my_encoder.py, in the working folder."""
    words = {"a": "water and mud", "b": "sunny quiet beach"}
    rows = [f"{words[label]} {i},{label}" for i in range(60) for label in words]
    Path("posts.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    write_encoder(ENCODER)
    return ["--data", "posts.csv", "--text-column", "text", "--label-column", "label"]


def write_encoder(source: str) -> None:
    """As a new process would find it."""
    Path("my_encoder.py").write_text(source, encoding="utf-8")
    sys.modules.pop("my_encoder", None)
    CARDS._named.clear()


def test_an_encoder_of_ones_own_from_its_file_to_the_figures(run: Run, flags: list[str]) -> None:
    code, out, said = run("extract", "--model", "my_encoder:Shout", "--set", "scale=2", *flags[:4], "--json", "-q")
    assert code == 0, said
    path = Path(json.loads(out)["file"])
    assert path.name.startswith("shout@")
    with FeatureFile.open(path) as file:
        assert file.provenance["flags"][:2] == ["--model", "my_encoder:Shout"]
        assert file.provenance["flags"][-2:] == ["--set", "scale=2"]
        assert file.provenance["content"]["identity"] == {"scale": 2.0}
        assert np.asarray(file.take("text/letters", np.arange(1)))[0, 0] == 4.0, "water and mud"
    labels = {}
    for spec in ("my_encoder:Shout", "shout", "my_encoder:Shout:text/letters", path.stem, f"{path.stem}:text/*"):
        code, out, said = run("fit-head", "--head", "logistic", "--text", spec, *flags, "--seeds", "1", "--json", "-q")
        assert code == 0, said
        found = json.loads(out)
        assert found["test"]["accuracy"]["mean"] == 1.0
        labels[spec] = found["views"]["text" if "*" not in spec else "text/letters"]
    assert set(labels.values()) == {f"{path.stem}:text/letters"}
    code, out, said = run("fit-head", "--head", "logistic", "--model", "my_encoder:Shout", *flags, "--seeds", "1")
    assert code == 0, said


def test_stale_rows_of_a_plug_in_name_the_command_that_mends_them(run: Run, flags: list[str]) -> None:
    assert run("extract", "--model", "my_encoder:Shout", *flags[:4], "-q")[0] == 0
    Path("posts.csv").write_text(Path("posts.csv").read_text().replace("mud 0", "fire 0"))
    code, _, said = run("fit-head", "--head", "logistic", "--text", "shout", *flags, "--seeds", "1")
    assert code != 0
    assert "crisis extract --model my_encoder:Shout" in said


def test_an_edited_encoder_does_not_reuse_what_it_said_before(run: Run, flags: list[str]) -> None:
    assert run("extract", "--model", "my_encoder:Shout", *flags[:4], "-q")[0] == 0
    write_encoder(ENCODER.replace("text.lower()", "text.upper()[::1]"))
    code, out, _ = run("extract", "--model", "my_encoder:Shout", *flags[:4], "--json", "-q")
    assert code == 0
    assert json.loads(out)["reused"] == 0
    code, _, said = run("fit-head", "--head", "logistic", "--text", "my_encoder:Shout", *flags, "--seeds", "1")
    assert code == 2
    assert "several 'shout' caches" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "loud=1"], "The model 'shout' has no option 'loud'; it has scale."),
        (["--set", "Scale=1"], "has no option 'Scale' (did you mean 'scale'?)"),
        (["--set", "scale=-1"], "The parameter 'scale' must be 0 or more, but is -1.0."),
        (["--set", "scale"], "--set takes NAME=VALUE"),
        (["--tokens"], "has no option 'tokens'; it has scale."),
    ],
)
def test_an_option_that_is_wrong_is_one_sentence(words: list[str], sentence: str, run: Run, flags: list[str]) -> None:
    code, out, said = run("extract", "--model", "my_encoder:Shout", *words, *flags[:4], "-q")
    assert (code, out) == (2, "")
    assert sentence in said


def test_unknown_encoders_are_one_sentence(run: Run, flags: list[str]) -> None:
    for spec, sentence in {
        "my_encoder:Shoot": "has no attribute 'Shoot'",
        "clipp": "There is no model 'clipp' (did you mean 'clip'?)",
        "my_encodr:Shout": "No module named 'my_encodr'",
    }.items():
        for command in (["extract", "--model", spec, *flags[:4]], ["fit-head", "--text", spec, *flags]):
            code, _, said = run(*command)
            assert code == 2
            assert sentence in said


def test_flags_of_older_caches_still_work_and_are_not_shown(run: Run, flags: list[str]) -> None:
    for old in (["--candidates", "0"], ["--set", "candidates=0"]):
        code, _, said = run("extract", "--model", "blip", *old, *flags[:4])
        assert code == 2
        assert "'candidates' must be at least 1, but is 0" in said
    shown = run("extract", "--help")[1]
    assert "--set" in shown
    for name in ("tokens", "layers", "candidates", "scorer", "prompt", "regions", "grid"):
        value = [] if name in ("tokens", "layers") else ["x"]
        code, _, said = run("extract", "--model", "classic", f"--{name}", *value, *flags[:4])
        assert (code, f"has no option '{name}'" in said) == (2, True)
        assert f"--{name} " not in shown


def test_options_of_ours_are_written_as_set(run: Run, flags: list[str], tmp_path: Path) -> None:
    weights = str(tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    save_text_model(tmp_path / "weights", "bert")
    marks = []
    for words in (["--layers"], ["--set", "layers=true"]):
        code, out, said = run("extract", "--model", "bert", "--pretrained", weights, *words, *flags[:4], "--json", "-q")
        assert code == 0, said
        found = json.loads(out)
        marks.append(found["file"])
    assert marks[0] == marks[1]
    assert found["reused"] == 120
    with FeatureFile.open(Path(marks[0])) as file:
        assert file.provenance["flags"][-2:] == ["--set", "layers=true"]
        assert "text/layer-0" in file.views
