"""`ps` and `show`: what runs and waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from shlex import quote
from typing import Any, Final

import click

from mlops import finding
from mlops.cli import words
from mlops.cli.output import facts, lines_of, output_option, show_one, show_rows
from mlops.cli.session import Session, cluster_option, complete_deployments, pass_session
from mlops.cli.tables import Column, colored, plain
from mlops.finding import LIVE, short

FIELDS: Final = (
    "name,owner,status,priority,created_at,started_at,finished_at,required_gpu,replicas,"
    "placement,reason,eta,exit_code,queue_position"
)
MORE_FIELDS: Final = "cluster,required_cpu,required_ram,image,attempt,labels"
REDRAW_S: Final = 2.0


def node_of(row: Any) -> str:
    names = [plain(each["node"]) for each in row["placement"] if each["node"]]
    return names[0] + (f" +{len(names) - 1}" if names[1:] else "") if names else ""


def age_of(row: Any) -> str:
    """Since the submit while it waits, since the start while it runs, and how long it ran."""
    if row["status"] == "QUEUED" or row["started_at"] is None:
        return words.age(row.created_at, row.finished_at)
    return words.age(row.started_at, row.finished_at)


def gpus_of(row: Any) -> str:
    gpu, replicas = row["required_gpu"], row["replicas"]
    return f"{replicas}x{gpu}" if replicas > 1 else str(gpu)


def reason_of(row: Any) -> str:
    if row["status"] == "COMPLETED" or (row["status"] == "RUNNING" and not row["reason"]):
        return ""
    return plain(row["reason"]["message"]) if row["reason"] else ""


def starts_of(row: Any) -> str:
    """When it starts, by forecast: in so long."""
    eta = row.eta if row["status"] == "QUEUED" else None
    return f"~{words.age(words.now(), eta.p50)}" if eta and eta.p50 else ""


COLUMNS: Final[tuple[tuple[Column, Callable[[Any], str]], ...]] = (
    (Column("ID"), lambda row: short(row["id"])),
    (Column("NAME", shrinks=True), lambda row: plain(row["name"])),
    (Column("OWNER", shrinks=True), lambda row: plain(row["owner"])),
    (Column("STATUS"), lambda row: colored(row["status"])),
    (Column("AGE", right=True), age_of),
    (Column("GPU", right=True), gpus_of),
    (Column("NODE", shrinks=True), node_of),
    (Column("STARTS", right=True), starts_of),
    (Column("REASON", shrinks=True), reason_of),
)
WIDE: Final[tuple[tuple[Column, Callable[[Any], str]], ...]] = (
    (Column("CLUSTER"), lambda row: plain(row["cluster"])),
    (Column("CLASS"), lambda row: row["priority"]),
    (Column("CPU", right=True), lambda row: words.cores(row["required_cpu"])),
    (Column("RAM", right=True), lambda row: words.memory(row["required_ram"])),
    (Column("TRY", right=True), lambda row: str(row["attempt"])),
    (Column("IMAGE"), lambda row: plain(row["image"])),
)


@click.command("ps")
@click.argument("names", nargs=-1, shell_complete=complete_deployments)
@cluster_option
@click.option("-A", "--all-clusters", is_flag=True, help="Of all clusters that you may see.")
@click.option("-a", "--all", "ended_too", is_flag=True, help="Also those that have ended.")
@click.option("-m", "--mine", is_flag=True, help="Your own alone.")
@click.option("-u", "--owner", metavar="USER", help="Of one user.")
@click.option("-s", "--status", metavar="STATUS,...", help="Such as RUNNING,QUEUED.")
@click.option("-p", "--priority", metavar="CLASS", help="Of one priority class.")
@click.option("-l", "--label", multiple=True, metavar="NAME[=VALUE]", help="With this label.")
@click.option("--node", metavar="NODE", help="On this node, now or in an earlier attempt.")
@click.option("--sweep", metavar="SWEEP", help="Members of this sweep.")
@click.option("--reason", metavar="CODE", help="Such as QUOTA_EXCEEDED.")
@click.option("-n", "--limit", type=click.IntRange(1), default=200, show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Redraw in place every two seconds.")
@output_option
@pass_session
def ps_(session: Session, watch: bool, form: str, **options: Any) -> int | None:
    """List what runs and waits.

    NAMES are names or patterns such as 'lr-*'. Without filters: all in the cluster in use that has
    not ended, newest first.
    """
    rows = selection(session, form, **options)
    if not watch:
        show_rows(form, rows(), COLUMNS, WIDE, empty="Nothing runs or waits here.")
        return None
    if form not in {"table", "wide"} or not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal, and a table.")
    columns = [*COLUMNS, *(WIDE if form == "wide" else ())]
    redraw(lambda: lines_of(rows(), columns))
    return None


def selection(
    session: Session,
    form: str,
    names: tuple[str, ...],
    all_clusters: bool,
    ended_too: bool,
    mine: bool,
    status: str | None,
    limit: int,
    cluster: str | None,
    owner: str | None,
    sweep: str | None,
    **filters: Any,
) -> Callable[[], list[Any]]:
    """What reads the rows that the options of `ps` choose."""
    chosen: dict[str, Any] = {name: value for name, value in filters.items() if value}
    if not all_clusters:
        chosen["cluster"] = session.cluster_or_none(cluster)
    if mine or owner:
        chosen["owner"] = owner or "me"
    if sweep:
        chosen["sweep"] = finding.sweep(session.client, sweep)["id"]
    if status or not (ended_too or sweep):
        chosen["status"] = (status or LIVE).upper()
    if form in {"table", "wide"}:
        chosen["fields"] = FIELDS if form == "table" else f"{FIELDS},{MORE_FIELDS}"

    def rows() -> list[Any]:
        if not names:
            return list(session.client.deployments.list(at_most=limit, **chosen))
        return [
            row
            for name in names
            for row in session.client.deployments.list(name=name, at_most=limit, **chosen)
        ]

    return rows


def redraw(lines: Callable[[], Iterable[str]], every_s: float = REDRAW_S) -> None:
    """Draw lines in place until Ctrl-C, as many as the terminal has room for."""
    from rich.console import Console  # what goes on for long may take longer to begin
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                shown = list(lines())[: console.size.height - 1]
                head = f"{words.clock(words.now())}  every {every_s:g} s, Ctrl-C ends"
                text = "\n".join([click.style(head, dim=True), *shown])
                live.update(Text.from_ansi(text, no_wrap=True, end=""), refresh=True)
                time.sleep(every_s)
        except KeyboardInterrupt:
            return


@click.command("show")
@click.argument("name", shell_complete=complete_deployments)
@cluster_option
@output_option
@pass_session
def show_(session: Session, name: str, cluster: str | None, form: str) -> None:
    """Show all of one deployment."""
    row = finding.deployment(session.client, name, cluster=session.cluster_or_none(cluster))
    show_one(form, row, lambda: description(row))


def description(row: Any) -> list[str]:
    """A deployment in words, a line for each fact."""
    reason = f"{row['reason']['code']}: {row['reason']['message']}" if row["reason"] else ""
    ran = "" if row["started_at"] is None else f"{words.clock(row.started_at)}, for {age_of(row)}"
    labels = " ".join(f"{name}={value}" for name, value in row["labels"].items())
    placement = ", ".join(
        f"{each['replicas']} on {each['node'] or 'the cluster'}" for each in row["placement"]
    )
    program = " ".join(map(quote, [*row["command"], *row["args"]]))
    pairs = [
        ("Name", row["name"]),
        ("Id", row["id"]),
        ("Owner", f"{row['owner']} in {row['organization']}"),
        ("Cluster", row["cluster"]),
        ("Image", row["image"]),
        ("Program", program),
        ("Variables", " ".join(row["env_names"])),
        ("Asks for", words.request(row)),
        ("Priority", row["priority"]),
        ("Labels", labels),
        ("After", ", ".join(map(str, row["depends_on_names"]))),
        ("Submitted", f"{words.clock(row.created_at)}, {words.age(row.created_at)} ago"),
        ("Started", ran),
        ("Ended", words.clock(row.finished_at)),
        ("Exit code", "" if row["exit_code"] is None else str(row["exit_code"])),
        ("Placed", placement),
        ("Attempt", str(row["attempt"] or "")),
        ("Evicted", words.many(row["preemption_count"], "time") if row["preemption_count"] else ""),
        ("Reason", reason),
        ("Starts", row["eta"]["message"] if row["eta"] else ""),
    ]
    shown = [(label, plain(value)) for label, value in pairs]
    return facts([*shown[:2], ("Status", colored(row["status"])), *shown[2:]])
