"""`why`: one screen that says why a deployment waits, until when, and what would help."""

from __future__ import annotations

from shlex import quote
from typing import Any, Final

import click

from mlops import finding
from mlops.cli import words
from mlops.cli.output import facts, folded, output_option, show_data
from mlops.cli.session import Session, cluster_option, complete_deployments, pass_session
from mlops.cli.tables import Column, colored, plain, table, width_of_terminal

MOST_ROWS: Final = 8
OPTIONS: Final = {"required_gpu": "--gpu", "required_cpu": "--cpu", "required_ram": "--ram"}


@click.command("why")
@click.argument("name", shell_complete=complete_deployments)
@cluster_option
@output_option
@pass_session
def why_(session: Session, name: str, cluster: str | None, form: str) -> None:
    """Say why a deployment waits, or how it ended."""
    row = finding.deployment(session.client, name, cluster=session.cluster_or_none(cluster))
    if row["status"] != "QUEUED":
        if form in {"json", "yaml"}:
            show_data(form, {"id": row["id"], "status": row["status"], "reason": row["reason"]})
            return
        for line in settled(row):
            click.echo(line)
        return
    explanation = session.client.deployments.explain(row)
    if form in {"json", "yaml"}:
        show_data(form, dict(explanation))
        return
    for line in screen(row, explanation, quote(name)):
        click.echo(line)


def settled(row: Any) -> list[str]:
    """Of what does not wait: since when it runs, or how it ended."""
    lines = folded(heading(row))
    if row["reason"]:
        lines.append(plain(row["reason"]["message"]))
    if row["status"] == "RUNNING":
        lines.append(
            f"Runs since {words.clock(row.started_at)}; `mlops logs {row['name']}` shows more."
        )
    elif row["exit_code"] is not None:
        lines.append(f"Ended with exit code {row['exit_code']}.")
    return lines


def heading(row: Any) -> str:
    since = words.age(row.created_at, row.finished_at)
    name = click.style(plain(row["name"]), bold=True)
    return (
        f"{name} of {plain(row['owner'])} on {plain(row['cluster'])}: {colored(row['status'])}, "
        f"submitted {since} ago, {words.request(row)}, {row['priority']}"
    )


def screen(row: Any, explanation: Any, name: str) -> list[str]:
    """The sentence, the queue, the times, what is in the way, and what would help."""
    reason = explanation.reason or row.reason
    lines = folded(heading(row))
    if reason is not None:
        lines += ["", *(click.style(line, fg="yellow") for line in folded(plain(reason.message)))]
    pairs = [
        ("Position", position(explanation)),
        ("Ahead", plain(explanation.ahead.message) if explanation.ahead else ""),
        ("Forecast", forecast(explanation)),
        ("At the latest", latest(explanation)),
        ("Reserved", reserved(explanation)),
        ("Preemption", preemption(explanation)),
    ]
    lines += ["", *facts(pairs)]
    lines += ["", *in_the_way(explanation), *spared(explanation)]
    lines += ["", *what_helps(row, explanation, name)]
    if not explanation.complete:
        lines += ["", "The queue is long: more may be possible than is shown."]
    return _without_double_gaps(lines)


def position(explanation: Any) -> str:
    place = explanation.queue_position
    return f"{place} in the queue" if place is not None else ""


def forecast(explanation: Any) -> str:
    eta = explanation.eta
    if eta is None or eta.p50 is None:
        return plain(eta.message) if eta else ""
    sure = f", nine times in ten by {words.clock(eta.p90)}" if eta.p90 else ""
    return f"{words.moment(eta.p50)}{sure}"


def latest(explanation: Any) -> str:
    at = explanation.earliest_start
    return f"{words.moment(at)} if nothing else changes" if at else ""


def reserved(explanation: Any) -> str:
    since = explanation.reserved_since
    return f"capacity is reserved for it since {words.clock(since)}" if since else ""


def preemption(explanation: Any) -> str:
    found = explanation.preemption
    return plain(found.message or "") if found and found.starts_at else ""


