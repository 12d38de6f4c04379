"""Writes the tables of docs/reference/cli.md from the commands themselves: `make reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from mlops.cli.main import SECTIONS, app

PAGE = Path(__file__).resolve().parents[1] / "docs/reference/cli.md"
COMMON = {"--cluster", "--org", "--output"}
"""Options that the page explains once."""
BEGIN = "<!-- From here on made by `make reference`. -->\n"


def tables() -> str:
    """A table for each section, a row for each command."""
    context = click.Context(app, info_name="mlops")
    parts = []
    for section, names in SECTIONS.items():
        rows = "\n".join(row for name in names for row in _rows(context, name))
        parts.append(f"## {section}\n\n| command | does | options |\n|---|---|---|\n{rows}\n")
    return BEGIN + "\n" + "\n".join(parts)


def write() -> None:
    before = PAGE.read_text().partition(BEGIN)[0]
    PAGE.write_text(before + tables())


def _rows(context: click.Context, name: str) -> Iterator[str]:
    assert isinstance(context.command, click.Group)
    command = context.command.get_command(context, name)
    assert command is not None
    below = click.Context(command, info_name=name, parent=context)
    arguments = [
        param.make_metavar(below) for param in command.params if isinstance(param, click.Argument)
    ]
    usage = " ".join([below.command_path, *arguments])
    text = " ".join(inspect.cleandoc(command.help or "").split())
    yield f"| `{_cell(usage)}` | {_cell(text)} | {_cell(_options(below, command))} |"
    if isinstance(command, click.Group):
        for each in command.list_commands(below):
            yield from _rows(below, each)


def _options(context: click.Context, command: click.Command) -> str:
    options = []
    for param in command.params:
        if isinstance(param, click.Option) and param.opts[-1] not in COMMON:
            names = ", ".join(sorted(param.opts, key=len) + param.secondary_opts)
            takes = "" if param.is_flag else f" {_metavar(param, context)}"
            text = (param.help or "").rstrip(".")
            if not text[1:2].isupper():
                text = text[:1].lower() + text[1:]
            options.append(f"`{names}{takes}` {text}")
    return "; ".join(each.strip() for each in options)


def _metavar(param: click.Option, context: click.Context) -> str:
    if isinstance(param.type, click.Choice):
        return "|".join(str(choice) for choice in param.type.choices)
    return "N" if isinstance(param.type, click.IntRange) else param.make_metavar(context)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write()
