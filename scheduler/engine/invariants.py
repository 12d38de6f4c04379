"""Judges plans without sharing code with the planner: replays one and looks for breaches.

The store asks it before it applies anything; every property test asks it after everything.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from scheduler.engine.invariants_of_waits import (
    in_window,
    over_limits,
    reservation_faults,
    windows_by_node,
)
from scheduler.engine.plan import Plan, Start
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import (
    ACTIVE,
    DEFAULT_QUOTA,
    GPUS,
    LOWER_PRIORITY,
    NODE,
    READY,
    Node,
    Running,
    Snapshot,
    Workload,
)

_Running = Mapping[str, Running]  # by id


def sum_of(amounts: Iterable[Resources]) -> Resources:
    total = ZERO
    for amount in amounts:
        total = total.plus(amount)
    return total


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
    if any(start.given for start in plan.starts):
        snapshot = replace(snapshot, queued=_as_started(snapshot, plan))
    running = {each.id: each for each in snapshot.running}
    breaches = [*_each_once(snapshot, plan, running), *_capacity(snapshot, plan, running)]
    if plan.evictions or any(start.victims for start in plan.starts):
        breaches += _preemptions(snapshot, plan, running)
    if snapshot.quotas:
        breaches += _quotas(snapshot, plan, running)
    if snapshot.sweeps:
        breaches += over_limits(snapshot, plan)
    if snapshot.policy.low_share_percent:
        breaches += _share(snapshot, plan, running)
    if snapshot.state != ACTIVE and plan.starts:
        breaches.append(f"starts in a cluster that is {snapshot.state}")
    if len(set(plan.reserved_for)) != len(plan.reserved_for):
        breaches.append("capacity is reserved twice for one workload")
    for id_ in plan.reserved_for:
        breaches += reservation_faults(snapshot, plan, id_)
    return breaches


def _each_once(snapshot: Snapshot, plan: Plan, running: _Running) -> list[str]:
    """No workload is lost or decided twice, and each that waits has a reason."""
    breaches = []
    queued = {workload.id: workload for workload in snapshot.queued}
    started = [start.workload_id for start in plan.starts]
    evicted = [eviction.workload_id for eviction in plan.evictions]
    for kind, ids, known in (("start", started, queued), ("eviction", evicted, running)):
        if len(set(ids)) != len(ids):
            breaches.append(f"a second {kind} of one workload")
        breaches += [f"{kind} of {each}, which is not there" for each in ids if each not in known]
    told_keys = {wait.scheduling_key for wait in plan.waits if wait.workload_id is None}
    told_ids = {wait.workload_id for wait in plan.waits if wait.workload_id is not None}
    breaches += [f"{each} both starts and waits" for each in sorted(told_ids.intersection(started))]
    decided = told_ids.union(started)
    breaches += [
        f"{workload.id} neither starts nor has a reason to wait"
        for workload in snapshot.queued
        if workload.id not in decided and workload.scheduling_key not in told_keys
    ]
    return breaches


def _capacity(snapshot: Snapshot, plan: Plan, running: _Running) -> list[str]:
    """Start by start, in the plan's order: nothing is over-committed, every gang is whole, on open
    nodes with the right labels, and no victim could have been spared."""
    breaches: list[str] = []
    queued = {workload.id: workload for workload in snapshot.queued}
    replayed, owners = _Replay(snapshot), _Owners(snapshot) if snapshot.quotas else None
    for eviction in plan.evictions:
        if eviction.by is None and eviction.workload_id in running:
            replayed.give(running[eviction.workload_id])
            if owners is not None:
                owners.move(running[eviction.workload_id], -1)
    for start in plan.starts:
        workload = queued.get(start.workload_id)
        if workload is None:
            continue
        replayed.withheld = dict(start.withheld)
        if any(min(replayed.reach(at)) < 0 for at in replayed.withheld):
            breaches.append(f"more was withheld from {workload.id} than was free")
        victims = [running[victim] for victim in start.victims if victim in running]
        for victim in victims:
            replayed.give(victim)
        breaches += replayed.faults(workload, start)
        if victims:
            surplus = replayed.count_of(workload) - workload.replicas
            breaches += [
                f"{victim.id} was not needed by {workload.id}"
                for victim in victims
                if replayed.count_of(workload, on=victim) <= surplus
                and not (owners is not None and owners.need(victim, workload, victims))
            ]
        if owners is not None:
            for victim in victims:
                owners.move(victim, -1)
            owners.move(workload, 1)
        replayed.take(workload, start)
    return breaches


def _as_started(snapshot: Snapshot, plan: Plan) -> tuple[Workload, ...]:
    """The queue: one that takes whole nodes with the request that its start gives it."""
    given = {start.workload_id: start.given for start in plan.starts if start.given}
    return tuple(
        replace(each, request=given[each.id]) if each.id in given else each
        for each in snapshot.queued
    )


class _Owners:
    """What owners have allocated as the plan is replayed, and what they may have."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._limits = dict(snapshot.quotas)
        self._allocated = dict(snapshot.allocated_by_owner)

    def move(self, each: Workload | Running, sign: int) -> None:
        had = self._allocated.get(each.owner, ZERO)
        self._allocated[each.owner] = had.plus(each.total.times(sign))

    def over(self, workload: Workload, gone: Sequence[Running] = ()) -> bool:
        """Whether the workload's start would exceed its owner's quota once these have left."""
        limit = self._limits.get(workload.owner, self._limits.get(DEFAULT_QUOTA))
        if limit is None:
            return False
        wanted = self._allocated.get(workload.owner, ZERO).plus(workload.total)
        for each in gone:
            if each.owner == workload.owner:
                wanted = wanted.minus(each.total)
        return any(
            asked and has > most
            for asked, has, most in zip(workload.request, wanted, limit, strict=True)
        )

    def short_of(self, workload: Workload) -> set[int]:
        """The resources of which the owner's quota leaves too little."""
        limit = self._limits.get(workload.owner, self._limits.get(DEFAULT_QUOTA))
        if limit is None:
            return set()
        wanted = self._allocated.get(workload.owner, ZERO).plus(workload.total)
        return {dim for dim in range(3) if workload.request[dim] and wanted[dim] > limit[dim]}

    def need(self, victim: Running, workload: Workload, victims: Sequence[Running]) -> bool:
        """Whether the quota would be exceeded had this victim of the workload stayed."""
        return self.over(workload, [each for each in victims if each is not victim])


