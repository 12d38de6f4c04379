"""What a command knows of its caller: the client, the cluster in use, and whether to ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, TypeVar

import click

from mlops import Client, errors

F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """One call of the command."""

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile

    @cached_property
    def client(self) -> Client:
        return Client(profile=self._profile)

    @property
    def profile_name(self) -> str | None:
        return self._profile

    @property
    def has_person(self) -> bool:
        """Whether questions may be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def cluster_or_none(self, given: str | None) -> str | None:
        """The cluster that is named, or the one in use; None where there is neither."""
        if given:
            return given.rpartition("/")[2]
        profile = self.client.profile
        return os.environ.get("MLOPS_CLUSTER") or (profile.cluster if profile else "") or None

    def cluster(self, given: str | None) -> str:
        """The cluster that is named, or the one in use, or the only one there is."""
        found = self.cluster_or_none(given)
        if found:
            return found
        names = [cluster["name"] for cluster in self.client.clusters.list(at_most=20)]
        if len(names) == 1:
            return str(names[0])
        if not names:
            raise errors.NothingFitsError("There is no cluster that you may see.")
        known = ", ".join(names)
        raise click.UsageError(f"Which cluster? Say --cluster, or `mlops use CLUSTER`: {known}.")

    def organization(self, given: str | None) -> str:
        """The organization that is named, or the one in use, or the only one there is."""
        profile = self.client.profile
        found = given or os.environ.get("MLOPS_ORGANIZATION")
        found = found or (profile.organization if profile else "")
        if found:
            return found
        names = [each["name"] for each in self.client.organizations.list()]
        if len(names) == 1:
            return str(names[0])
        if not names:
            raise errors.NothingFitsError("You are a member of no organization.")
        known = ", ".join(names)
        raise click.UsageError(f"Which organization? Say --org, or `mlops use ORG`: {known}.")


def pass_session(command: Callable[..., Any]) -> Callable[..., Any]:
    """Call a command with its session before its options."""

    @wraps(command)
    def with_session(**options: Any) -> Any:
        return command(click.get_current_context().ensure_object(Session), **options)

    return with_session


def cluster_option(command: F) -> F:
    """`--cluster`, as all commands take it."""
    option = click.option(
        "-c",
        "--cluster",
        metavar="CLUSTER",
        help="Instead of the cluster in use.",
        shell_complete=_complete_clusters,
    )
    return option(command)


def organization_option(command: F) -> F:
    """`--org`, as all commands take it."""
    option = click.option("--org", "organization", metavar="ORG", help="Instead of the one in use.")
    return option(command)


def _complete_clusters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return complete(lambda client: client.clusters.list(), incomplete)


def complete_deployments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the latest deployments, for the shell."""
    return complete(lambda client: client.deployments.list(fields="name", at_most=200), incomplete)


def complete(rows: Callable[[Client], Any], incomplete: str) -> list[str]:
    """Names that begin so. A shell that completes shows no error: without an answer, none."""
    try:
        with Client(retries=0) as client:
            names = {str(row["name"]) for row in rows(client)}
    except errors.MlopsError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))
