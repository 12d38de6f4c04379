"""Finds where the log of a replica is: as it was kept when its container was removed, or at an
endpoint."""

from itertools import zip_longest

from clusters.models import Node, Runtime
from deployments.log_selection import LogQuery, Selection
from deployments.models import Deployment, DeploymentLog
from deployments.output import missing
from deployments.output.missing import Missing
from deployments.queries.placements import node_ids
from deployments.runtimes.log_lines import unpacked
from mlops_platform.api.errors import Conflict


class KeptWithoutTimes(Conflict):
    default_code = "kept_without_times"
    default_detail = "This output was kept without times: ask without timestamps and until."


def source_of(row: Deployment, query: LogQuery) -> bytes | Missing | Node:
    """The log as it was kept, or why there is none, or the node whose endpoint has it.

    Raises 409 where a kept log has no times and the query needs them. Up to two queries.
    """
    attempt = query.attempt or row.attempt
    kept = DeploymentLog.objects.filter(
        deployment=row, attempt=attempt, replica=query.replica
    ).first()
    if kept is not None:
        nothing = missing.NOTHING_SELECTED if kept.output else missing.WROTE_NOTHING
        return _picked_of(kept, query) or nothing
    if row.cluster.runtime == Runtime.SIMULATED:
        return missing.SIMULATED
    if attempt != row.attempt or query.replica >= len(node_ids(row)):
        return missing.nothing_kept(row, attempt)
    node = Node.objects.select_related("endpoint").filter(pk=node_ids(row)[query.replica]).first()
    return missing.NODE_GONE if node is None or node.endpoint is None else node


def _picked_of(kept: DeploymentLog, query: LogQuery) -> bytes:
    output = bytes(kept.output)
    if not query.picks_lines:
        return _last_lines(output, query.tail)
    if output and kept.times is None and (query.timestamps or query.until is not None):
        raise KeptWithoutTimes
    selection = Selection(query, tail=query.tail, stamped=kept.times is not None)
    if kept.times is not None:
        output = _stamped(output, bytes(kept.times))
    return selection.feed(output) + selection.end()


def _stamped(output: bytes, times: bytes) -> bytes:
    stamps = [stamp + b" " for stamp in unpacked(times)]
    lines = output.split(b"\n")
    return b"\n".join(stamp + line for stamp, line in zip_longest(stamps, lines, fillvalue=b""))


def _last_lines(output: bytes, count: int | None) -> bytes:
    """Lines end in a newline, as for the engines: a carriage return only redraws one."""
    if count is None:
        return output
    start = len(output) - output.endswith(b"\n")
    for _ in range(count):
        start = output.rfind(b"\n", 0, start)
        if start < 0:
            return output
    return output[start + 1 :] if count else b""
