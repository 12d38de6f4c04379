"""What other priorities would evict: for the dry run of an action on many deployments.

Each cluster is planned once, with all of the changes made, so that no victim is named twice. Input
and planning are bounded and shared as those of an explanation.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import transaction
from rest_framework.exceptions import Throttled

from deployments.hooks import Evictions
from deployments.models import Deployment, PriorityClass, Status
from deployments.queries.priority_classes import priority_classes, priority_named
from deployments.scheduling_key import key_of
from mlops_platform.api.throttling.concurrency import slot
from scheduler.answers.budget import AnswerBudget
from scheduler.answers.explain import as_workload, evicted
from scheduler.answers.names import with_names
from scheduler.answers.shares import shares_of
from scheduler.engine import whatif
from scheduler.engine.plan import Eviction
from scheduler.engine.queue.order import order_key
from scheduler.engine.snapshot import Workload
from scheduler.engine.whatif import Unanswered
from scheduler.store import Part, part_reader, see_one_moment
from scheduler.store.volumes import local_volumes
from scheduler.store.volumes import names_of as names_of_volumes

MOST_CLUSTERS = 10
TOO_MUCH = "It would take too long to find out for all of them: choose fewer."
BUSY = "Too many such questions are asked just now: ask again later."


def would_evict(rows: Sequence[Deployment], priority: str) -> Evictions:
    """What would be evicted at once for each of these deployments, if all had that priority."""
    given = priority_named(priority, priority_classes())
    found: dict[UUID, list[dict[str, Any]]] = {}
    waiting: dict[UUID, list[Deployment]] = defaultdict(list)
    for row in rows:
        if row.status == Status.QUEUED:
            waiting[row.cluster_id].append(row)
        else:
            found[row.pk] = []  # what has a place needs no other
    concerned = {row.pk for row in rows}
    unknown, budget = None, AnswerBudget()
    for number, some in enumerate(waiting.values()):
        try:
            if number >= MOST_CLUSTERS:
                raise Unanswered
            with slot(shares_of(some[0].cluster)):
                known = _in_cluster(some, given, concerned, budget)
        except Unanswered:
            unknown = TOO_MUCH
        except Throttled:
            unknown = BUSY
        else:
            found |= known
            if len(known) < len(some):
                unknown = TOO_MUCH
    named = with_names({"evicts": list(found.values())})["evicts"]
    return Evictions(dict(zip(found, named, strict=True)), unknown)


def _in_cluster(
    waiting: Sequence[Deployment],
    given: PriorityClass,
    concerned: Collection[UUID],
    budget: AnswerBudget,
) -> dict[UUID, list[dict[str, Any]]]:
    """By id, for those about which the planner could tell. `concerned`: all that get the class.
    Raises Unanswered."""
    budget.check()
    keys, cluster = [row.pk for row in waiting], waiting[0].cluster
    local = names_of_volumes(local_volumes([cluster]).get(cluster.pk, ()))
    with transaction.atomic():
        see_one_moment()
        rows = Deployment.objects.filter(pk__in=keys, status=Status.QUEUED)
        rows = rows.filter(pending_dependencies=0, retry_at=None)
        workloads = []
        for row in rows.select_related("cluster", "priority_class"):
            row.priority_class = given
            row.scheduling_key = key_of(row)
            workloads.append(as_workload(row, local))
        if not workloads:
            return {key: [] for key in keys}
        part = part_reader(cluster.pk).now_with(workloads[0])
    evictions = _planned(part, workloads, {str(each) for each in concerned}, budget)
    known = {UUID(each.id): part.covers(each) for each in workloads}
    return {
        key: evicted(tuple(each for each in evictions if each.by == str(key)))
        for key in keys
        if known.get(key, True)  # what waits for a dependency evicts none now
    }


def _planned(
    part: Part, workloads: Sequence[Workload], concerned: Collection[str], budget: AnswerBudget
) -> tuple[Eviction, ...]:
    """Of the plan with all of the changes, which has come to the last of the workloads in line.
    Raises Unanswered."""
    *before, last = sorted(workloads, key=order_key(part.snapshot))
    own, name = {each.id for each in workloads}, last.priority
    snapshot = replace(
        part.snapshot,
        queued=(*(each for each in part.snapshot.queued if each.id not in own), *before),
        running=tuple(
            replace(each, priority=name) if each.id in concerned else each
            for each in part.snapshot.running
        ),
    )
    return whatif.plan_with(snapshot, last, budget.check, with_waits=False).plan.evictions