class _Replay:
    """What is free on each node (None: in the pool) as the plan is replayed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.nodes = {node.id: node for node in snapshot.nodes}
        self.free: dict[str | None, Resources] = {
            node.id: node.capacity.minus(node.allocated) for node in snapshot.nodes
        } or {None: snapshot.total.minus(snapshot.allocated)}
        self.snapshot = snapshot
        self.windows = windows_by_node(snapshot) if snapshot.windows else {}
        self.withheld: dict[str | None, Resources] = {}  # from the start that is looked at

    def give(self, running: Running) -> None:
        for placement in running.placement:
            amount = running.request.times(placement.replicas)
            self.free[placement.node_id] = self.free[placement.node_id].plus(amount)

    def take(self, workload: Workload, start: Start) -> None:
        for placement in start.placement:
            if placement.node_id in self.free:
                amount = workload.request.times(placement.replicas)
                self.free[placement.node_id] = self.free[placement.node_id].minus(amount)

    def short_of(self, workload: Workload, in_quota: Collection[int]) -> list[int]:
        """The resources of which, each alone, too few replicas find enough, and those that the
        quota lacks; or all asked for."""
        asked = [dim for dim in range(3) if workload.request[dim] > 0]
        is_open = [at for at in self.free if self._takes(at, workload)]
        short = []
        for dim in asked:
            count = sum(self.free[at][dim] // workload.request[dim] for at in is_open)
            if count < workload.replicas or dim in in_quota:
                short.append(dim)
        return short or asked

    def _takes(self, at: str | None, workload: Workload) -> bool:
        if at is None:
            return True
        node = self.nodes[at]
        if node.state != READY or (workload.whole and not self._is_of_its_size(node, workload)):
            return False
        if self.windows.get(at) and in_window(workload, self.windows[at], self.snapshot):
            return False
        return set(workload.selector) <= set(node.labels)

    def reach(self, at: str | None) -> Resources:
        return self.free[at].minus(self.withheld.get(at, ZERO))

    def faults(self, workload: Workload, start: Start) -> list[str]:
        breaches = []
        if sum(placement.replicas for placement in start.placement) != workload.replicas:
            breaches.append(f"{workload.id} is placed in part")
        if len({placement.node_id for placement in start.placement}) != len(start.placement):
            breaches.append(f"{workload.id} is placed twice on one node")
        if bool(workload.whole) != (start.given is not None):
            breaches.append(f"{workload.id} is given other than what it asks for")
        for placement in start.placement:
            at = placement.node_id
            if workload.whole and (at is None or placement.replicas > 1):
                breaches.append(f"{workload.id} has no node for each replica")
            elif workload.whole and at in self.nodes:
                breaches += self._of_whole_node(workload, self.nodes[at])
            if at not in self.free:
                breaches.append(f"{workload.id} is placed on {at}, which is not there")
                continue
            if not workload.request.times(placement.replicas).fits_in(self.reach(at)):
                breaches.append(f"{workload.id} does not fit where it starts")
            if at is not None and self.nodes[at].state != READY:
                breaches.append(f"{workload.id} is placed on a node that is {self.nodes[at].state}")
            if at is not None and not set(workload.selector) <= set(self.nodes[at].labels):
                breaches.append(f"{workload.id} is placed on a node without its labels")
            if at in self.windows and in_window(workload, self.windows[at], self.snapshot):
                breaches.append(f"{workload.id} may run into a window of its node")
        return breaches

    def _of_whole_node(self, workload: Workload, node: Node) -> list[str]:
        """Whether it gets all GPUs of the node or, where it takes the node, also all CPUs and
        nearly all RAM, and finds it empty. What it is given is its request here."""
        given, has = workload.request, node.capacity
        if workload.whole == GPUS:
            return [] if 0 < given.gpu == has.gpu else [f"{workload.id} gets not all GPUs"]
        breaches = []
        if given[::2] != has[::2]:
            breaches.append(f"{workload.id} gets not all of its node")
        if not 0 <= has.ram_mib - given.ram_mib <= given.ram_mib // 32:
            breaches.append(f"{workload.id} gets not all RAM of its node")
        if self.free[node.id] != has:
            breaches.append(f"{workload.id} takes a node that is not empty")
        return breaches

    def _is_of_its_size(self, node: Node, workload: Workload) -> bool:
        step = 2 if workload.whole == NODE else 3  # CPUs and GPUs, or GPUs alone
        return workload.request[::-step] == node.capacity[::-step]

    def count_of(self, workload: Workload, on: Running | None = None) -> int:
        """How many replicas would fit; or with `on`, how many fewer if that victim had stayed."""
        kept = {} if on is None else {place.node_id: place.replicas for place in on.placement}
        cpu_milli, ram_mib, gpu = workload.request
        large_enough = [  # most are too full: sorted out cheaply
            at
            for at, free in (
                self.free if on is None else {at: self.free[at] for at in kept}
            ).items()
            if free[0] >= cpu_milli and free[1] >= ram_mib and free[2] >= gpu
        ]
        count = 0
        for at in large_enough:
            if at is None or self._takes(at, workload):
                count += workload.request.count_in(free := self.reach(at))
                if on is not None:
                    stayed = free.minus(on.request.times(kept[at]))
                    count -= workload.request.count_in(stayed)
        return count


def _preemptions(snapshot: Snapshot, plan: Plan, running: _Running) -> list[str]:
    """Victims are lower and allowed; each eviction for a start is that start's."""
    breaches: list[str] = []
    queued = {workload.id: workload for workload in snapshot.queued}
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
        if preemptor is not None and victims:
            breaches += _forbidden(snapshot, preemptor, victims)
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
        if victim.stopping:
            breaches.append(f"{victim.id} is stopping already")
        if victim.preemptions >= snapshot.policy.max_preemptions:
            breaches.append(f"{victim.id} was preempted too often already")
        began_ms = victim.admitted_ms if victim.started_ms is None else victim.started_ms
        ran_ms = 0 if began_ms is None else snapshot.now_ms - began_ms
        lasted_ms = max(ran_ms, snapshot.now_ms - preemptor.queued_ms)  # since either was there
        if lasted_ms < snapshot.policy.preempt_exempt_s * 1000:
            breaches.append(f"{victim.id} is still exempt")
    return breaches


