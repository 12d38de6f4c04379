"""A cluster in memory that checks each plan of the engine and applies it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from scheduler.engine import Plan, Snapshot
from scheduler.engine.reservations.history import history_after
from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import (
    FAIR_SHARE,
    Node,
    Placement,
    Policy,
    PriorityClass,
    ReservationRecord,
    Running,
    Workload,
)
from scheduler.tests.engine.build import NOW
from scheduler.tests.engine.plans import replayed_plan


@dataclass
class World:
    """Each submitted workload is in exactly one of `queued`, `running` and `ended`."""

    classes: tuple[PriorityClass, ...]
    total: Resources
    nodes: dict[str, Node] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    now_ms: int = NOW
    max_starts: int = 1000
    quotas: dict[str, Resources] = field(default_factory=dict)  # by owner
    submitted: dict[str, Workload] = field(default_factory=dict)
    queued: dict[str, Workload] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    preemptions: dict[str, int] = field(default_factory=dict)
    evictions: set[tuple[str, str]] = field(default_factory=set)  # all (preemptor, victim)
    allocated: dict[str | None, Resources] = field(default_factory=dict)  # running counters
    reservation_history: tuple[ReservationRecord, ...] = ()
    cycles: int = 0

    # --- Events ----------------------------------------------------------------------------------

    def submit(self, workload: Workload) -> None:
        workload = replace(workload, submitted_ms=self.now_ms, queued_ms=self.now_ms)
        self.submitted[workload.id] = self.queued[workload.id] = workload

    def end(self, id_: str) -> None:
        """Stop or complete a queued or running workload."""
        if id_ in self.running:
            self._release(id_)
        self.queued.pop(id_, None)
        self.ended.add(id_)

    def lose_node(self, node_id: str) -> None:
        """Take a node away. Its workloads return to the queue."""
        self.nodes[node_id] = replace(self.nodes[node_id], state="NOT_READY")
        for each in list(self.running.values()):
            if any(placement.node_id == node_id for placement in each.placement):
                self._requeue(each.id)

    def set_state(self, node_id: str, state: str) -> None:
        self.nodes[node_id] = replace(self.nodes[node_id], state=state)

    def checkpoint(self, id_: str) -> None:
        self.running[id_] = replace(self.running[id_], checkpoint_ms=self.now_ms)

    def pass_time(self, seconds: int) -> None:
        """Let STARTING workloads run, and end those that reach a time limit."""
        for each in list(self.running.values()):
            if each.started_ms is None:
                self.running[each.id] = replace(each, started_ms=self.now_ms)
        self.now_ms += seconds * 1000
        for each in list(self.running.values()):
            if each.ends_ms is not None and each.ends_ms <= self.now_ms:
                self.end(each.id)

    # --- The scheduler ---------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        by_owner = self.quotas or self.policy.ordering == FAIR_SHARE
        total = add_up(each.capacity for each in self.nodes.values())
        return Snapshot(
            cluster_id="world",
            state="ACTIVE",
            policy=self.policy,
            total=total if self.nodes else self.total,
            allocated=add_up(self.allocated.values()),
            classes=self.classes,
            nodes=tuple(
                replace(each, allocated=self.allocated.get(each.id, ZERO))
                for each in self.nodes.values()
            ),
            running=tuple(self.running.values()),
            queued=tuple(self.queued.values()),
            now_ms=self.now_ms,
            max_starts=self.max_starts,
            allocated_by_owner=self._allocated_by_owner() if by_owner else (),
            quotas=tuple(sorted(self.quotas.items())),
            reservation_history=tuple(
                each for each in self.reservation_history if each.workload_id in self.queued
            ),
        )

    def cycle(self) -> Plan:
        """Plan, check the plan and its replay, apply it, check the cluster."""
        snapshot = self.snapshot()
        plan = replayed_plan(snapshot)
        self.reservation_history = history_after(snapshot, plan)
        for eviction in plan.evictions:
            if eviction.by is not None:
                count = self.preemptions.get(eviction.workload_id, 0)
                assert count < self.policy.max_preemptions
                self.preemptions[eviction.workload_id] = count + 1
                self.evictions.add((eviction.by, eviction.workload_id))
            self._requeue(eviction.workload_id)
        for start in plan.starts:
            self._start(start.workload_id, start.placement)
        self.cycles += 1
        self.check_invariants()
        return plan

    def settle(self, most: int = 20) -> int:
        """Run cycles until one changes nothing; returns the number of those that did."""
        quiet = False
        for number in range(most):
            plan = self.cycle()
            assert not (quiet and plan.starts), "the cycle before could have started these"
            quiet = not plan.evictions and not plan.unfinished
            if not plan.starts and not plan.evictions:
                assert not plan.unfinished, "asks for another cycle that would do nothing too"
                return number
        raise AssertionError(f"still not settled after {most} cycles")

    def check_invariants(self) -> None:
        states = [set(self.queued), set(self.running), self.ended]
        assert sum(map(len, states)) == len(self.submitted), "a workload is lost, or there twice"
        assert set.union(*states) == set(self.submitted)
        allocated: dict[str | None, Resources] = {}
        for each in self.running.values():
            for placement in each.placement:
                allocated[placement.node_id] = allocated.get(placement.node_id, ZERO).plus(
                    each.request.times(placement.replicas)
                )
        counted = {at: amount for at, amount in self.allocated.items() if amount != ZERO}
        assert counted == allocated, "the counters are not the sums"
        for at, amount in allocated.items():
            assert amount.fits_in(self.nodes[at].capacity if at is not None else self.total)
        assert not list(self.feuds()), "two workloads evict each other in turn"

    def feuds(self) -> Iterator[str]:
        """The workloads that have, by way of any number of others, evicted themselves."""
        victims: dict[str, set[str]] = {}
        for by, victim in self.evictions:
            victims.setdefault(by, set()).add(victim)
        for first, direct in victims.items():
            reached, ahead = set[str](), set(direct)
            while ahead:
                each = ahead.pop()
                reached.add(each)
                ahead |= victims.get(each, set()) - reached
            if first in reached:
                yield first

    # --- Bookkeeping -----------------------------------------------------------------------------

    def _start(self, id_: str, placement: tuple[Placement, ...]) -> None:
        workload = self.queued.pop(id_)
        limit_s = workload.limit_s
        self.running[id_] = Running(
            id=id_,
            priority=workload.priority,
            request=workload.request,
            replicas=workload.replicas,
            placement=placement,
            started_ms=None,
            checkpoint_ms=None,
            preemptions=self.preemptions.get(id_, 0),
            ends_ms=None if limit_s is None else self.now_ms + limit_s * 1000,
            owner=workload.owner,
            endless=workload.endless,
            admitted_ms=self.now_ms,
        )
        self._count(self.running[id_], 1)

    def _release(self, id_: str) -> None:
        self._count(self.running.pop(id_), -1)

    def _requeue(self, id_: str) -> None:
        """Return a workload to the queue with its old submit time. What cannot be evicted any more
        has another scheduling key."""
        self._release(id_)
        workload, preemptions = self.submitted[id_], self.preemptions.get(id_, 0)
        key = workload.scheduling_key
        self.queued[id_] = replace(
            workload,
            scheduling_key=f"{key}/p" if preemptions >= self.policy.max_preemptions else key,
            queued_ms=self.now_ms,
            preemptions=preemptions,
        )

    def _count(self, running: Running, sign: int) -> None:
        for placement in running.placement:
            amount = running.request.times(sign * placement.replicas)
            self.allocated[placement.node_id] = self.allocated.get(placement.node_id, ZERO).plus(
                amount
            )

    def _allocated_by_owner(self) -> tuple[tuple[str, Resources], ...]:
        owners = sorted({each.owner for each in self.running.values()})
        return tuple(
            (owner, add_up(each.total for each in self.running.values() if each.owner == owner))
            for owner in owners
        )
