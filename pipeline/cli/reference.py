"""`python -m pipeline.cli.reference > docs/cli.md`: every command with its help, as a page."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from pipeline.cli.app import app

_HEAD = """# The command line

Made from the help texts by `python -m pipeline.cli.reference > docs/cli.md`; change them, not this page. Exit codes:
0 done, 1 failed, 2 wrong use, 3 done with bad rows, 130 stopped by Ctrl-C. An error is one sentence; with `--debug`,
which any command takes, it is a traceback.
"""


def page() -> str:
    """The whole page, as Markdown."""
    root = typer.main.get_command(app)
    return "\n".join([_HEAD, *_sections(root, "crisis")])


def _sections(command: Any, name: str) -> Iterator[str]:
    """A section for the command, then one for each of its own commands."""
    if name != "crisis":
        arguments = [_argument(one) for one in _shown(command) if not one.opts[0].startswith("-")]
        yield f"## `{' '.join([name, *arguments])}`\n"
        yield inspect.cleandoc(command.help or "") + "\n"
        yield from _tables(command)
    for own, inner in getattr(command, "commands", {}).items():
        yield from _sections(inner, f"{name} {own}")


def _tables(command: Any) -> Iterator[str]:
    """One table per panel of flags, in the order in which the panels first appear."""
    panels: dict[str, list[Any]] = {}
    for parameter in _shown(command):
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(parameter)
    for panel, parameters in panels.items():
        yield f"| {panel or 'flag'} | | default |\n| --- | --- | --- |"
        yield "\n".join(_row(parameter) for parameter in parameters) + "\n"


def _shown(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]


def _argument(parameter: Any) -> str:
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    flags = [f"`{name if name.startswith('-') else _argument(parameter)}`" for name in names]
    help_text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| {', '.join(flags)} | {help_text} | {_default(parameter)} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default in (None, False, [], ()):
        return ""
    value = parameter.default.as_posix() if isinstance(parameter.default, Path) else parameter.default
    return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