def _share(snapshot: Snapshot, plan: Plan, running: _Running) -> list[str]:
    """Start by start: no victims take the classes that preempt nothing below their share of a
    resource that is short for the preemptor."""
    breaches, replayed, owners = [], _Replay(snapshot), _Owners(snapshot)
    guaranteed = {
        each.name for each in snapshot.classes if each.preemptible and not each.may_preempt
    }
    kept = [-(-amount * snapshot.policy.low_share_percent // 100) for amount in snapshot.total]
    queued = {workload.id: workload for workload in snapshot.queued}
    left = sum_of(each.total for each in snapshot.running if each.priority in guaranteed)
    for eviction in plan.evictions:
        if eviction.by is None and eviction.workload_id in running:
            drained = running[eviction.workload_id]
            replayed.give(drained)
            owners.move(drained, -1)
            left = left.minus(drained.total) if drained.priority in guaranteed else left
    for start in plan.starts:
        workload = queued.get(start.workload_id)
        if workload is None:
            continue
        short = replayed.short_of(workload, owners.short_of(workload))
        victims = [running[victim] for victim in start.victims if victim in running]
        for victim in victims:
            replayed.give(victim)
            owners.move(victim, -1)
            if victim.priority in guaranteed:
                left = left.minus(victim.total)
        if any(
            left[dim] < kept[dim]
            and any(v.priority in guaranteed and v.request[dim] for v in victims)
            for dim in short
        ):
            breaches.append(f"the victims of {workload.id} take lower classes below their share")
        replayed.take(workload, start)
        owners.move(workload, 1)
        left = left.plus(workload.total) if workload.priority in guaranteed else left
    return breaches


def _quotas(snapshot: Snapshot, plan: Plan, running: _Running) -> list[str]:
    """Start by start: no owner's allocation exceeds the quota in a resource that the start asks
    for, and victims make room in it only where the policy says so."""
    breaches: list[str] = []
    owners = _Owners(snapshot)
    queued = {workload.id: workload for workload in snapshot.queued}
    for eviction in plan.evictions:
        if eviction.by is None and eviction.workload_id in running:
            owners.move(running[eviction.workload_id], -1)
    within_quota = snapshot.policy.preemption_within_quota == LOWER_PRIORITY
    for start in plan.starts:
        victims = [running[victim] for victim in start.victims if victim in running]
        workload = queued.get(start.workload_id)
        if workload is not None and owners.over(workload, victims):
            breaches.append(f"{workload.id} takes {workload.owner} over the quota")
        elif workload is not None and owners.over(workload) and not within_quota:
            breaches.append(f"{workload.id} preempts for room in the quota of {workload.owner}")
        for victim in victims:
            owners.move(victim, -1)
        if workload is not None:
            owners.move(workload, 1)
    return breaches
