"""`stop`, `rerun`, `priority`, `change`: what is done to deployments, one or many."""

from __future__ import annotations

from typing import Any, Final

import click

from mlops import finding
from mlops.cli import words
from mlops.cli.options import amount_options, environment, pairs
from mlops.cli.output import note
from mlops.cli.session import Session, cluster_option, complete_deployments, pass_session
from mlops.cli.tables import plain
from mlops.finding import short

AT_ONCE: Final = 1000
"""As many deployments as one action takes."""
ASK_FROM: Final = 2

names_argument = click.argument(
    "names", nargs=-1, required=True, shell_complete=complete_deployments
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def act(session: Session, action: str, rows: list[Any], **fields: Any) -> int:
    """Do an action to deployments, say what was done to each, and the exit code."""
    refused = 0
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        answer = session.client.deployments.act(action=action, ids=part, **fields)
        refused += answer.refused
        for each in answer.refusals:
            note(f"mlops: {plain(each.name or each.id)}: {each.detail}")
    return 4 if refused else 0


def agreed(session: Session, question: str, rows: list[Any], yes: bool) -> bool:
    """Whether to go on: a person is asked before many are changed."""
    if yes or len(rows) < ASK_FROM or not session.has_person:
        return True
    for row in rows[:10]:
        note(f"  {short(row['id'])}  {plain(row['name'])}  {row['status']}  {plain(row['owner'])}")
    if len(rows) > 10:
        note(f"  ... and {len(rows) - 10} more")
    return click.confirm(question, err=True)


@click.command("stop")
@names_argument
@cluster_option
@yes_option
@pass_session
def stop_(session: Session, names: tuple[str, ...], cluster: str | None, yes: bool) -> int:
    """Stop deployments. A pattern means all that fit and have not ended."""
    rows = chosen(session, names, cluster)
    if not rows:
        note("Nothing that fits has not ended.")
        return 0
    if not agreed(session, f"Stop these {len(rows)}?", rows, yes):
        return 1
    code = act(session, "stop", rows)
    for row in rows if code == 0 else ():
        click.echo(f"{row['id']} {plain(row['name'])} stops")
    return code


@click.command("priority")
@click.argument("priority", metavar="CLASS")
@names_argument
@cluster_option
@yes_option
@pass_session
def priority_(
    session: Session, priority: str, names: tuple[str, ...], cluster: str | None, yes: bool
) -> int:
    """Give deployments a priority class; what that evicts is asked first."""
    rows = chosen(session, names, cluster)
    preview = session.client.deployments.act(
        action="priority", ids=rows[:AT_ONCE], priority=priority, dry_run=True
    )
    if preview.evicted and session.has_person and not yes:
        for each in preview.first:
            for victim in each.evicts or ():
                name = f"{plain(victim.name)} of {plain(victim.owner)}"
                note(f"  evicts {name}, which loses {victim.lost_s} s of work")
        if not click.confirm(f"Give {priority} and evict {preview.evicted}?", err=True):
            return 1
    code = act(session, "priority", rows, priority=priority)
    for row in rows if code == 0 else ():
        click.echo(f"{row['id']} {plain(row['name'])} is {priority.upper()}")
    return code


@click.command("rerun")
@names_argument
@cluster_option
@amount_options
@click.option("--image", metavar="IMAGE", help="Another image.")
@click.option("--name", "new_name", metavar="NAME", help="Another name.")
@click.option("--priority", metavar="CLASS", help="Another priority class.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable that differs.")
@pass_session
def rerun_(
    session: Session,
    names: tuple[str, ...],
    cluster: str | None,
    new_name: str | None,
    env: tuple[str, ...],
    **changes: Any,
) -> None:
    """Submit deployments again, with what you change. Prints the new ids."""
    given = {name: value for name, value in changes.items() if value is not None}
    if env:
        given["env"] = environment(env)
    if new_name:
        given["name"] = new_name
    for row in chosen(session, names, cluster, live=False):
        click.echo(session.client.deployments.rerun(row, **given)["id"])


@click.command("change")
@click.argument("name", shell_complete=complete_deployments)
@cluster_option
@amount_options
@click.option("--replicas", type=click.IntRange(1))
@click.option("--image", metavar="IMAGE")
@click.option("--name", "new_name", metavar="NAME", help="Another name.")
@click.option("--priority", metavar="CLASS")
@click.option("--exclusive/--no-exclusive", default=None, help="Whole nodes, or not.")
@click.option("--node-selector", multiple=True, metavar="NAME=VALUE", help="Labels of its nodes.")
@click.option("--any-node", is_flag=True, help="Without labels of nodes.")
@click.option("-l", "--label", multiple=True, metavar="NAME=VALUE", help="All of its labels.")
@click.option("--time-limit", type=words.Duration(), help="It fails if it runs longer.")
@click.option("--no-time-limit", is_flag=True, help="It may run for any time.")
@pass_session
def change_(
    session: Session,
    name: str,
    cluster: str | None,
    new_name: str | None,
    node_selector: tuple[str, ...],
    any_node: bool,
    label: tuple[str, ...],
    time_limit: int | None,
    no_time_limit: bool,
    **changes: Any,
) -> None:
    """Change what a deployment asks for while it waits; its name and labels at any time."""
    given = {field: value for field, value in changes.items() if value is not None}
    if new_name:
        given["name"] = new_name
    if node_selector or any_node:
        given["node_selector"] = pairs(node_selector, "--node-selector")
    if label:
        given["labels"] = pairs(label, "--label")
    if time_limit is not None and no_time_limit:
        raise click.UsageError("Give --time-limit or --no-time-limit.")
    if time_limit is not None or no_time_limit:
        given["max_runtime_s"] = time_limit
    if not given:
        raise click.UsageError("Say what to change.")
    row = finding.deployment(session.client, name, cluster=session.cluster_or_none(cluster))
    changed = session.client.deployments.change(row, **given)
    click.echo(f"{changed['id']} {plain(changed['name'])} changed")


def chosen(
    session: Session, names: tuple[str, ...], cluster: str | None, live: bool = True
) -> list[Any]:
    """The deployments that names, ids and patterns mean."""
    where = session.cluster_or_none(cluster)
    return finding.deployments(session.client, names, live=live, cluster=where)
