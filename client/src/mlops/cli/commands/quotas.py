"""`quota`: limits of users in a cluster."""

from __future__ import annotations

from typing import Any

import click

from mlops.cli import words
from mlops.cli.options import Gpus, amount
from mlops.cli.output import output_option, show_rows
from mlops.cli.session import Session, cluster_option, pass_session
from mlops.cli.tables import Column, plain

DEFAULT = "default"


def limit(name: str, show: Any = str) -> Any:
    def cell(row: Any) -> str:
        used = "" if not row["allocated"] else show(row["allocated"][name]) + "/"
        most = row[f"max_{name}"]
        return used + ("-" if most is None else show(most))

    return cell


COLUMNS = (
    (Column("USER"), lambda row: plain(row["username"] or DEFAULT)),
    (Column("GPU", right=True), limit("gpu")),
    (Column("CPU", right=True), limit("cpu", words.cores)),
    (Column("RAM", right=True), limit("ram", words.memory)),
)


@click.group("quota", invoke_without_command=True)
@cluster_option
@output_option
@pass_session
def quota_(session: Session, cluster: str | None, form: str) -> None:
    """List the quotas of a cluster: what each user has of what they may have at once."""
    if click.get_current_context().invoked_subcommand is None:
        rows = session.client.quotas.list(session.cluster(cluster))
        show_rows(form, rows, COLUMNS, name="username", empty="No user has a quota here.")
    else:
        click.get_current_context().meta["cluster"] = cluster


@quota_.command("set")
@click.argument("user")
@click.option("-g", "--gpu", "max_gpu", type=Gpus())
@click.option("--cpu", "max_cpu")
@click.option("--ram", "max_ram", help="Such as 64Gi.")
@cluster_option
@pass_session
def set_quota(
    session: Session,
    user: str,
    cluster: str | None,
    max_gpu: Any,
    max_cpu: str | None,
    max_ram: str | None,
) -> None:
    """Limit what a user may have at once; USER may be `default`. What is not said is no limit."""
    where = session.cluster(cluster or click.get_current_context().meta.get("cluster"))
    limits = {"max_gpu": max_gpu, "max_cpu": amount(max_cpu), "max_ram": max_ram}
    quotas = session.client.quotas
    if user == DEFAULT:
        quotas.put_default(where, **limits)
    else:
        quotas.put(where, user, **limits)
    click.echo(f"{plain(user)} is limited")


@quota_.command("rm")
@click.argument("user")
@cluster_option
@pass_session
def remove(session: Session, user: str, cluster: str | None) -> None:
    """Take a user's quota away; the default one then counts."""
    where = session.cluster(cluster or click.get_current_context().meta.get("cluster"))
    quotas = session.client.quotas
    if user == DEFAULT:
        quotas.delete_default(where)
    else:
        quotas.delete(where, user)
    click.echo(f"{plain(user)} has no quota")
