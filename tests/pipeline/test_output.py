"""Tables that fit a terminal, plain in a pipe; nothing that a dataset holds acts on a terminal."""

from __future__ import annotations

import json
import sys

import pytest

from pipeline import log
from pipeline.cli import output
from tests.pipeline.cli_support import on_terminal

HOSTILE = "\x1b[2J\x9b31m\u202egnp.exe\x07\r\n"
ROWS = [
    ["bert", "12.5 ± 0.3", "a summary that takes more than one line on a narrow terminal"],
    ["dinov2", "-", "short"],
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Standard output is a terminal of 44 columns without colours."""
    monkeypatch.setattr(output, "_on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "44")
    monkeypatch.setenv("NO_COLOR", "1")
    return monkeypatch


def test_in_a_pipe_a_row_is_a_line_and_numbers_stand_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["model", "macro-F1", "what it is"], ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "model     macro-F1  what it is",
        "------  ----------  ------------------------------------------------------------",
        "bert    12.5 ± 0.3  a summary that takes more than one line on a narrow terminal",
        "dinov2           -  short",
    ]


def test_on_a_terminal_long_cells_are_broken_and_names_and_numbers_stay_whole(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_table(["model", "macro-F1", "what it is"], ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "model     macro-F1  what it is",
        "------  ----------  ------------------------",
        "bert    12.5 ± 0.3  a summary that takes",
        "                    more than one line on a",
        "                    narrow terminal",
        "dinov2           -  short",
    ]


def test_headings_break_before_anything_else_of_a_number_column(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", "24")
    output.print_table(["head", "majority macro-F1", "p (posts)"], [["concat", "12.30", "<0.001"]])
    assert capsys.readouterr().out.splitlines()[0] == "head    majority        p"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_list_of_heads_is_no_wider_than_the_terminal(columns: int) -> None:
    shown = on_terminal("heads", columns=columns, NO_COLOR="1")
    assert "guided_ca" in shown
    assert max(len(line) for line in shown.splitlines() if not line.startswith("*")) <= columns


def test_colour_on_a_terminal_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output.print_table(["model"], [["bert"]])
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    output.print_table(["model"], [["bert"]])
    assert "\x1b[1mmodel\x1b[0m" in capsys.readouterr().out


def test_wide_characters_take_two_places(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["event", "posts"], [["洪水", "3"], ["flood", "4"]])
    assert capsys.readouterr().out.splitlines()[2:] == ["洪水       3", "flood      4"]


def test_a_table_without_rows_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["event", "posts"], [])
    assert capsys.readouterr().out == "event  posts\n-----  -----\n"


def test_control_characters_are_written_out_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["post"], [[HOSTILE]])
    output.print_line(HOSTILE)
    output.print_facts(HOSTILE, {"text": HOSTILE})
    output.print_json({HOSTILE: HOSTILE})
    output.flush(json=True)
    log.say(HOSTILE)
    log.warn(HOSTILE)
    log.error(HOSTILE)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert not set("\x1b\x9b\u202e\x07\r") & set(text)
        assert "\\u001b[2J" in text


def test_json_says_the_same_after_control_characters_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"post": f"{HOSTILE}é洪水\udc80"}
    output.print_json(content)
    output.flush(json=True)
    assert json.loads(capsys.readouterr().out) == content


def test_a_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.warn("one\n  two")
    assert capsys.readouterr().err == "warning: one two\n"


def test_nothing_is_printed_for_a_command_that_had_no_object(capsys: pytest.CaptureFixture[str]) -> None:
    output.flush(json=False, error="failed", code=1)
    output.flush(json=True)
    assert capsys.readouterr().out == ""
