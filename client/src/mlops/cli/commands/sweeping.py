"""`sweep`: one job with many sets of parameters."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from mlops import finding, jobs
from mlops.cli import words
from mlops.cli.output import note, output_option, show_data, show_one, show_rows
from mlops.cli.session import Session, cluster_option, pass_session
from mlops.cli.tables import Column, colored, plain
from mlops.finding import short

POLL_S: Final = 2.0
SHOWN: Final = ("COMPLETED", "RUNNING", "QUEUED", "FAILED", "STOPPED")


@click.group("sweep")
def sweep_() -> None:
    """Submit one job with many parameters, and see how far it is."""


def submit_sweep(session: Session, job: jobs.Job, key: str | None, form: str) -> int:
    """Submit a job file's sweep."""
    assert job.sweep is not None
    sweep = session.client.sweeps.submit(**job.sweep, template=job.body, idempotency_key=key)
    if form in {"json", "yaml"}:
        show_data(form, dict(sweep))
    elif form == "name":
        click.echo(sweep["id"])
    else:
        click.echo(f"{sweep['id']} {plain(sweep['name'])}: {words.many(sweep['total'], 'member')}")
        note(f"To follow it: mlops sweep wait {sweep['id']}")
    return 0


@sweep_.command("run")
@click.argument("path", type=click.Path(path_type=Path))
@cluster_option
@click.option("--dry-run", is_flag=True, help="Say what would be submitted.")
@click.option("--key", metavar="KEY", help="Idempotency key.")
@output_option
@pass_session
def run(
    session: Session, path: Path, cluster: str | None, dry_run: bool, key: str | None, form: str
) -> int:
    """Submit the sweep of a job file."""
    job = jobs.read(path)
    if job.sweep is None:
        raise click.UsageError(f"{path} has no `sweep`.")
    body = {**job.body, "cluster_id": session.cluster(cluster or job.body.get("cluster_id"))}
    if not dry_run:
        return submit_sweep(session, jobs.Job(body, job.sweep), key, form)
    shown: Any = session.client.sweeps.submit(**job.sweep, template=body, dry_run=True)
    if form in {"json", "yaml"}:
        show_data(form, dict(shown))
        return 0
    for line in described(shown):
        click.echo(line)
    return 0


def described(shown: Any) -> list[str]:
    """A dry run in words: the first members, and how many of all start now."""
    lines = [f"{words.many(shown['total'], 'member')}:"]
    for each in shown["first"]:
        values = " ".join(f"{name}={value}" for name, value in each["parameters"].items())
        lines.append(f"  {plain(each['name'])}: {plain(values)}")
    if shown["starts_now"] is not None:
        lines.append(f"{shown['starts_now']} would start now, {shown['waits']} would wait.")
    for each in shown["evicts"]:
        lost = words.duration(each["lost_s"])
        lines.append(f"  evicts {plain(each['name'])} of {plain(each['owner'])}, {lost} of work")
    if shown["reason"]:
        lines.append(f"  {plain(shown['reason']['message'])}")
    return lines


@sweep_.command("ls")
@cluster_option
@click.option("-m", "--mine", is_flag=True, help="Your own alone.")
@output_option
@pass_session
def ls(session: Session, cluster: str | None, mine: bool, form: str) -> None:
    """List sweeps, newest first."""
    filters = {"cluster": session.cluster_or_none(cluster), "owner": "me" if mine else None}
    rows = session.client.sweeps.list(at_most=200, **filters)
    show_rows(form, rows, COLUMNS, empty="There are no sweeps here.")


@sweep_.command("show")
@click.argument("name")
@output_option
@pass_session
def show(session: Session, name: str, form: str) -> None:
    """Show one sweep."""
    row = finding.sweep(session.client, name)
    show_one(form, row, lambda: [progress(row), f"mlops ps -a --sweep {row['id']}"])


@sweep_.command("wait")
@click.argument("name")
@pass_session
def wait(session: Session, name: str) -> int:
    """Wait until all members have ended; 1 where one has failed or was stopped."""
    row = finding.sweep(session.client, name)
    if session.has_person:
        row = _with_bar(session, row)
    while row["finished_at"] is None:
        time.sleep(POLL_S)
        row = session.client.sweeps.get(row)
    click.echo(progress(row))
    return 0 if row["status"] == "COMPLETED" else 1


@sweep_.command("stop")
@click.argument("name")
@pass_session
def stop(session: Session, name: str) -> None:
    """Stop all members that have not ended."""
    stopped = session.client.sweeps.stop(finding.sweep(session.client, name))
    click.echo(f"{words.many(stopped['stopped'], 'member')} stopped")


@sweep_.command("retry")
@click.argument("name")
@pass_session
def retry(session: Session, name: str) -> None:
    """Submit the members that failed again."""
    retried = session.client.sweeps.retry_failed(finding.sweep(session.client, name))
    click.echo(f"{words.many(retried['retried'], 'member')} submitted again")


@sweep_.command("limit")
@click.argument("name")
@click.argument("parallel", type=click.IntRange(1))
@pass_session
def limit(session: Session, name: str, parallel: int) -> None:
    """Change how many members may run at once."""
    row = finding.sweep(session.client, name)
    session.client.sweeps.change(row, max_parallel=parallel)
    click.echo(f"{plain(row['name'])} runs {parallel} at once")


def progress(row: Any) -> str:
    counts = row["counts"]
    parts = ", ".join(f"{counts[name]} {name.lower()}" for name in SHOWN if counts.get(name))
    ended = f"{row['ended']} of {row['total']} ended"
    return f"{plain(row['name'])}: {colored(row['status'])}, {ended} ({parts})"


def _with_bar(session: Session, row: Any) -> Any:
    """Draw a bar on the terminal until the sweep has ended."""
    from rich.console import Console  # what goes on for long may take longer to begin
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(plain(row["name"]), total=row["total"])
        while row["finished_at"] is None:
            bars.update(bar, completed=row["ended"])
            time.sleep(POLL_S)
            row = session.client.sweeps.get(row)
    return row


COLUMNS = (
    (Column("ID"), lambda row: short(row["id"])),
    (Column("NAME", shrinks=True), lambda row: plain(row["name"])),
    (Column("OWNER", shrinks=True), lambda row: plain(row["owner"])),
    (Column("STATUS"), lambda row: colored(row["status"])),
    (Column("ENDED", right=True), lambda row: f"{row['ended']}/{row['total']}"),
    (Column("FAILED", right=True), lambda row: str(row["counts"].get("FAILED", 0) or "")),
    (Column("AT ONCE", right=True), lambda row: str(row["max_parallel"] or "")),
    (Column("AGE", right=True), lambda row: words.age(row.created_at, row.finished_at)),
)
