"""`orgs`, `members` and `invite`."""

from __future__ import annotations

from typing import Any

import click

from mlops.cli import words
from mlops.cli.output import note, output_option, show_data, show_rows
from mlops.cli.session import Session, organization_option, pass_session
from mlops.cli.tables import Column, colored, plain

ROLES = click.Choice(["ADMIN", "DEVELOPER", "VIEWER"], case_sensitive=False)
COLUMNS = (
    (Column("NAME"), lambda row: plain(row["name"])),
    (Column("ROLE"), lambda row: row["role"]),
    (Column("ID"), lambda row: row["id"]),
)
MEMBERS = (
    (Column("USER"), lambda row: plain(row["username"])),
    (Column("ROLE"), lambda row: colored(row["role"])),
    (Column("SINCE"), lambda row: words.clock(row.joined_at)),
)

INVITATIONS = (
    (Column("ID"), lambda row: row["id"]),
    (Column("ROLE"), lambda row: row["role"]),
    (Column("STATE"), lambda row: row["state"]),
    (Column("LEFT", right=True), lambda row: str(row["uses_left"])),
    (Column("BY"), lambda row: plain(row["created_by"] or "")),
    (Column("EXPIRES"), lambda row: words.clock(row.expires_at)),
)


@click.group("orgs", invoke_without_command=True)
@output_option
@pass_session
def orgs_(session: Session, form: str) -> None:
    """List your organizations."""
    if click.get_current_context().invoked_subcommand is None:
        rows = session.client.organizations.list()
        empty = "You are a member of no organization: mlops orgs create, or mlops orgs join."
        show_rows(form, rows, COLUMNS, name="name", empty=empty)


@orgs_.command("create")
@click.argument("name")
@pass_session
def create(session: Session, name: str) -> None:
    """Make an organization, of which you are an ADMIN."""
    click.echo(session.client.organizations.create(name=name)["id"])


@orgs_.command("join")
@click.argument("code")
@pass_session
def join(session: Session, code: str) -> None:
    """Join an organization with an invite code."""
    joined = session.client.organizations.join(invite_code=code)
    click.echo(f"{plain(joined['organization'])}: {joined['role']}")


@orgs_.command("leave")
@click.argument("name")
@pass_session
def leave(session: Session, name: str) -> None:
    """Leave an organization."""
    session.client.organizations.leave(name)
    click.echo(f"You are no member of {plain(name)} any more.")


@click.group("members", invoke_without_command=True)
@organization_option
@output_option
@pass_session
def members_(session: Session, organization: str | None, form: str) -> None:
    """List the members of an organization."""
    click.get_current_context().meta["organization"] = organization
    if click.get_current_context().invoked_subcommand is None:
        rows = session.client.members.list(session.organization(organization))
        show_rows(form, rows, MEMBERS, name="username")


def _organization(session: Session, given: str | None) -> Any:
    return session.organization(given or click.get_current_context().meta.get("organization"))


@members_.command("role")
@click.argument("user")
@click.argument("role", type=ROLES)
@organization_option
@pass_session
def role(session: Session, user: str, role: str, organization: str | None) -> None:
    """Give a member another role."""
    where = _organization(session, organization)
    changed = session.client.members.change(where, user, role=role.upper())
    click.echo(f"{plain(changed['username'])} is {changed['role']}")


@members_.command("rm")
@click.argument("user")
@organization_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, user: str, organization: str | None, yes: bool) -> int:
    """Remove a member, whom no code lets in again."""
    where = _organization(session, organization)
    if session.has_person and not yes and not click.confirm(f"Remove {user}?", err=True):
        return 1
    session.client.members.remove(where, user)
    click.echo(f"{plain(user)} is removed")
    return 0


@click.command("invite")
@click.argument("role", type=ROLES, default="DEVELOPER")
@organization_option
@click.option("--email", metavar="ADDRESS", help="Mail the link, where the platform sends mail.")
@click.option("--uses", "max_uses", type=click.IntRange(1), help="For so many users.")
@click.option("--for", "expires_in_s", type=words.Duration(), help="For so long, such as 7d.")
@click.option("--list", "lists", is_flag=True, help="List the invitations instead.")
@click.option("--revoke", metavar="ID", help="Revoke an invitation instead.")
@output_option
@pass_session
def invite_(
    session: Session,
    role: str,
    organization: str | None,
    lists: bool,
    revoke: str | None,
    form: str,
    **limits: Any,
) -> None:
    """Invite users to an organization: print a link that lets them join in ROLE."""
    where = session.organization(organization)
    invitations = session.client.invitations
    if lists:
        show_rows(form, invitations.list(where), INVITATIONS, empty="There are no invitations.")
    elif revoke:
        invitations.revoke(where, revoke)
        click.echo(f"{revoke} is revoked")
    else:
        given = {name: value for name, value in limits.items() if value}
        issued = invitations.create(where, role=role.upper(), **given)
        if form in {"json", "yaml"}:
            show_data(form, dict(issued))
            return
        click.echo(issued["link"] or issued["token"] or issued["id"])
        note(issued["note"])
