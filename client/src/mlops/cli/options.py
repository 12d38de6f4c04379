"""Options that several commands take, and what their texts mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Gpus(click.ParamType):
    """A number of GPUs, or `all` of a node's."""

    name = "gpus"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        if isinstance(value, int) or value == "all":
            return value
        if not str(value).isdigit():
            self.fail(f"{value!r} is neither a number nor 'all'.", param, ctx)
        return int(value)


def amount(text: str | None) -> str | float | None:
    """A number stays one; a text with a unit goes to the platform as it is."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _amount(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    return amount(value)


def _memory(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    if value is not None and value.isdigit():
        raise click.BadParameter(f"Say a unit: {value}Mi or {value}Gi.", ctx, param)
    return value


def amount_options(command: F) -> F:
    """`--gpu`, `--cpu` and `--ram`, under the names of a submit's fields."""
    options = (
        click.option("-g", "--gpu", "required_gpu", type=Gpus(), help="GPUs, or all of a node's."),
        click.option("--cpu", "required_cpu", callback=_amount, help="Cores, such as 2 or 500m."),
        click.option("--ram", "required_ram", callback=_memory, help="Memory, such as 16Gi."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping."""
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint=option)
        found[name] = value
    return found


def environment(texts: Sequence[str]) -> dict[str, str]:
    """As `pairs`, where a name alone takes the value that the variable has here."""
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            if name not in os.environ:
                raise click.BadParameter(f"{name} has no value here.", param_hint="--env")
            value = os.environ[name]
        found[name] = value
    return found
