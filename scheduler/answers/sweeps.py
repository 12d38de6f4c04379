"""What a sweep would do at once: for its dry run.

All members are planned together, in the queue and under the sweep's limit. Input and planning are
bounded and shared as those of an explanation.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from rest_framework.exceptions import Throttled

from deployments.hooks import Foreseen
from deployments.models import Deployment
from deployments.names import references
from deployments.queries.dependencies import Dependency
from deployments.queries.names import names_of
from deployments.reasons.codes import render
from deployments.reasons.reader import reasons_for
from mlops_platform.api.throttling.concurrency import slot
from scheduler.answers.budget import AnswerBudget
from scheduler.answers.changes import BUSY
from scheduler.answers.explain import as_workload, evicted
from scheduler.answers.names import with_names
from scheduler.answers.shares import shares_of
from scheduler.engine import whatif
from scheduler.engine.plan import Plan
from scheduler.engine.queue.order import order_key
from scheduler.engine.snapshot import Snapshot, SweepLimit, Workload
from scheduler.engine.whatif import Unanswered
from scheduler.store import part_reader, see_one_moment
from scheduler.store.volumes import local_volumes
from scheduler.store.volumes import names_of as names_of_volumes

TOO_MUCH = "It would take too long to find out."


def foresee(members: Sequence[Deployment], needed: Sequence[Dependency]) -> Foreseen:
    """What would become of unsaved members of one sweep, if they were queued now. All depend on
    `needed`."""
    first = members[0]
    if first.pending_dependencies:
        reason = reasons_for([first], {first.pk: needed})[first.pk]
        return Foreseen(0, len(members), (), reason)
    budget = AnswerBudget()
    try:
        with slot(shares_of(first.cluster)):
            return _foreseen(members, budget)
    except Unanswered:
        return Foreseen(unknown=TOO_MUCH)
    except Throttled:
        return Foreseen(unknown=BUSY)


def _foreseen(members: Sequence[Deployment], budget: AnswerBudget) -> Foreseen:
    first, cluster = members[0], members[0].cluster
    local = names_of_volumes(local_volumes([cluster]).get(cluster.pk, ()))
    workloads = [as_workload(row, local) for row in members]
    with transaction.atomic():
        see_one_moment()
        part = part_reader(cluster.pk).now_with(workloads[0])
    if not all(part.covers(each) for each in workloads):
        raise Unanswered
    in_line = sorted(workloads, key=order_key(part.snapshot))
    plan = _planned(_limited(part.snapshot, first), in_line, budget)
    own = {each.id for each in workloads}
    started = {each.workload_id for each in plan.starts} & own
    waits = next((each for each in in_line if each.id not in started), None)
    victims = evicted(tuple(each for each in plan.evictions if each.by in own))
    return Foreseen(
        len(started),
        len(own) - len(started),
        with_names({"evicts": victims})["evicts"],
        None if waits is None else _reason(plan, waits),
    )


def _limited(snapshot: Snapshot, first: Deployment) -> Snapshot:
    sweep = first.sweep
    if sweep is None or sweep.max_parallel is None:
        return snapshot
    limit = SweepLimit(str(sweep.pk), sweep.max_parallel, 0)
    return replace(snapshot, sweeps=(*snapshot.sweeps, limit))


def _planned(snapshot: Snapshot, in_line: Sequence[Workload], budget: AnswerBudget) -> Plan:
    *before, last = in_line
    snapshot = replace(snapshot, queued=(*snapshot.queued, *before))
    return whatif.plan_with(snapshot, last, budget.check).plan


def _reason(plan: Plan, workload: Workload) -> dict[str, Any]:
    reasons = {each.workload_id or each.scheduling_key: each.reason for each in plan.waits}
    found = reasons.get(workload.id) or reasons[workload.scheduling_key]
    return render(found.code, found.details, names_of(references(found.details)))
