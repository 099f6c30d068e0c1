"""How a command is declared, and how it shows its help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from pipeline.cli.groups import PANELS, grouped
from pipeline.cli.output import bold
from pipeline.errors import Stopped, UsageError

WIDEST = 100


def new_app(help: str, **settings: Any) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        help=help,
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
        **settings,
    )


def add(app: typer.Typer, name: str, function: Callable[..., None], section: str | None = None) -> None:
    """`function` as the command `name` of `app`, in this section of its help."""
    app.command(name, cls=Command, rich_help_panel=section)(grouped(function))


class Command(TyperCommand):
    """A command whose options stand in sections, the common ones first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)


class Group(TyperGroup):
    """Commands in sections. Alone it shows its help; what does not exist is refused with the nearest name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            from crisis_registry import did_you_mean

            near = did_you_mean(name, self.list_commands(ctx))
            raise UsageError(f"There is no command '{name}'{near}; `{ctx.command_path} -h` lists them.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped from None

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            section = command.rich_help_panel or "Commands"
            sections.setdefault(section, []).append((name, _first_sentence(command.help)))
        _write_sections(sections, formatter)
        _write_options(self, ctx, formatter)


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
    for parameter in command.get_params(ctx):
        if not getattr(parameter, "hidden", False):
            rows = sections.setdefault(_panel(parameter, command), [])
            rows.append((_signature(parameter), _explained(parameter, ctx)))
    _write_sections(sections, formatter)


def _panel(parameter: Any, command: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    if parameter.name == "help" and isinstance(command, Command):
        return "Output"
    return getattr(parameter, "rich_help_panel", None) or "Options"


def _signature(parameter: Any) -> str:
    """ "-q, --quiet", "--seeds N", "RUN..." """
    if parameter.param_type_name == "argument":
        return f"{parameter.metavar}..." if parameter.nargs != 1 else str(parameter.metavar)
    names = ", ".join(sorted(parameter.opts, key=len))
    return f"{names} {parameter.metavar}" if parameter.metavar else names


def _explained(parameter: Any, ctx: Any) -> str:
    if parameter.required:
        return f"{parameter.help} [required]"
    default = None if parameter.is_eager else parameter.get_default(ctx, call=False)
    return str(parameter.help) if default is None or default is False else f"{parameter.help} [default: {default}]"


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def _write_sections(sections: Mapping[str, list[tuple[str, str]]], formatter: Any) -> None:
    """Headings with their rows below, in columns that are aligned over all sections."""
    filled = {name: rows for name, rows in sections.items() if rows}
    widest = max((len(first) for rows in filled.values() for first, _ in rows), default=0)
    for name, rows in filled.items():
        formatter.write_paragraph()
        formatter.write(f"{bold(f'{name}:')}\n")
        with formatter.indentation():
            formatter.write_dl([(first.ljust(widest), second) for first, second in rows])
