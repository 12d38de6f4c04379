"""The forms of an answer: `-o json|yaml|wide|name`, or a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import click

from mlops.cli.tables import Column, table, wide, width_of_terminal
from mlops.records import Record

FORMS: Final = ("table", "wide", "json", "yaml", "name")
F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """`-o`, as all commands that show something take it."""
    option = click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(FORMS),
        default="table",
        help="json and yaml have all fields of the API; name is what other commands take.",
    )
    return option(command)


def show_rows(
    form: str,
    rows: Iterable[Record],
    columns: Sequence[tuple[Column, Callable[[Any], str]]],
    more: Sequence[tuple[Column, Callable[[Any], str]]] = (),
    name: str = "id",
    empty: str = "",
) -> None:
    """Show records in a form; `more` are the columns of `wide`, and `empty` is said on stderr where
    a table would have no row."""
    found = list(rows)
    if form in {"json", "yaml"}:
        show_data(form, [dict(row) for row in found])
    elif form == "name":
        for row in found:
            click.echo(row[name])
    elif not found and empty:
        click.echo(empty, err=True)
    else:
        shown = [*columns, *(more if form == "wide" else ())]
        for line in lines_of(found, shown, cut=form != "wide"):
            click.echo(line)


def lines_of(
    rows: Sequence[Record],
    columns: Sequence[tuple[Column, Callable[[Any], str]]],
    cut: bool = True,
) -> list[str]:
    """The lines of a table of records, cut to the terminal's width unless they are to be whole."""
    cells = [[of(row) for _, of in columns] for row in rows]
    return table([column for column, _ in columns], cells, width_of_terminal() if cut else None)


def show_one(form: str, row: Record, text: Callable[[], Iterable[str]], name: str = "id") -> None:
    """Show one record in a form; as a table it is `text`."""
    if form in {"json", "yaml"}:
        show_data(form, dict(row))
    elif form == "name":
        click.echo(row[name])
    else:
        for line in text():
            click.echo(line)


def show_data(form: str, data: Any) -> None:
    """JSON in the order of the API, or YAML."""
    if form == "json":
        json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
        click.echo()
        return
    import yaml  # takes time that other forms do not need

    yaml.safe_dump(data, sys.stdout, sort_keys=False, allow_unicode=True)


def note(text: str) -> None:
    """A word to the person, beside the output."""
    click.echo(text, err=True)


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """`label  value` in two columns, folded to the terminal; pairs without a value are left out."""
    shown = [(label, value) for label, value in pairs if value]
    size = max((len(label) for label, _ in shown), default=0)
    lines = []
    for label, value in shown:
        texts = [part for line in value.split("\n") for part in folded(line, size + 2)]
        lines.append(click.style(f"{label:<{size}}", bold=True) + "  " + texts[0])
        lines += [" " * (size + 2) + text for text in texts[1:]]
    return lines


def folded(text: str, indent: int = 0) -> list[str]:
    """A sentence in lines that fit the terminal behind `indent`; what goes elsewhere stays one."""
    width = width_of_terminal()
    if width is None or wide(text) <= width - indent:
        return [text]
    import textwrap  # short texts do not need it

    return textwrap.wrap(text, max(20, width - indent), break_on_hyphens=False) or [""]
