"""Judges plans without sharing code with the planner: replays one and looks for breaches.

The store asks it before it applies anything; every property test asks it after everything.
"""

from scheduler.engine.plan import Plan, Start
from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import ACTIVE, LOWER_PRIORITY, Running, Snapshot, Workload


class InvalidPlanError(Exception):
    """A plan that must not be applied; `breaches` has a sentence for each fault."""

    def __init__(self, breaches: list[str]) -> None:
        super().__init__("; ".join(breaches))
        self.breaches = breaches


def verify(snapshot: Snapshot, plan: Plan) -> None:
    """Raise InvalidPlanError unless `plan` keeps every invariant on `snapshot`."""
    if breaches := check(snapshot, plan):
        raise InvalidPlanError(breaches)


def check(snapshot: Snapshot, plan: Plan) -> list[str]:
    """What is wrong with `plan`, a sentence each; an empty list when nothing is."""
    return [
        *_everybody_once(snapshot, plan),
        *_capacity(snapshot, plan),
        *_preemptions(snapshot, plan),
        *_closed(snapshot, plan),
    ]


def _everybody_once(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Nobody is lost, nobody is decided twice, everybody who waits is told why."""
    breaches = []
    queued = {workload.id: workload for workload in snapshot.queued}
    started = [start.workload_id for start in plan.starts]
    evicted = [eviction.workload_id for eviction in plan.evictions]
    for kind, ids, known in (("start", started, queued), ("eviction", evicted, _by_id(snapshot))):
        if len(set(ids)) != len(ids):
            breaches.append(f"a second {kind} of one workload")
        breaches += [f"{kind} of {each}, which is not there" for each in ids if each not in known]
    told_keys = {wait.scheduling_key for wait in plan.waits if wait.workload_id is None}
    told_ids = {wait.workload_id for wait in plan.waits if wait.workload_id is not None}
    breaches += [f"{each} both starts and waits" for each in sorted(told_ids.intersection(started))]
    decided = told_ids.union(started)
    breaches += [
        f"{workload.id} neither starts nor is told why it waits"
        for workload in snapshot.queued
        if workload.id not in decided and workload.scheduling_key not in told_keys
    ]
    return breaches


def _capacity(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Start by start, in the plan's order, nothing is over-committed and every gang is whole."""
    breaches = []
    queued = {workload.id: workload for workload in snapshot.queued}
    running = _by_id(snapshot)
    free = snapshot.total.minus(snapshot.allocated)
    for start in plan.starts:
        workload = queued.get(start.workload_id)
        if workload is None:
            continue
        if not start.usable.fits_in(free):
            breaches.append(f"{workload.id} counted on more than was free")
        freed = _freed(start, running)
        if not workload.total.fits_in(start.usable.plus(freed)):
            breaches.append(f"{workload.id} does not fit where it starts")
        free = free.plus(freed).minus(workload.total)
        if sum(placement.replicas for placement in start.placement) != workload.replicas:
            breaches.append(f"{workload.id} is placed in part")
    return breaches


def _preemptions(snapshot: Snapshot, plan: Plan) -> list[str]:
    """Victims are lower, allowed and needed; each eviction for a start is that start's."""
    breaches: list[str] = []
    queued = {workload.id: workload for workload in snapshot.queued}
    running = _by_id(snapshot)
    by_preemptor = {start.workload_id: set(start.victims) for start in plan.starts}
    breaches += [
        f"{eviction.workload_id} is evicted for nothing"
        for eviction in plan.evictions
        if eviction.by is not None and eviction.workload_id not in by_preemptor.get(eviction.by, ())
    ]
    evicted = {eviction.workload_id for eviction in plan.evictions if eviction.by is not None}
    for start in plan.starts:
        breaches += [f"victim {v} is not evicted" for v in start.victims if v not in evicted]
        preemptor = queued.get(start.workload_id)
        victims = [running[v] for v in start.victims if v in running]
        if preemptor is None or not victims:
            continue
        breaches += _forbidden(snapshot, preemptor, victims)
        reach = start.usable.plus(_freed(start, running))
        breaches += [
            f"{victim.id} was not needed by {preemptor.id}"
            for victim in victims
            if preemptor.total.fits_in(reach.minus(victim.total))
        ]
    return breaches


def _forbidden(snapshot: Snapshot, preemptor: Workload, victims: list[Running]) -> list[str]:
    breaches = []
    classes = {priority.name: priority for priority in snapshot.classes}
    rank = classes[preemptor.priority]
    if snapshot.policy.preemption != LOWER_PRIORITY or not rank.may_preempt:
        breaches.append(f"{preemptor.id} may not preempt")
    for victim in victims:
        if classes[victim.priority].value >= rank.value or not classes[victim.priority].preemptible:
            breaches.append(f"{victim.id} may not be preempted by {preemptor.id}")
        if victim.preemptions >= snapshot.policy.max_preemptions:
            breaches.append(f"{victim.id} was preempted too often already")
        ran_ms = snapshot.now_ms - victim.started_ms if victim.started_ms is not None else 0
        if ran_ms < snapshot.policy.preempt_exempt_s * 1000:
            breaches.append(f"{victim.id} is still exempt")
    return breaches


def _closed(snapshot: Snapshot, plan: Plan) -> list[str]:
    if snapshot.state != ACTIVE and plan.starts:
        return [f"starts in a cluster that is {snapshot.state}"]
    return []


def _by_id(snapshot: Snapshot) -> dict[str, Running]:
    return {running.id: running for running in snapshot.running}


def _freed(start: Start, running: dict[str, Running]) -> Resources:
    freed = NOTHING
    for victim in start.victims:
        if victim in running:
            freed = freed.plus(running[victim].total)
    return freed
