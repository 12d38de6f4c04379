"""Assesses replicas that run: whether they are ready, and how long they may fail to be. Pure.

An answer shows that a deployment is not ready, and that it is ready again, at most once in
STEADY: a program whose readiness flaps writes no endless timeline.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from clusters.models import NodeState
from deployments.models import Deployment, Status
from deployments.reconciler.observation import Replica
from deployments.runtimes.base import Code, Phase

START_WITHIN_S = 600  # default time for a readiness probe to pass
STEADY = timedelta(seconds=30)
SCHEDULE_WITHIN = timedelta(seconds=60)  # for a Pod to be bound to the node it is placed on


class Unready(NamedTuple):
    """Why a deployment whose replicas run is not ready; with a limit, when that ends it."""

    code: str
    details: dict[str, Any]
    ends_at: datetime | None = None


def paused(replicas: Sequence[Replica]) -> Unready | None:
    """Of a replica that was paused at its engine: its processes get no time."""
    for each in replicas:
        if each.status and each.status.problem and each.status.problem.code == Code.PAUSED:
            return Unready(Code.PAUSED, {"node": each.node.name if each.node else None})
    return None


def unready(row: Deployment, replicas: Sequence[Replica], now: datetime) -> Unready | None:
    """Of a RUNNING row, with what its probe answers now. What runs on a node that is away says
    nothing of its program."""
    since = unready_since(row)
    for each in replicas:
        status, node = each.status, each.node
        if status is None or node is None or node.observed == NodeState.NOT_READY:
            continue
        if status.phase != Phase.RUNNING or status.ready or status.stopping:
            continue
        if status.problem is None or status.problem.code != Code.NOT_READY:
            continue
        since = since or now
        details: dict[str, Any] = {"since": since.isoformat()}
        if status.problem.message:
            details["said"] = status.problem.message
        if row.replicas > 1:
            details["replica"] = each.number
        after_s = _liveness(row).get("after_s")
        ends_at = since + timedelta(seconds=after_s) if after_s else None
        return Unready(Code.NOT_READY, details, ends_at)
    return None


def answer(replicas: Sequence[Replica]) -> dict[str, Any]:
    """What the probe of the first replica that is not ready answers, as details; else none."""
    for each in replicas:
        problem = each.status.problem if each.status else None
        if problem is not None and problem.code == Code.NOT_READY and problem.message:
            of_gang = {"replica": each.number} if len(replicas) > 1 else {}
            return {"said": problem.message, **of_gang}
    return {}


def steady(row: Deployment, code: str, details: dict[str, Any]) -> dict[str, Any]:
    """The details with the first answer of a probe that still does not pass: each further one may
    differ, as by a time in it, and would be one more entry of the timeline."""
    first = row.reason_details.get("said") if row.reason_code == code == Code.NOT_READY else None
    return {**details, "said": first} if first else details


def unready_since(row: Deployment) -> datetime | None:
    if row.status != Status.RUNNING or row.reason_code != Code.NOT_READY:
        return None
    since = row.reason_details.get("since")
    return datetime.fromisoformat(since) if since else None


def ends_for_good(row: Deployment) -> bool:
    """Whether a deployment that is not alive fails; else it is started again."""
    return bool(_liveness(row).get("then") == "fail")


def ready_by(row: Deployment, replicas: Sequence[Replica]) -> datetime | None:
    """When a STARTING row fails unless its probe has passed; None while nothing of it runs."""
    if row.readiness is None:
        return None
    times = [each.status.started_at for each in replicas if each.status and each.status.started_at]
    return max(times) + timedelta(seconds=within_s(row)) if times else None


def within_s(row: Deployment) -> int:
    return int((row.readiness or {}).get("within_s") or START_WITHIN_S)


def next_moment(row: Deployment, replicas: Sequence[Replica], now: datetime) -> datetime | None:
    """When the row is to be assessed again though nothing changes."""
    moments: list[datetime | None] = []
    if row.status == Status.STARTING:
        moments = [ready_by(row, replicas)]
        problems = [each.status.problem for each in replicas if each.status]
        if row.admitted_at and any(each and each.code == Code.UNSCHEDULABLE for each in problems):
            moments.append(row.admitted_at + SCHEDULE_WITHIN)
    elif row.status == Status.RUNNING:
        since = unready_since(row)
        found = unready(row, replicas, now)
        moments = [found.ends_at if found else None, since + STEADY if since else None]
    if paused(replicas) is not None:
        moments.append(row.due_at)
    moments += [each.lost_at for each in replicas]
    return min((each for each in moments if each and each > now), default=None)


def _liveness(row: Deployment) -> dict[str, Any]:
    return (row.readiness or {}).get("liveness") or {}
