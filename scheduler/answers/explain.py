"""Why a deployment waits, which deployments have allocated what it needs, and what would let it
start now.

The production planner gives each answer, on a snapshot of one moment that is read without a lock.
So an explanation delays no cycle. Snapshot and planning are bounded (store/part_reader.py,
budget.py): an answer that rests on less than it would need says so.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from clusters.models import Cluster, Runtime
from deployments.models import Deployment, Status
from deployments.queries.deployments import positions_of
from deployments.queries.priority_classes import priority_classes
from deployments.reasons.reader import reasons_for
from deployments.scheduling_key import owner_in_key
from deployments.whole_nodes import ALL_GPUS, EXCLUSIVE
from mlops_platform.api.ids import milliseconds, moment
from mlops_platform.api.resources import PUBLIC_NAMES, public_amount
from scheduler.answers.ahead import ahead_of
from scheduler.answers.budget import AnswerBudget
from scheduler.answers.names import with_names
from scheduler.answers.preemption import preemption_shown
from scheduler.engine import Snapshot, whatif
from scheduler.engine.plan import Eviction
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import GPUS, NODE, Running, Workload
from scheduler.engine.whatif import Unanswered, WhatIf
from scheduler.start_times.single import eta_of
from scheduler.store import Part, part_reader, see_one_moment
from scheduler.store.volumes import away_from, local_volumes, selector_in, selector_of
from scheduler.store.volumes import names_of as names_of_volumes

MOST_OCCUPANTS = 10
MOST_CLUSTERS = 10


def explain(deployment: Deployment) -> dict[str, Any]:
    """The values of ExplanationSerializer. For a deployment that does not wait, only the reason is
    set."""
    base = {
        "id": deployment.pk,
        "status": deployment.status,
        "reason": reasons_for([deployment])[deployment.pk],
        "queue_position": None,
        "ahead": None,
        "eta": None,
        "reserved_since": None,
        "earliest_start": None,
        "preemption": None,
        "allocated_to": [],
        "starts_now_with": None,
        "complete": True,
    }
    if deployment.status != Status.QUEUED:
        return base
    names = list(priority_classes())
    base["queue_position"] = positions_of([deployment], names)[deployment.pk]
    if deployment.pending_dependencies or deployment.retry_at:
        return base  # the reason names its dependencies, or the time of its retry
    budget = AnswerBudget()
    with transaction.atomic():
        see_one_moment()
        found = Deployment.objects.select_related("priority_class", "cluster")
        deployment = found.filter(pk=deployment.pk, status=Status.QUEUED).first() or deployment
        reader = part_reader(deployment.cluster_id)
        ever = reader.ever
        workload = as_workload(deployment)
        now = ever if ever.covers(workload) else reader.now
        if deployment.pk in {UUID(each.id) for each in now.snapshot.running}:
            return base  # it has started since the request
        base |= _what_if(deployment, workload, now, ever, budget)
        base["ahead"] = ahead_of(deployment, workload, ever)
        base["eta"] = eta_of(deployment, workload, reader, reader.now_ms)
    return with_names(base)


def _what_if(
    deployment: Deployment, workload: Workload, now: Part, ever: Part, budget: AnswerBudget
) -> dict[str, Any]:
    """`now` and `ever` are the parts of the queue that matter while nothing ends, and once
    allocations end. Later questions get what earlier ones leave of the budget."""
    at_present = WhatIf(now.snapshot, workload, covers=now.covers, check=budget.check)
    after = at_present
    if ever is not now:
        after = WhatIf(ever.snapshot, workload, covers=ever.covers, check=budget.check)
    occupants = whatif.occupants(now.snapshot, workload)
    largest = occupants[:MOST_OCCUPANTS]
    spared = at_present.spared(occupants)
    found = {
        "reserved_since": _reserved_since(now.snapshot, workload),
        "allocated_to": _occupants(largest),
        "starts_now_with": {
            "nothing_changed": at_present.starts(),
            "priority": _priority(at_present),
            "after": _after(after, largest),
            "less": _less(at_present),
            "without_volumes": at_present.without_volumes(),
            "without_exclusive": at_present.without_exclusive(
                GPUS if ALL_GPUS in deployment.whole else ""
            ),
            "without_labels": at_present.without_labels(),
            "max_runtime_s": _whole_minutes(at_present.largest_limit_s()),
            "another_cluster": _elsewhere(deployment, workload, at_present, budget),
        },
    }
    earliest = after.earliest_start()
    found |= {
        "earliest_start": moment(earliest.at_ms) if earliest else None,
        "preemption": preemption_shown(earliest, spared, complete=after.complete),
    }
    return found | {"complete": at_present.complete and after.complete}


def _whole_minutes(limit_s: int | None) -> int | None:
    """A limit that is still short enough when the user has submitted it."""
    return limit_s if limit_s is None or limit_s < 120 else limit_s // 60 * 60


def as_workload(deployment: Deployment, local: Collection[str] | None = None) -> Workload:
    """The deployment as the planner sees it while it waits.

    `local`: the names of its cluster's volumes that only some nodes have; one query where they are
    not given and it mounts volumes.
    """
    if local is None:
        concerned = [deployment.cluster] if deployment.volumes else []
        local = names_of_volumes(local_volumes(concerned).get(deployment.cluster_id, ()))
    selector = selector_of(deployment.node_selector, deployment.volumes, local)
    return Workload(
        id=str(deployment.pk),
        scheduling_key=deployment.scheduling_key,
        priority=deployment.priority_class.name,
        request=Resources(deployment.cpu_milli, deployment.ram_mib, deployment.gpu),
        replicas=deployment.replicas,
        submitted_ms=milliseconds(deployment.created_at),
        queued_ms=milliseconds(deployment.queued_at),
        selector=away_from(deployment.avoided_node_id, selector)
        if deployment.avoided_node_id
        else selector,
        limit_s=deployment.max_runtime_s,
        owner=owner_in_key(deployment),
        endless=deployment.is_endless,
        preemptions=deployment.preemption_count,
        whole=_whole(deployment),
        sweep=str(deployment.sweep_id or ""),
    )


def _whole(deployment: Deployment) -> str:
    if EXCLUSIVE in deployment.whole:
        return NODE
    return GPUS if ALL_GPUS in deployment.whole else ""


def _reserved_since(snapshot: Snapshot, workload: Workload) -> datetime | None:
    since = {each.workload_id: each.since_ms for each in snapshot.reservation_history}.get(
        workload.id
    )
    return moment(since) if since is not None else None


def _occupants(running: list[Running]) -> list[dict[str, Any]]:
    """Their allocation is in millicores, which the serializer shows as cores."""
    return [
        {
            "deployment_id": each.id,
            "priority": each.priority,
            "allocated": {
                PUBLIC_NAMES[name]: amount for name, amount in each.total.named().items()
            },
            "ends_at": moment(each.ends_ms) if each.ends_ms is not None else None,
        }
        for each in running
    ]


def _less(what_if: WhatIf) -> list[dict[str, Any]]:
    """By resource, the largest amount per replica with which the deployment would start now."""
    return [
        {"field": f"required_{PUBLIC_NAMES[name]}", "at_most": public_amount(name, amount)}
        for name, amount in what_if.largest_amounts().items()
    ]


def _priority(what_if: WhatIf) -> dict[str, Any] | None:
    found = what_if.priority_that_starts()
    if found is None:
        return None
    priority, plan = found
    return {"priority": priority.name, "evicts": evicted(plan.evictions)}


def evicted(evictions: tuple[Eviction, ...]) -> list[dict[str, Any]]:
    return [
        {"deployment_id": each.workload_id, "lost_s": each.lost_ms // 1000} for each in evictions
    ]


def _elsewhere(
    deployment: Deployment, workload: Workload, what_if: WhatIf, budget: AnswerBudget
) -> list[dict[str, Any]]:
    """The clusters of the organization in which the workload would start now: of at most
    MOST_CLUSTERS others, simulated ones for a deployment of a simulated cluster, else real ones."""
    simulated = Q(runtime=Runtime.SIMULATED)
    if deployment.cluster.runtime != Runtime.SIMULATED:
        simulated = ~simulated
    others = (
        Cluster.objects.filter(simulated, organization=deployment.cluster.organization_id)
        .exclude(pk=deployment.cluster_id)
        .order_by("created_at", "id")[:MOST_CLUSTERS]
    )
    found = []
    for cluster in others:
        try:
            evictions = _start_in(cluster, deployment, workload, budget)
        except Unanswered:
            what_if.complete = False
        else:
            if evictions is not None:
                evicts = evicted(evictions)
                found.append({"cluster_id": cluster.pk, "name": cluster.name, "evicts": evicts})
    return found


def _start_in(
    cluster: Cluster, deployment: Deployment, workload: Workload, budget: AnswerBudget
) -> tuple[Eviction, ...] | None:
    """The evictions with which the workload would start now in another cluster; None if it would
    not start there. Raises Unanswered."""
    budget.check()
    part = part_reader(cluster.pk).now
    now_ms = part.snapshot.now_ms
    newcomer = replace(
        workload,
        submitted_ms=now_ms,
        queued_ms=now_ms,
        selector=selector_in(cluster, deployment),
        owner=str(deployment.owner_id) if part.snapshot.by_owner else "",
        sweep="",
    )
    plan = whatif.plan_with(part.snapshot, newcomer, budget.check, with_waits=False)
    if plan.start is None:
        return None
    if not part.covers(newcomer):
        raise Unanswered
    return plan.evictions


def _after(what_if: WhatIf, occupants: list[Running]) -> dict[str, Any]:
    """After which ends the workload would start: the first end by a time limit, and each occupant
    whose end alone is enough."""
    limited = what_if.after_limits()
    singles = what_if.after_any_of(occupants)
    return {
        "at": moment(limited.at_ms) if limited and limited.at_ms is not None else None,
        "end_of": limited.ids[0] if limited else None,
        "any_one_of": [each.ids[0] for each in singles],
    }
