"""The help pages: sections, the common options first, as wide as the terminal, painted only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest

from pipeline.cli.groups import PANELS, DatasetFlags, ProtocolFlags, SeedFlags, SourceFlags
from tests.pipeline.cli_support import all_commands, on_terminal

Run = Callable[..., tuple[int, str, str]]
COMMANDS = all_commands()
COLUMNS = "Columns of a table"


def headings(page: str) -> list[str]:
    return [line[:-1] for line in page.splitlines() if line.endswith(":") and not line.startswith(" ")]


def test_alone_crisis_and_its_groups_show_their_help(run: Run) -> None:
    assert run()[:2] == run("--help")[:2] == run("-h")[:2]
    assert run("cache")[:2] == run("cache", "-h")[:2]
    assert run()[0] == 0


def test_the_commands_stand_in_sections_and_the_exit_codes_are_said(run: Run) -> None:
    page = run("-h")[1]
    assert [name.split(":")[0] for name in headings(page)][:4] == ["Stage one", "Stage two", "Results", "Look around"]
    assert all(name.split()[0] in page for name in COMMANDS)
    assert "130 stopped by Ctrl-C" in " ".join(page.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json_and_every_option_a_meaning_and_a_section(run: Run, name: str) -> None:
    code, page, _ = run(*name.split(), "-h")
    assert code == 0
    assert page == run(*name.split(), "--help")[1]
    assert "--json" in page
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page
    for parameter in COMMANDS[name].params:
        if getattr(parameter, "hidden", False):
            continue
        assert parameter.help, parameter.name
        assert parameter.param_type_name == "argument" or (parameter.rich_help_panel or "Options") in PANELS


def test_the_common_options_come_first(run: Run) -> None:
    page = run("fit-head", "-h")[1]
    assert headings(page) == [
        "Options",
        "Dataset",
        "Views",
        "Seeds",
        "Split",
        "Balancing",
        COLUMNS,
        "Running",
        "Output",
    ]
    options = [line.split()[0] for line in page.splitlines() if line.startswith("  --")]
    assert options[:2] == ["--head", "--task"]
    assert options.index("--data") == 4
    assert options.index("--model") < options.index("--text-column") < options.index("--cache")


def test_a_group_stands_in_its_section_of_every_command() -> None:
    for group, command in ((SourceFlags, "sweep"), (ProtocolFlags, "zero-shot"), (DatasetFlags, "data stats")):
        panels = {parameter.name: parameter.rich_help_panel for parameter in COMMANDS[command].params}
        assert {panels[field.name] for field in fields(group)} - {COLUMNS} == {group.PANEL}
    assert SeedFlags.PANEL in PANELS


def test_defaults_are_shown_and_zero_is_one(run: Run) -> None:
    page = " ".join(run("fit-head", "-h")[1].split())
    assert "How many seeds. [default: 5]" in page
    assert "The first seed. [default: 0]" in page
    assert "False" not in page
    assert "[required]" in run("data", "make", "-h")[1]


def test_a_page_fills_a_terminal_and_is_painted_there_alone() -> None:
    narrow, wide = (on_terminal("fit-head", "-h", columns=columns) for columns in (60, 100))
    assert "\x1b[1mOptions:\x1b[0m" in wide
    assert max(map(len, narrow.splitlines())) <= 60
    assert 80 < max(map(len, wide.splitlines())) <= 100
    assert "\x1b" not in on_terminal("-h", NO_COLOR="1")
    assert "\x1b" not in on_terminal("-h", TERM="dumb")


def test_the_version_is_printed(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.strip()[0].isdigit()
