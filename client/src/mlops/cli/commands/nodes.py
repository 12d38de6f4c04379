"""`nodes`, `cordon`, `drain` and `uncordon`."""

from __future__ import annotations

from typing import Any

import click

from mlops import finding
from mlops.cli import words
from mlops.cli.output import note, output_option, show_rows
from mlops.cli.session import Session, cluster_option, complete, pass_session
from mlops.cli.tables import Column, colored, plain

COLUMNS = (
    (Column("NAME", shrinks=True), lambda row: plain(row["name"])),
    (Column("STATE"), lambda row: colored(row["state"])),
    (Column("GPU", right=True), lambda row: f"{row['allocated_gpu']}/{row['gpu']}"),
    (Column("CPU", right=True), lambda row: f"{row['allocated_cpu']:g}/{row['cpu']:g}"),
    (
        Column("RAM", right=True),
        lambda row: f"{words.memory(row['allocated_ram'])}/{words.memory(row['ram'])}",
    ),
    (Column("REASON", shrinks=True), lambda row: plain(row["reason"] or "")),
)
WIDE = (
    (Column("ID"), lambda row: row["id"]),
    (Column("LABELS"), lambda row: plain(labels(row))),
    (Column("ENDPOINT"), lambda row: plain(row["endpoint"]["url"] if row["endpoint"] else "")),
)


def labels(row: Any) -> str:
    return ",".join(f"{name}={value}" for name, value in row["labels"].items())


def _complete_nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    cluster = ctx.params.get("cluster") or Session().cluster_or_none(None)
    return complete(lambda client: client.nodes.list(cluster), incomplete) if cluster else []


names_argument = click.argument("names", nargs=-1, required=True, shell_complete=_complete_nodes)


@click.command("nodes")
@click.argument("names", nargs=-1, shell_complete=_complete_nodes)
@cluster_option
@output_option
@pass_session
def nodes_(session: Session, names: tuple[str, ...], cluster: str | None, form: str) -> None:
    """List nodes, with what is allocated of what they have."""
    rows: Any = session.client.nodes.list(session.cluster(cluster))
    if names:
        rows = finding.named(rows, names, "nodes")
    show_rows(form, rows, COLUMNS, WIDE, name="name", empty="The cluster has no nodes.")


def each_node(session: Session, names: tuple[str, ...], cluster: str | None) -> tuple[str, Any]:
    """The cluster, and the nodes of it that names and patterns mean."""
    found = session.cluster(cluster)
    return found, finding.named(session.client.nodes.list(found), names, "nodes")


@click.command("cordon")
@names_argument
@cluster_option
@pass_session
def cordon_(session: Session, names: tuple[str, ...], cluster: str | None) -> None:
    """Place nothing new on nodes; what runs there goes on."""
    found, rows = each_node(session, names, cluster)
    for row in rows:
        show(session.client.nodes.cordon(found, row))


@click.command("uncordon")
@names_argument
@cluster_option
@pass_session
def uncordon_(session: Session, names: tuple[str, ...], cluster: str | None) -> None:
    """Open nodes again."""
    found, rows = each_node(session, names, cluster)
    for row in rows:
        show(session.client.nodes.uncordon(found, row))


@click.command("drain")
@names_argument
@cluster_option
@click.option(
    "--mode",
    type=click.Choice(["now", "when_finished", "at_checkpoint"]),
    default="now",
    show_default=True,
    help="When deployments leave.",
)
@click.option("--deadline", type=words.Duration(), help="All leave after this time at the latest.")
@click.option("--reason", metavar="TEXT", help="Shown with the node.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what it would affect, and change nothing.")
@pass_session
def drain_(
    session: Session,
    names: tuple[str, ...],
    cluster: str | None,
    yes: bool,
    dry_run: bool,
    **given: Any,
) -> int:
    """Empty nodes: what runs there goes back to the queue.

    On a terminal it first says what that affects, and asks.
    """
    found, rows = each_node(session, names, cluster)
    options = {name: value for name, value in given.items() if value is not None}
    if dry_run or (session.has_person and not yes):
        for row in rows:
            effect = session.client.nodes.drain(found, row, **options, dry_run=True).effect
            for line in affected(row, effect):
                (click.echo if dry_run else note)(line)
        if dry_run:
            return 0
        if not click.confirm("Drain?", err=True):
            return 1
    for row in rows:
        show(session.client.nodes.drain(found, row, **options))
    return 0


def affected(row: Any, effect: Any) -> list[str]:
    """What a drain does to the deployments on a node."""
    total = effect.total
    lost = f", {words.duration(total.lost_s)} of work lost" if total.lost_s else ""
    lines = [f"{plain(row['name'])}: {words.many(total.deployments, 'deployment')}{lost}"]
    for each in effect.deployments:
        goes = f", to {', '.join(each['goes_to'])}" if each["goes_to"] else ""
        lines.append(f"  {plain(each['name'] or '')} of {plain(each['owner'])}{goes}")
    return lines


def show(node: Any) -> None:
    click.echo(f"{plain(node['name'])} {colored(node['state'])}")
