"""Wrong use is one sentence that names the nearest thing there is, and one object where --json was asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import output
from tests.pipeline.cli_support import all_commands
from tests.pipeline.test_cli import small_table

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit_head"], "There is no command 'fit_head' (did you mean 'fit-head'?); `crisis -h` lists them."),
        (["FitHead"], "There is no command 'FitHead' (did you mean 'fit-head'?); `crisis -h` lists them."),
        (["cache", "lst"], "There is no command 'lst' (did you mean 'ls'?); `crisis cache -h` lists them."),
        (["zzz"], "There is no command 'zzz'; `crisis -h` lists them."),
        (["cache", "--yes"], "There is no option '--yes'; `crisis cache -h` lists them."),
        (["fit-head", "--had", "mlp"], "There is no option '--had' (did you mean '--head'?)"),
        (["fit-head", "--text_column", "x"], "There is no option '--text_column' (did you mean '--text-column'?)"),
        (["fit-head", "--head"], "Option '--head' requires an argument"),
        (["fit-head", "--seeds", "ten"], "--seeds takes a whole number from 1 to 10,000."),
        (["fit-head", "--seeds", "0"], "--seeds takes a whole number from 1 to 10,000."),
        (["fit-head", "--workers", "0"], "--workers takes a whole number of at least 1."),
        (["fit-head", "--mix-share", "x"], "--mix-share takes a number."),
        (["data", "make"], "--output is missing: the folder to draw into"),
        (["fuse"], "RUNS is missing: two or more run folders"),
        (["heads", "mlp", "concat"], "`crisis heads -h` says what there is."),
        (["sweep", "--metric", "macro-f1"], "There is no metric 'macro-f1' (did you mean 'macro_f1'?); choose one of"),
        (["sweep", "--overwrite", "alway"], "There is no overwrite 'alway' (did you mean 'always'?)"),
        (["fit-head", "--preset", "papr"], "There is no preset 'papr' (did you mean 'paper'?); choose one of fast"),
        (["fit-head", "--split", "evnt"], "There is no split 'evnt' (did you mean 'event'?)"),
        (["fuse", "a", "b", "--rule", "MEAN"], "There is no rule 'MEAN' (did you mean 'mean'?)"),
        (["extract", "--precision", "fp61"], "There is no precision 'fp61' (did you mean 'fp16'?)"),
        (["extract", "--on-error", "skp"], "There is no on-error 'skp' (did you mean 'skip'?)"),
    ],
)
def test_wrong_use_is_one_sentence_with_the_nearest_name(run: Run, arguments: list[str], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sentence in err
    code, out, told = run(*arguments, "--json")
    assert code == 2
    found = json.loads(out)
    assert set(found) == {"error", "exit_code"}
    assert found["exit_code"] == 2
    assert told.startswith("error: ")


@pytest.mark.parametrize("name", all_commands())
def test_every_command_answers_wrong_use_with_one_object(run: Run, name: str) -> None:
    code, out, _ = run(*name.split(), "--json", "--no-such-option")
    assert code == 2
    assert json.loads(out)["error"].startswith("There is no option '--no-such-option'")


def test_ctrl_c_is_130_and_one_object(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.runs.run.Run.open", interrupted)
    code, out, err = run("fuse", "a", "b")
    assert (code, out, err) == (130, "", "error: Stopped by Ctrl-C.\n")
    code, out, _ = run("fuse", "a", "b", "--json")
    assert code == 130
    assert json.loads(out) == {"error": "Stopped by Ctrl-C.", "exit_code": 130}


def test_a_result_and_what_failed_after_it_are_one_object(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        output.print_json({"done": 1})
        raise OSError("no space left")

    monkeypatch.setattr("pipeline.runs.run.Run.open", failing)
    code, out, err = run("fuse", "a", "b", "--json")
    assert code == 1
    assert json.loads(out) == {"done": 1, "error": "no space left", "exit_code": 1}
    assert err == "error: no space left\n"


def test_a_bug_shows_its_traceback_and_is_an_object_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("pipeline.runs.run.Run.open", broken)
    with pytest.raises(ZeroDivisionError):
        run("fuse", "a", "b", "--json")
    assert json.loads(capsys.readouterr().out) == {"error": "ZeroDivisionError: division by zero", "exit_code": 1}


def test_debug_shows_the_traceback_of_one_of_our_errors(run: Run) -> None:
    from pipeline.errors import UsageError

    with pytest.raises(UsageError):
        run("cache", "ls", "--debug")


def test_wrong_use_imports_nothing_heavy() -> None:
    import subprocess

    script = (
        "import sys\n"
        "from pipeline.__main__ import main\n"
        "sys.argv = ['crisis', 'fit-head', '--had']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'numpy', 'h5py', 'pandas', 'sklearn'} & set(sys.modules))\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_what_is_typed_cannot_act_on_the_terminal(run: Run) -> None:
    _, _, err = run("\x1b[31mred")
    assert "\x1b" not in err
    assert "\\u001b[31mred" in err


def test_a_mistyped_view_or_event_is_answered_with_the_nearest(run: Run, tmp_path: Path) -> None:
    data = ["--data", str(small_table(tmp_path / "t")), "--event-column", "event"]
    assert run("extract", "--model", "classic", *data)[0] == 0
    fit = ["fit-head", "--head", "logistic", "--seeds", "1", *data]
    assert "(did you mean 'text/hashed'?); it has text/hashed" in run(*fit, "--text", "classic:text/hash")[2]
    assert "There is no event 'E_1' (did you mean 'e1'?)" in run(*fit, "--split", "event", "--test-event", "E_1")[2]
