"""`keys`: API keys, your own and those of an organization."""

from __future__ import annotations

from typing import Any

import click

from mlops.cli import words
from mlops.cli.output import note, output_option, show_data, show_rows
from mlops.cli.session import Session, pass_session
from mlops.cli.tables import Column, plain

COLUMNS = (
    (Column("NAME"), lambda row: plain(row["name"])),
    (Column("MAY"), lambda row: str(row.get("scope") or row.get("role") or "")),
    (Column("BEGINS"), lambda row: row["start"]),
    (Column("LAST USED"), lambda row: words.clock(row.last_used_at)),
    (Column("EXPIRES"), lambda row: words.clock(row.expires_at)),
)


@click.group("keys", invoke_without_command=True)
@click.option("--org", "organization", metavar="ORG", help="Keys of an organization.")
@output_option
@pass_session
def keys_(session: Session, organization: str | None, form: str) -> None:
    """List API keys: your own, or with --org those of an organization."""
    click.get_current_context().meta["organization"] = organization
    if click.get_current_context().invoked_subcommand is None:
        client = session.client
        rows: Any = (
            client.organization_keys.list(organization) if organization else client.keys.list()
        )
        show_rows(form, rows, COLUMNS, name="name", empty="There are no keys.")


@keys_.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "submit", "manage"]), default="submit")
@click.option("--role", type=click.Choice(["ADMIN", "DEVELOPER", "VIEWER"], case_sensitive=False))
@click.option("--for", "expires_in_s", type=words.Duration(), help="It lives so long, such as 30d.")
@output_option
@pass_session
def create(
    session: Session,
    name: str,
    scope: str,
    role: str | None,
    expires_in_s: int | None,
    form: str,
) -> None:
    """Make a key, and print it: it is shown this once. Those of an organization have a --role."""
    organization = click.get_current_context().meta.get("organization")
    end: dict[str, Any] = {} if expires_in_s is None else {"expires_in_s": expires_in_s}
    client = session.client
    key: Any
    if organization:
        wanted = (role or "DEVELOPER").upper()
        key = client.organization_keys.create(organization, name=name, role=wanted, **end)
    elif role:
        raise click.UsageError("A key of your own has a --scope: keys of an organization a --role.")
    else:
        key = client.keys.create(name=name, scope=scope, **end)
    if form in {"json", "yaml"}:
        show_data(form, dict(key))
        return
    click.echo(key["key"])
    note("This is the only time that it is shown.")


@keys_.command("revoke")
@click.argument("name")
@pass_session
def revoke(session: Session, name: str) -> None:
    """Revoke a key: the next call with it is refused."""
    organization = click.get_current_context().meta.get("organization")
    if organization:
        session.client.organization_keys.delete(organization, name)
    else:
        session.client.keys.delete(name)
    click.echo(f"{plain(name)} is revoked")
