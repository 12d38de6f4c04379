"""The command's entry: which module has which command, and which exit code an error means."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final, NoReturn

import click

import mlops
from mlops import errors
from mlops.cli.session import Session

FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
REFUSED: Final = 4
UNREACHABLE: Final = 5
INTERRUPTED: Final = 130

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Run": {
        "run": "running",
        "sweep": "sweeping",
        "quote": "running",
        "validate": "running",
    },
    "Look": {
        "ps": "listing",
        "show": "listing",
        "why": "why",
        "logs": "following",
        "events": "following",
        "wait": "following",
        "open": "opening",
    },
    "Steer": {
        "stop": "steering",
        "rerun": "steering",
        "priority": "steering",
        "change": "steering",
    },
    "Clusters": {
        "clusters": "clusters",
        "nodes": "nodes",
        "queue": "clusters",
        "top": "clusters",
        "cycles": "clusters",
        "cordon": "nodes",
        "drain": "nodes",
        "uncordon": "nodes",
        "quota": "quotas",
    },
    "Organization and account": {
        "login": "account",
        "logout": "account",
        "profiles": "account",
        "use": "account",
        "whoami": "account",
        "orgs": "organizations",
        "members": "organizations",
        "invite": "organizations",
        "usage": "accounting",
        "keys": "keys",
        "completion": "opening",
    },
}
"""The commands as `mlops --help` lists them, with the module that has each."""
MODULES: Final = {name: module for each in SECTIONS.values() for name, module in each.items()}


class LazyGroup(click.Group):
    """Imports the module of the command that is called, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = MODULES.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            import_module(f"mlops.cli.commands.{module}"), f"{cmd_name}_"
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in MODULES and not args[0].startswith("-"):
            near = get_close_matches(args[0], MODULES, 1)
            meant = f" Did you mean {near[0]!r}?" if near else " `mlops --help` lists them."
            raise click.UsageError(f"There is no command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in SECTIONS.items():
            commands = ((name, self.get_command(ctx, name)) for name in names)
            rows = [(name, each.get_short_help_str(80)) for name, each in commands if each]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option("--profile", metavar="NAME", help="The login to use, instead of the one in use.")
@click.version_option(mlops.__version__, prog_name="mlops")
@click.pass_context
def app(ctx: click.Context, profile: str | None) -> None:
    """Run jobs on a cluster, see what runs, and why what waits does.

    Wherever a deployment is named, its name, its id, the beginning of its id, or a pattern such as
    'lr-*' may stand. `mlops COMMAND --help` says more.
    """
    ctx.obj = Session(profile)
    # https://no-color.org and https://force-color.org; else colors go to terminals alone.
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    elif os.environ.get("FORCE_COLOR"):
        ctx.color = True


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """What the command `mlops` runs."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        result = app.main(arguments, prog_name="mlops", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # `mlops ps | head`: what reads has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except TimeoutError as error:
        click.echo(f"mlops: {error}", err=True)
        return FAILED
    except errors.MlopsError as error:
        click.echo(f"mlops: {error}", err=True)
        for line in getattr(error, "candidates", ()):
            click.echo(f"  {line}", err=True)
        return code_of(error)
    return result if isinstance(result, int) else 0


def code_of(error: errors.MlopsError) -> int:
    """The exit code that an error means."""
    if isinstance(error, errors.UnreachableError):
        return UNREACHABLE
    if isinstance(error, (errors.NotFoundError, errors.NothingFitsError)):
        return NOT_FOUND
    if isinstance(error, (errors.AmbiguousError, errors.JobFileError)):
        return USAGE
    if isinstance(error, (errors.ApiError, errors.NotLoggedInError)):
        return REFUSED
    return FAILED
