"""`clusters`, `queue` and `top`: how full clusters are, and with what."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any, Final

import click

from mlops import NotFoundError
from mlops.cli import words
from mlops.cli.commands.listing import redraw
from mlops.cli.options import amount
from mlops.cli.output import output_option, show_data, show_rows
from mlops.cli.session import Session, cluster_option, organization_option, pass_session
from mlops.cli.tables import Column, colored, plain, table, width_of_terminal
from mlops.finding import LIVE, short

BAR: Final = 20
REDRAW_S: Final = 3.0
HOUR_S: Final = 3600
SIGNS: Final = "▁▂▃▄▅▆▇█"


def of_total(name: str, show: Any = str) -> Any:
    return lambda row: f"{show(row['allocated_' + name])}/{show(row['total_' + name])}"


COLUMNS = (
    (Column("NAME"), lambda row: plain(row["name"])),
    (Column("ORGANIZATION", shrinks=True), lambda row: plain(row["organization"])),
    (Column("STATE"), lambda row: colored(row["state"])),
    (Column("RUNTIME"), lambda row: row["runtime"]),
    (Column("GPU", right=True), of_total("gpu")),
    (Column("CPU", right=True), of_total("cpu", words.cores)),
    (Column("RAM", right=True), of_total("ram", words.memory)),
)
WIDE = (
    (Column("ID"), lambda row: row["id"]),
    (Column("QUEUEING"), lambda row: row["policy"]["queueing"]),
    (Column("ORDERING"), lambda row: row["policy"]["ordering"]),
)


@click.group("clusters", invoke_without_command=True)
@organization_option
@output_option
@pass_session
def clusters_(session: Session, organization: str | None, form: str) -> None:
    """List clusters, with what is allocated of what there is."""
    if click.get_current_context().invoked_subcommand is None:
        rows = session.client.clusters.list(organization=organization)
        empty = "There is no cluster that you may see."
        show_rows(form, rows, COLUMNS, WIDE, name="name", empty=empty)


@clusters_.command("create")
@click.argument("name")
@click.option("-g", "--gpu", "total_gpu", type=click.IntRange(0), help="GPUs.")
@click.option("--cpu", "total_cpu", help="Cores.")
@click.option("--ram", "total_ram", help="Such as 512Gi.")
@click.option("--runtime", type=click.Choice(["simulated", "docker"]), default="simulated")
@organization_option
@pass_session
def create(
    session: Session, name: str, organization: str | None, total_cpu: str | None, **given: Any
) -> None:
    """Make a cluster. A simulated one is all that it takes to try everything."""
    fields = {"total_cpu": amount(total_cpu), **given}
    chosen: dict[str, Any] = {field: value for field, value in fields.items() if value is not None}
    cluster = session.client.clusters.create(
        organization_id=session.organization(organization), name=name, **chosen
    )
    click.echo(f"{cluster['id']} {plain(cluster['name'])} {cluster['state']}")


@clusters_.command("set")
@click.argument("name")
@click.argument("state", type=click.Choice(["active", "paused", "draining"], case_sensitive=False))
@click.option("--reason", metavar="TEXT", help="Shown with the cluster.")
@pass_session
def set_state(session: Session, name: str, state: str, reason: str | None) -> None:
    """Let a cluster start deployments, pause it, or drain it."""
    given = {"state_reason": reason} if reason else {}
    cluster = session.client.clusters.change(name, state=state.upper(), **given)
    click.echo(f"{plain(cluster['name'])} {colored(cluster['state'])}")


@clusters_.command("rm")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, name: str, yes: bool) -> int:
    """Delete a cluster, with all of its history."""
    if session.has_person and not yes and not click.confirm(f"Delete {name}?", err=True):
        return 1
    session.client.clusters.delete(name)
    click.echo(f"{plain(name)} is deleted")
    return 0


CYCLES = (
    (Column("ID"), lambda row: row["id"]),
    (Column("AT"), lambda row: words.clock(row.started_at)),
    (Column("TRIGGER"), lambda row: row["trigger"]),
    (Column("STARTED", right=True), lambda row: str(row["started"])),
    (Column("EVICTED", right=True), lambda row: str(row["evicted"])),
    (Column("WAITING", right=True), lambda row: str(row["waiting"])),
    (Column("MS", right=True), lambda row: f"{row['plan_ms']:.1f}"),
)


@click.command("cycles")
@cluster_option
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True)
@output_option
@pass_session
def cycles_(session: Session, cluster: str | None, limit: int, form: str) -> None:
    """List the scheduler's decisions, newest first."""
    rows = session.client.clusters.cycles(session.cluster(cluster), at_most=limit)
    show_rows(form, rows, CYCLES, empty="There are no decisions yet.")


def gpus(row: Any) -> str:
    number = row["required_gpu"]
    return f"{row['replicas']}x{number}" if row["replicas"] > 1 else str(number)


