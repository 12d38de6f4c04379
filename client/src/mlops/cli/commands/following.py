"""`logs`, `events` and `wait`: what goes on."""

from __future__ import annotations

import json
from typing import Any

import click

from mlops import finding
from mlops.cli import words
from mlops.cli.output import note, output_option, show_rows
from mlops.cli.session import (
    Session,
    cluster_option,
    complete_deployments,
    organization_option,
    pass_session,
)
from mlops.cli.tables import Column, plain
from mlops.cli.waiting import exit_code_of, show_progress
from mlops.finding import short
from mlops.following import ENDED, MissingOutputError


@click.command("logs")
@click.argument("name", shell_complete=complete_deployments)
@cluster_option
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt ends.")
@click.option("-n", "--tail", type=click.IntRange(0), help="The last lines alone.")
@click.option("-g", "--grep", metavar="TEXT", help="Lines that contain this text.")
@click.option("--since", metavar="WHEN", help="A duration such as 10m, or a time in RFC 3339.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin lines with their times.")
@click.option("--replica", type=click.IntRange(0), help="Of a gang, from 0.")
@click.option("--attempt", type=click.IntRange(1), help="Of an earlier attempt, from 1.")
@pass_session
def logs_(
    session: Session, name: str, cluster: str | None, follow: bool, since: str | None, **given: Any
) -> int:
    """Show the output of a deployment."""
    row = finding.deployment(session.client, name, cluster=session.cluster_or_none(cluster))
    selection = {key: value for key, value in given.items() if value not in {None, False}}
    if since:
        selection["since"] = moment(since)
    try:
        for line in row.logs(follow=follow, **selection):
            click.echo(line)
    except MissingOutputError as missing:
        note(f"mlops: no output: {missing}")
    return 0


def moment(text: str) -> str:
    """The time that `10m` before now, or a time in RFC 3339, means."""
    from datetime import timedelta  # few calls need it

    try:
        return (words.now() - timedelta(seconds=words.seconds_in(text))).isoformat()
    except ValueError:
        return text


@click.command("events")
@click.argument("name", required=False, shell_complete=complete_deployments)
@cluster_option
@organization_option
@click.option("-f", "--follow", is_flag=True, help="Go on as events happen.")
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--type", "kind", metavar="TYPE", help="Such as PREEMPTED.")
@output_option
@pass_session
def events_(
    session: Session,
    name: str | None,
    cluster: str | None,
    organization: str | None,
    follow: bool,
    limit: int,
    kind: str | None,
    form: str,
) -> None:
    """Show the timeline of a deployment, or what happens in the organization."""
    client = session.client
    filters: dict[str, Any] = {"type": kind} if kind else {}
    if name:
        row = finding.deployment(client, name, cluster=session.cluster_or_none(cluster))
        if not follow:
            found = [each for each in client.deployments.events(row) if kind in {None, each.type}]
            show_rows(form, found[-limit:], COLUMNS, name="type")
            return
        organization, filters["deployment_id"] = row["organization_id"], row["id"]
    else:
        organization = session.organization(organization)
        if cluster:
            filters["cluster"] = cluster
        if not follow:
            rows = list(client.organizations.events(organization, **filters))[-limit:]
            show_rows(form, rows, [*COLUMNS[:2], *OF_ALL, *COLUMNS[2:]], name="cursor")
            return
    for event in client.organizations.follow_events(
        organization, since=None if name else "now", **filters
    ):
        show_event(event, form)


def show_event(event: Any, form: str) -> None:
    """One event as a line."""
    if form == "json":
        click.echo(json.dumps(dict(event), ensure_ascii=False))
        return
    texts = [words.clock(event.at), f"{event.type:<12}", what(event), said_in(event)]
    click.echo("  ".join(text for text in texts if text))


def what(event: Any) -> str:
    """The deployment that an event is of, or what else it has happened to."""
    if event.get("name"):
        return plain(event["name"])
    target = event.get("target") or {}
    return plain(f"{target.get('type', '')} {target.get('name') or ''}".strip())


def said_in(event: Any) -> str:
    """What an event's details say, shortly."""
    details = event["details"]
    said = details.get("message") or details.get("said")
    by = details.get("by_name")
    texts = [said, f"by {by}" if by else None]
    texts += [
        f"{key}={details[key]}" for key in ("exit_code", "node", "reason") if details.get(key)
    ]
    return plain(" ".join(str(text) for text in texts if text))


COLUMNS = (
    (Column("AT"), lambda event: words.clock(event.at)),
    (Column("TYPE"), lambda event: event["type"]),
    (Column("BY", shrinks=True), lambda event: plain(event["actor"] or "")),
    (Column("DETAILS", shrinks=True), said_in),
)
OF_ALL = (
    (Column("WHAT", shrinks=True), what),
    (Column("ID"), lambda event: short(event["deployment_id"] or "")),
)


@click.command("wait")
@click.argument("names", nargs=-1, required=True, shell_complete=complete_deployments)
@cluster_option
@click.option("--until", metavar="STATUS", help="Such as RUNNING; an end ends every wait.")
@click.option("--timeout", type=words.Duration(), help="Give up after this time, such as 30m.")
@pass_session
def wait_(
    session: Session,
    names: tuple[str, ...],
    cluster: str | None,
    until: str | None,
    timeout: int | None,
) -> int:
    """Wait until deployments have ended.

    Ends with the exit code of the first that failed, else with 0.
    """
    where = session.cluster_or_none(cluster)
    rows = finding.deployments(session.client, names, cluster=where)
    wanted = tuple(until.upper().split(",")) if until else ENDED
    code = 0
    for row in rows:
        ended = show_progress(session.client, row, wanted, timeout)
        click.echo(f"{ended['id']} {plain(ended['name'])} {ended['status']}")
        if ended["status"] not in wanted or not until:
            code = code or exit_code_of(ended)
    return code