def in_the_way(explanation: Any) -> list[str]:
    """The deployments that have allocated what it lacks, as a table."""
    found = explanation.allocated_to
    if not found:
        return []
    columns = [
        Column("ALLOCATED TO", shrinks=True),
        Column("OWNER", shrinks=True),
        Column("CLASS"),
        Column("GPU", right=True),
        Column("CPU", right=True),
        Column("RAM", right=True),
        Column("ENDS BY"),
    ]
    rows = [
        (
            plain(each.name),
            plain(each.owner),
            each.priority,
            str(each.allocated.gpu),
            words.cores(each.allocated.cpu),
            words.memory(each.allocated.ram),
            words.moment(each.ends_at) or "no limit",
        )
        for each in found[:MOST_ROWS]
    ]
    more = len(found) - MOST_ROWS
    lines = table(columns, rows, width_of_terminal())
    return [*lines, f"... and {more} more"] if more > 0 else lines


def spared(explanation: Any) -> list[str]:
    """Why nothing of that is preempted, a line for each cause."""
    found = explanation.preemption
    if not found or not found.spared:
        return []
    sentences = [line for each in found.spared for line in folded(plain(each.message), 2)]
    return ["", "Not preempted for it:", *(f"  {line}" for line in sentences)]


def what_helps(row: Any, explanation: Any, name: str) -> list[str]:
    """Commands to copy, each with what it would do."""
    commands = suggestions(row, explanation, name)
    if commands:
        lines = ["To start it now:"]
    elif explanation.earliest_start or (explanation.eta and explanation.eta.p50):
        lines = ["Nothing that you could change starts it now. To wait for it:"]
        commands = [(f"mlops wait {name} --until RUNNING", "")]
    else:
        lines = ["Nothing that you could change starts it. To take it out of the queue:"]
        commands = [(f"mlops stop {name}", "")]
    for command, effect in commands:
        lines += [f"  {click.style(command, fg='cyan')}", *([f"      {effect}"] if effect else [])]
    return lines


def suggestions(row: Any, explanation: Any, name: str) -> list[tuple[str, str]]:
    """Commands that would help, and their effects, the least change first."""
    helps = explanation.starts_now_with
    if helps is None:
        return []
    found = []
    if helps.nothing_changed:
        found.append((f"mlops wait {name} --until RUNNING", "the next cycle starts it"))
    if helps.priority:
        evicts = ", ".join(_victim(each) for each in helps.priority.evicts)
        effect = f"evicts {evicts}" if evicts else "evicts nothing"
        found.append((f"mlops priority {helps.priority.priority} {name}", effect))
    for less in helps.less:
        if less.at_most:
            ram = less.field == "required_ram"
            value = words.exact_memory(int(less.at_most)) if ram else f"{less.at_most:g}"
            found.append((f"mlops change {name} {OPTIONS[less.field]} {value}", "asks for less"))
    if limit_s := helps.get("max_runtime_s"):  # not of an older platform
        limit = f"--time-limit {limit_s}s"
        found.append((f"mlops change {name} {limit}", "ends before maintenance"))
    if helps.without_exclusive:
        found.append((f"mlops change {name} --no-exclusive", "runs beside others"))
    if helps.without_labels:
        rest = {k: v for k, v in row["node_selector"].items() if k not in helps["without_labels"]}
        chosen = " ".join(f"--node-selector {k}={v}" for k, v in rest.items())
        command = f"mlops change {name} {chosen or '--any-node'}"
        found.append((command, "runs on nodes without these labels too"))
    for cluster in helps.another_cluster:
        evicts = f", evicts {len(cluster.evicts)}" if cluster.evicts else ""
        found.append((elsewhere(row, cluster.name), f"starts there{evicts}"))
    return found


def elsewhere(row: Any, cluster: str) -> str:
    """The command that submits the same in another cluster."""
    ram = words.exact_memory(row["required_ram"])
    amounts = f"--gpu {row['required_gpu']} --cpu {row['required_cpu']:g} --ram {ram}"
    words_of = [quote(word) for word in row["args"]]
    program = f" -- {' '.join(words_of)}" if words_of else ""
    return f"mlops run -c {quote(cluster)} {amounts} {quote(row['image'])}{program}"


def _victim(evicted: Any) -> str:
    return (
        f"{plain(evicted.name)} of {plain(evicted.owner)} (loses {words.duration(evicted.lost_s)})"
    )


def _without_double_gaps(lines: list[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return kept[:-1] if kept and not kept[-1] else kept