def sentence(row: Any) -> str:
    return plain(row["reason"]["message"]) if row["reason"] else ""


QUEUE_COLUMNS = (
    (Column("#", right=True), lambda row: str(row["position"] or "")),
    (Column("ID"), lambda row: short(row["id"])),
    (Column("NAME", shrinks=True), lambda row: plain(row["name"])),
    (Column("OWNER", shrinks=True), lambda row: plain(row["owner"])),
    (Column("CLASS"), lambda row: row["priority"]),
    (Column("GPU", right=True), gpus),
    (Column("WAITS", right=True), lambda row: words.age(row.created_at)),
    (Column("REASON", shrinks=True), sentence),
)


@click.command("queue")
@cluster_option
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True)
@output_option
@pass_session
def queue_(session: Session, cluster: str | None, limit: int, form: str) -> None:
    """List what waits, in the order of the queue, with the reason of each."""
    rows = session.client.clusters.queue(session.cluster(cluster), at_most=limit)
    show_rows(form, rows, QUEUE_COLUMNS, empty="Nothing waits.")


@click.command("top")
@cluster_option
@click.option("-w", "--watch", is_flag=True, help="Redraw in place every three seconds.")
@output_option
@pass_session
def top_(session: Session, cluster: str | None, watch: bool, form: str) -> None:
    """Show how full a cluster is, which users have it, and what waits."""
    name = session.cluster(cluster)
    if form in {"json", "yaml"}:
        show_data(form, dict(session.client.clusters.status(name)))
        return
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal.")
    if watch:
        redraw(lambda: screen(session, name), REDRAW_S)
        return
    for line in screen(session, name):
        click.echo(line)


def screen(session: Session, cluster: str) -> list[str]:
    """A cluster on one screen."""
    status = session.client.clusters.status(cluster)
    waiting = sum(status["queue_lengths"].values())
    nodes = status["nodes"]
    head = f"{click.style(plain(status['name']), bold=True)} {colored(status['state'])}"
    counts = f"{status['running']} running, {waiting} waiting"
    closed = nodes["total"] - nodes["ready"]
    on = f", {words.many(nodes['total'], 'node')}" if nodes["total"] else ""
    lines = [f"{head}: {counts}{on}" + (f", {closed} not ready" if closed else ""), ""]
    shows: dict[str, Any] = {"gpu": str, "cpu": words.cores, "ram": words.memory}
    for name, show in shows.items():
        allocated, total = status[f"allocated_{name}"], status[f"total_{name}"]
        amounts = f"{show(allocated)} of {show(total)}"
        lines.append(f"{name.upper():<4} {bar(status['utilisation'][name])} {amounts}")
    return [*lines, *last_day(session, cluster), "", *by_owner(session, cluster)]


def last_day(session: Session, cluster: str) -> list[str]:
    """The GPUs in use over the last day, an hour for each sign; nothing where there is no hour."""
    try:
        curve = session.client.clusters.utilization(cluster, step=HOUR_S)
    except NotFoundError:  # of a platform that takes no samples
        return []
    shares = [each.allocated_gpu / each.total_gpu for each in curve.points if each.total_gpu]
    if len(shares) < 2:
        return []
    drawn = "".join(SIGNS[round(min(share, 1) * (len(SIGNS) - 1))] for share in shares)
    return [f"GPUs, hour by hour: {drawn}"]


def bar(share: float) -> str:
    """A share as a bar, and in percent: green, then yellow, then red where little is left."""
    filled = round(BAR * min(max(share, 0), 1))
    color = "green" if share < 0.7 else "yellow" if share < 0.95 else "red"
    drawn = click.style("█" * filled, fg=color) + click.style("░" * (BAR - filled), dim=True)
    return f"{drawn} {share:>4.0%}"


def by_owner(session: Session, cluster: str) -> list[str]:
    """What each user has allocated and waits for, the largest first."""
    rows = session.client.clusters.deployments(
        cluster, status=LIVE, at_most=5000, fields="owner,status,required_gpu,replicas,given"
    )
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        gpu = row["required_gpu"]
        if gpu == "all":
            gpu = row["given"]["gpu"] if row["given"] else 1
        waits = row["status"] == "QUEUED"
        sums = found[row["owner"]]
        sums[2 if waits else 0] += gpu * row["replicas"]
        sums[3 if waits else 1] += 1
    columns = [
        Column("OWNER", shrinks=True),
        Column("GPUS", right=True),
        Column("RUNNING", right=True),
        Column("WAITS FOR GPUS", right=True),
        Column("WAITING", right=True),
    ]
    order = sorted(found.items(), key=lambda item: (-item[1][0], -item[1][2], item[0]))
    cells = [(plain(owner), *map(str, sums)) for owner, sums in order]
    return table(columns, cells, width_of_terminal()) if cells else ["Nothing runs or waits."]
