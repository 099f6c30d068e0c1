"""What the shell completes, and how quickly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from crisis_registry import load_object
from tests.pipeline.cli_support import all_commands

WORDS = {
    "preset": "classifiers.presets:PRESETS",
    "rule": "classifiers.decision:RULES",
    "precision": "features.card:PRECISIONS",
    "cleaner": "features.text:CLEANERS",
    "metric": "pipeline.cli.sweep:METRICS",
    "overwrite": "pipeline.extraction.options:OVERWRITE",
    "on_error": "pipeline.extraction.options:ON_ERROR",
    "modality": "pipeline.runs.zero_shot:MODALITIES",
}
HEAVY = "{'torch', 'sklearn', 'transformers', 'pandas', 'scipy'}"


def completed(line: str) -> list[str]:
    """What pressing the tabulator behind `line` offers."""
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_CRISIS_COMPLETE": "complete_bash"}
    script = (
        "import sys\n"
        "from pipeline.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"assert not {HEAVY} & set(sys.modules), sys.modules.keys() & {HEAVY}\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("crisis fit", ["fit-head"]),
        ("crisis cache v", ["verify"]),
        ("crisis fit-head --balance-tr", ["--balance-train"]),
        ("crisis fit-head --head guided_ca_s", ["guided_ca_self"]),
        ("crisis sweep --heads mlp,con", ["mlp,concat"]),
        ("crisis extract --model din", ["dinov2"]),
        ("crisis fit-head --task dam", ["damage"]),
        ("crisis fit-head --balance no", ["none"]),
        ("crisis fit-head --dataset cr", ["crisismmd"]),
        ("crisis extract --device ", ["auto", "cpu", "cuda", "mps"]),
        ("crisis extract --precision ", ["fp32", "fp16", "bf16"]),
        ("crisis extract --overwrite on", ["only-missing"]),
        ("crisis fit-head --splits set", ["settingA", "settingB"]),
        ("crisis heads mlp", ["mlp"]),
        ("crisis fit-head --head lightgbm --set le", ["leaves="]),
        ("crisis sweep --heads lightgbm,knn --set k", ["k_grid="]),
        ("crisis fit-head --balance d_sse --set p_", ["p_c="]),
    ],
)
def test_names_and_values_are_completed_without_a_learning_library(line: str, first: list[str]) -> None:
    assert completed(line) == first


def test_the_shell_is_told_how_to_complete() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline", "--show-completion", "bash"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "_CRISIS_COMPLETE=complete_bash" in shown
    assert "complete -o default -F _crisis_completion crisis" in shown


@pytest.mark.parametrize("name", all_commands())
def test_a_default_is_one_of_the_words_that_its_option_takes(name: str) -> None:
    """A default is not checked when it is used, so that a command need not import what knows the words."""
    for parameter in all_commands()[name].params:
        if parameter.default is not None and parameter.name in WORDS:
            assert parameter.default in load_object(WORDS[parameter.name])


@pytest.mark.parametrize("name", all_commands())
def test_the_words_of_every_option_can_be_found(name: str) -> None:
    command = all_commands()[name]
    context = typer.Context(command, info_name=name)
    for parameter in command.params:
        # what --set takes depends on what else the line says
        if getattr(parameter, "_custom_shell_complete", None) is not None and "--set" not in parameter.opts:
            assert parameter.shell_complete(context, ""), parameter.name
