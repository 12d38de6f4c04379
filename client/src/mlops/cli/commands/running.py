"""`run`, `quote` and `validate`: submit a job, or find out what it would get."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from mlops import ApiError, jobs
from mlops.cli import words
from mlops.cli.options import amount_options, environment, pairs
from mlops.cli.output import note, output_option, show_data
from mlops.cli.session import Session, cluster_option, pass_session
from mlops.cli.tables import plain
from mlops.cli.waiting import follow_to_the_end

QUOTES: Final = 3
"""How often a quote is asked anew where the cluster has changed before the submit."""
REFUSED: Final = 4


def job_options(command: Any) -> Any:
    """What a job is, as options or as a file."""
    options = (
        click.argument("image", required=False),
        click.argument("arguments", nargs=-1, type=click.UNPROCESSED),
        click.option("-f", "--file", "path", type=click.Path(path_type=Path), help="A job file."),
        cluster_option,
        amount_options,
        click.option("--name", metavar="NAME", help="A name for people; else the image's."),
        click.option("-p", "--priority", metavar="CLASS", help="A priority class."),
        click.option("--replicas", type=click.IntRange(1), help="A gang: all start, or none."),
        click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="A variable."),
        click.option(
            "--secret", multiple=True, metavar="VARIABLE=SECRET", help="A secret as a variable."
        ),
        click.option("-v", "--volume", multiple=True, metavar="NAME:PATH[:ro]", help="A volume."),
        click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="A label."),
        click.option("--entrypoint", metavar="COMMAND", help="Instead of the image's."),
        click.option("--time-limit", type=words.Duration(), help="It fails if it runs longer."),
        click.option("--retries", type=click.IntRange(0), help="How often a failure is retried."),
        click.option(
            "--simulate", type=float, metavar="SECONDS",
            help="In a simulated cluster: it completes after so long.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def job_of(session: Session, **given: Any) -> jobs.Job:
    """The job that the options mean: those of a file, changed by the others."""
    path, image = given.pop("path"), given.pop("image")
    if path is None and image is None:
        raise click.UsageError("Say an IMAGE, or a job file with -f.")
    if path is not None:
        job = jobs.read(path)
    else:
        job = jobs.Job({**jobs.DEFAULTS, "image": image})
    body = {**job.body, **_changes(given)}
    if path is not None and image is not None:
        body["image"] = image
    named = given["cluster"] or body.get("cluster_id")
    body["cluster_id"] = session.cluster(named)
    return jobs.Job(body, job.sweep)


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    changes = {
        "name": given["name"],
        "priority": given["priority"],
        "replicas": given["replicas"],
        "required_gpu": given["required_gpu"],
        "required_cpu": given["required_cpu"],
        "required_ram": given["required_ram"],
        "max_runtime_s": given["time_limit"],
        "max_retries": given["retries"],
        "simulated_runtime_s": given["simulate"],
        "args": list(given["arguments"]) or None,
        "command": [given["entrypoint"]] if given["entrypoint"] else None,
        "env": environment(given["env"]) or None,
        "labels": pairs(given["label"], "--label") or None,
        "volumes": [jobs.mount(text) for text in given["volume"]] or None,
    }
    secrets = pairs(given["secret"], "--secret")
    changes["secrets"] = [{"name": name, "env": env} for env, name in secrets.items()] or None
    return {name: value for name, value in changes.items() if value is not None}


@click.command("run")
@job_options
@click.option("-y", "--yes", is_flag=True, help="Submit without a question.")
@click.option("-w", "--wait", "waits", is_flag=True, help="Follow it; end with its exit code.")
@click.option("-d", "--detach", is_flag=True, help="Submit at once, and print the id alone.")
@click.option("--key", metavar="KEY", help="Idempotency key: repeated, it is the same submit.")
@output_option
@pass_session
def run_(
    session: Session, yes: bool, waits: bool, detach: bool, key: str | None, form: str, **given: Any
) -> int:
    """Submit a job: mlops run --gpu 1 IMAGE -- ARGUMENTS.

    On a terminal it first says what the job would get, and asks.
    """
    if waits and detach:
        raise click.UsageError("--wait and --detach do not go together.")
    job = job_of(session, **given)
    if job.sweep is not None:
        from mlops.cli.commands.sweeping import submit_sweep  # few jobs are sweeps

        return submit_sweep(session, job, key, form)
    asks = session.has_person and not (yes or detach)
    row = (
        _submitted_as_quoted(session, job.body, key) if asks else _submitted(session, job.body, key)
    )
    if row is None:
        return 1
    for warning in row.get("warnings", ()):
        note(f"Warning: {plain(warning['message'])}")
    if form in {"json", "yaml"}:
        show_data(form, dict(row))
    elif detach or waits or form == "name":
        click.echo(row["id"], err=waits)
    else:
        click.echo(f"{row['id']} {plain(row['name'])} {row['status']}")
        note(f"To follow it: mlops logs -f {row['id']}")
    return follow_to_the_end(session, row) if waits else 0


def _submitted(session: Session, body: dict[str, Any], key: str | None) -> Any:
    return session.client.deployments.submit(**body, idempotency_key=key)


def _submitted_as_quoted(session: Session, body: dict[str, Any], key: str | None) -> Any:
    """Quote, ask, and submit exactly what was quoted; None where the person says no."""
    for _ in range(QUOTES):
        quote = session.client.deployments.quote(**body)
        for line in quoted(quote):
            note(line)
        if not click.confirm("Submit it?", default=True, err=True):
            return None
        try:
            return _submitted(session, {**body, "quote": quote.token}, key)
        except ApiError as error:
            if error.code != "quote_stale":
                raise
            note("The cluster has changed meanwhile:")
    return _submitted(session, body, key)


def quoted(quote: Any) -> list[str]:
    """What a submit would get, in a few lines."""
    lines = {
        "STARTS_NOW": ["It starts now."],
        "STARTS_BY_PREEMPTING": ["It starts now, and evicts:"],
        "WAITS": ["It waits."],
        "UNKNOWN": ["The queue is too long to say what it would get."],
    }.get(quote.outcome, [quote.outcome])
    for each in quote.preempts:
        lost = words.duration(each.lost_s)
        lines.append(f"  {plain(each.name)} of {plain(each.owner)}, which loses {lost} of work")
    if quote.reason:
        lines.append(f"  {plain(quote.reason.message)}")
    if quote.queue_position is not None:
        lines.append(f"  It would be {quote.queue_position} in the queue.")
    if quote.ahead:
        lines.append(f"  Ahead: {plain(quote.ahead.message)}")
    if quote.eta:
        lines.append(f"  {plain(quote.eta.message)}")
    if quote.earliest_start:
        lines.append(f"  By {words.moment(quote.earliest_start)} if nothing else changes.")
    return lines + [f"Warning: {plain(each.message)}" for each in quote.warnings]


@click.command("quote")
@job_options
@output_option
@pass_session
def quote_(session: Session, form: str, **given: Any) -> None:
    """Say what a job would get, without submitting it."""
    quote = session.client.deployments.quote(**job_of(session, **given).body)
    if form in {"json", "yaml"}:
        show_data(form, dict(quote))
        return
    if form == "name":
        click.echo(quote.outcome)
        return
    for line in quoted(quote):
        click.echo(line)


@click.command("validate")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@cluster_option
@pass_session
def validate_(session: Session, paths: tuple[Path, ...], cluster: str | None) -> int:
    """Say what is wrong with job files, and what could never run.

    Ends with 0 where all is well, and with 4 where the cluster could never run one.
    """
    faulty = False
    for path in paths:
        job = jobs.read(path)
        body = {**job.body, "cluster_id": session.cluster(cluster or job.body.get("cluster_id"))}
        if job.sweep is not None:
            session.client.sweeps.submit(**job.sweep, template=body, dry_run=True)
        warnings = session.client.deployments.quote(**body).warnings
        for warning in warnings:
            click.echo(f"{path}: {plain(warning.field)}: {plain(warning.message)}")
        if not warnings:
            click.echo(f"{path}: fine")
        faulty = faulty or bool(warnings)
    return REFUSED if faulty else 0
