"""`usage`: what was allocated to whom, and what it cost."""

from __future__ import annotations

from typing import Any, Final

import click

from mlops.cli import words
from mlops.cli.output import note, output_option, show_data
from mlops.cli.session import Session, organization_option, pass_session
from mlops.cli.tables import Column, plain, table, width_of_terminal

AMOUNTS: Final = (
    (Column("GPU HOURS", right=True), "gpu_hours"),
    (Column("LOST", right=True), "lost_gpu_hours"),
    (Column("CORE HOURS", right=True), "core_hours"),
    (Column("GIB HOURS", right=True), "gib_hours"),
    (Column("WAITED H", right=True), "waiting_hours"),
    (Column("STARTED", right=True), "started"),
    (Column("FAILED", right=True), "failed"),
    (Column("EVICTED", right=True), "evicted"),
    (Column("COST", right=True), "cost"),
)
LOSSES: Final = ("eviction", "failure", "node_loss")


@click.command("usage")
@click.option(
    "--by",
    "group_by",
    default="user",
    show_default=True,
    metavar="GROUP,...",
    help="Any of user, cluster, priority, label, day, node_label.",
)
@click.option("--from", "begin", metavar="WHEN", help="A day or a time; else this month's first.")
@click.option("--to", "end", metavar="WHEN", help="A day or a time; else now.")
@click.option("--label", metavar="NAME", help="Of --by label: the label's name.")
@click.option("--node-label", metavar="NAME", help="Of --by node_label: the label's name.")
@organization_option
@output_option
@pass_session
def usage_(
    session: Session,
    group_by: str,
    begin: str | None,
    end: str | None,
    organization: str | None,
    form: str,
    **labels: str | None,
) -> None:
    """Show what was allocated to whom, what of it was lost, and what it cost."""
    where = session.organization(organization)
    usage = session.client.organizations.usage(
        where, group_by=group_by, from_=begin, to=end, **labels
    )
    if form in {"json", "yaml"}:
        show_data(form, dict(usage))
        return
    note(f"{words.clock(usage.begin)} to {words.clock(usage.end)}")
    for line in lines(usage):
        click.echo(line)


def lines(usage: Any) -> list[str]:
    """A row for each group, and their sum."""
    groups = usage["group_by"]
    rows = [([group_of(row, group) for group in groups], row) for row in usage["results"]]
    rows.append((["total", *("" for _ in groups[1:])], usage["total"]))
    columns = [*(Column(group.upper(), shrinks=True) for group in groups), *(c for c, _ in AMOUNTS)]
    cells = [[*names, *(amount(row, field) for _, field in AMOUNTS)] for names, row in rows]
    return table(columns, cells, width_of_terminal())


def group_of(row: Any, group: str) -> str:
    value = row.get(group)
    return "-" if value is None else plain(value)


def amount(row: Any, field: str) -> str:
    if field == "lost_gpu_hours":
        value = sum(row[f"gpu_hours_lost_to_{cause}"] for cause in LOSSES)
    else:
        value = row.get(field)
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:,.2f}"
