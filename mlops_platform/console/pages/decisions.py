"""What the scheduler has decided in a cluster, cycle by cycle, with names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import User
from clusters.queries import cluster_by_id
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from mlops_platform.console.pages.why import time_in_words
from organizations.access import require
from organizations.models import Role
from scheduler import ledger
from scheduler.api.plan_serializers import shown_plan
from scheduler.models import SchedulingCycle, Trigger
from scheduler.queries import cycles_of, cycles_visible_to

PER_PAGE = 50
MOST_LINES = 200
"""Of each part of a decision."""
CAUSES: dict[str, str] = {
    Trigger.SUBMITTED: "a submit",
    Trigger.STOPPED: "a stop",
    Trigger.FINISHED: "an end",
    Trigger.CHANGED: "a change",
    Trigger.OPERATOR: "a request of an operator",
    Trigger.SWEEP: "the look that comes every minute",
    Trigger.TIMER: "a moment that was waited for",
    Trigger.CONTINUED: "the cycle before, which it goes on from",
}


@dataclass(frozen=True)
class CycleLine:
    id: UUID
    at: datetime
    cause: str
    started: int
    evicted: int
    waiting: int


@dataclass(frozen=True)
class DecisionsPage:
    cluster_id: str
    cluster: str
    cycles: list[CycleLine]
    older: str = ""
    """The id of the last cycle here, where older ones follow."""


@dataclass(frozen=True)
class Line:
    """Something that a cycle decided, of the deployment `id` where it is of one alone."""

    id: str | None
    name: str
    said: str


@dataclass(frozen=True)
class DecisionPage:
    cycle: CycleLine
    cluster_id: str
    cluster: str
    took_ms: float
    engine_version: str
    is_readable: bool
    starts: list[Line] = field(default_factory=list)
    evictions: list[Line] = field(default_factory=list)
    waits: list[Line] = field(default_factory=list)
    reserved_for: list[str] = field(default_factory=list)
    is_cut: bool = False


def decisions_page(user: User, cluster_id: str, before: str) -> DecisionsPage:
    """404 where the user may not see the cluster. `before`: the id of the last cycle of the page
    before. Up to four queries."""
    cluster = cluster_by_id(cluster_id)
    require(user, cluster.organization_id, Role.VIEWER)
    rows = cycles_of(cluster)
    key = parse_uuid(before)
    last = rows.filter(pk=key).first() if key else None
    if last is not None:
        earlier = Q(started_at__lt=last.started_at) | Q(started_at=last.started_at, pk__lt=last.pk)
        rows = rows.filter(earlier, started_at__lte=last.started_at)
    found = list(rows[: PER_PAGE + 1])
    shown = found[:PER_PAGE]
    return DecisionsPage(
        str(cluster.pk),
        cluster.name,
        [_line(each) for each in shown],
        str(shown[-1].pk) if len(found) > len(shown) else "",
    )


def decision_page(user: User, cycle_id: str) -> DecisionPage:
    """404 where the user may not see it. Up to six queries."""
    key = parse_uuid(cycle_id)
    cycle = cycles_visible_to(user).filter(pk=key).first() if key else None
    if cycle is None:
        raise not_found()
    plan = ledger.plan_of(cycle)
    shown: Mapping[str, Any] = shown_plan(plan) if plan is not None else {}
    parts = {name: shown.get(name, ()) for name in ("starts", "evictions", "waits")}
    reserved = [shown.get("reserved_for_name"), *shown.get("also_reserved_for_names", ())]
    return DecisionPage(
        cycle=_line(cycle),
        cluster_id=str(cycle.cluster_id),
        cluster=cycle.cluster.name,
        took_ms=cycle.load_ms + cycle.plan_ms + cycle.apply_ms,
        engine_version=cycle.engine_version,
        is_readable=plan is not None,
        starts=[_start(each) for each in parts["starts"][:MOST_LINES]],
        evictions=[_eviction(each) for each in parts["evictions"][:MOST_LINES]],
        waits=[_wait(each) for each in parts["waits"][:MOST_LINES]],
        reserved_for=[each for each in reserved if each],
        is_cut=any(len(each) > MOST_LINES for each in parts.values()),
    )


def _line(cycle: SchedulingCycle) -> CycleLine:
    return CycleLine(
        cycle.pk,
        cycle.started_at,
        CAUSES.get(cycle.trigger, cycle.trigger.lower()),
        cycle.started_count,
        cycle.evicted_count,
        cycle.waiting_count,
    )


def _start(start: Mapping[str, Any]) -> Line:
    nodes = [
        _replicas(each["replicas"]) + (each["node"] or "a node that is gone")
        for each in start["placement"]
        if each["node_id"]
    ]
    parts = [f"on {', '.join(nodes)}" if nodes else "in the pool"]
    if start["victim_names"]:
        proved = "proved to be the cheapest" if start["proved_cheapest"] else "the cheapest found"
        parts.append(f"in place of {', '.join(start['victim_names'])}, {proved}")
        if start["next_best_names"]:
            parts.append(f"next would have been {', '.join(start['next_best_names'])}")
    if start.get("by_image"):
        parts.append("which has its image")
    return Line(start["deployment_id"], start["name"], "; ".join(parts))


def _replicas(count: int) -> str:
    return f"{count} replicas on " if count > 1 else ""


def _eviction(eviction: Mapping[str, Any]) -> Line:
    lost = f"{time_in_words(eviction['lost_s'])} of work lost"
    said = f"{eviction['reason']['message']} {lost}."
    return Line(eviction["deployment_id"], eviction["name"], said)


def _wait(wait: Mapping[str, Any]) -> Line:
    name = wait["name"] or "All that ask for the same"
    return Line(wait["deployment_id"], name, wait["reason"]["message"])
