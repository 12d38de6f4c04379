"""A cluster in memory that does what plans say, and looks at each of them first."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.codec import decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.reservations.history import history_after
from scheduler.engine.resources import ZERO, Resources
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


@dataclass
class World:
    """Everybody ever submitted is in `queued`, in `running` or in `ended`."""

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
    evictions: set[tuple[str, str]] = field(default_factory=set)  # (by whom, who), ever
    allocated: dict[str | None, Resources] = field(default_factory=dict)  # counted as it changes
    reservation_history: tuple[ReservationRecord, ...] = ()
    cycles: int = 0

    # --- What people and machines do -------------------------------------------------------------

    def submit(self, workload: Workload) -> None:
        workload = replace(workload, submitted_ms=self.now_ms, queued_ms=self.now_ms)
        self.submitted[workload.id] = self.queued[workload.id] = workload

    def end(self, id_: str) -> None:
        """It is stopped, waiting or running, or comes to its end."""
        if id_ in self.running:
            self._leave(id_)
        self.queued.pop(id_, None)
        self.ended.add(id_)

    def lose(self, node_id: str) -> None:
        """The node goes, and whoever ran on it waits again."""
        self.nodes[node_id] = replace(self.nodes[node_id], state="NOT_READY")
        for each in list(self.running.values()):
            if any(place.node_id == node_id for place in each.placement):
                self._requeue(each.id)

    def turn(self, node_id: str, state: str) -> None:
        self.nodes[node_id] = replace(self.nodes[node_id], state=state)

    def checkpoint(self, id_: str) -> None:
        self.running[id_] = replace(self.running[id_], checkpoint_ms=self.now_ms)

    def pass_time(self, seconds: int) -> None:
        """Who was STARTING runs; who reaches a time limit ends."""
        for each in list(self.running.values()):
            if each.started_ms is None:
                self.running[each.id] = replace(each, started_ms=self.now_ms)
        self.now_ms += seconds * 1000
        for each in list(self.running.values()):
            if each.ends_ms is not None and each.ends_ms <= self.now_ms:
                self.end(each.id)

    # --- What the scheduler does -----------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        total = ZERO
        for each in self.nodes.values():
            total = total.plus(each.capacity)
        return Snapshot(
            cluster_id="world",
            state="ACTIVE",
            policy=self.policy,
            total=total if self.nodes else self.total,
            allocated=self._sum(self.allocated.values()),
            classes=self.classes,
            nodes=tuple(
                replace(each, allocated=self.allocated.get(each.id, ZERO))
                for each in self.nodes.values()
            ),
            running=tuple(self.running.values()),
            queued=tuple(self.queued.values()),
            now_ms=self.now_ms,
            max_starts=self.max_starts,
            allocated_by_owner=self._held()
            if self.quotas or self.policy.ordering == FAIR_SHARE
            else (),
            quotas=tuple(sorted(self.quotas.items())),
            reservation_history=tuple(
                each for each in self.reservation_history if each.workload_id in self.queued
            ),
        )

    def cycle(self) -> Plan:
        """Plan, judge the plan, apply it."""
        snapshot = self.snapshot()
        plan = make_plan(snapshot)
        assert check(snapshot, plan) == []
        again = make_plan(decode_snapshot(encode_snapshot(snapshot)))
        assert encode_plan(again) == encode_plan(plan), "another plan for the same snapshot"
        self.reservation_history = history_after(snapshot, plan)
        for eviction in plan.evictions:
            if eviction.by is not None:
                count = self.preemptions.get(eviction.workload_id, 0)
                assert count < self.policy.max_preemptions
                self.preemptions[eviction.workload_id] = count + 1
                self.evictions.add((eviction.by, eviction.workload_id))
            self._requeue(eviction.workload_id)
        for start in plan.starts:
            self._enter(start.workload_id, start.placement)
        self.cycles += 1
        self.judge()
        return plan

    def settle(self, most: int = 20) -> int:
        """Cycles until one changes nothing; how many changed something."""
        quiet = False
        for number in range(most):
            plan = self.cycle()
            assert not (quiet and plan.starts), "the cycle before could have started these"
            quiet = not plan.evictions and not plan.unfinished
            if not plan.starts and not plan.evictions:
                assert not plan.unfinished, "asks for another cycle that would do nothing too"
                return number
        raise AssertionError(f"still not settled after {most} cycles")

    def judge(self) -> None:
        states = [set(self.queued), set(self.running), self.ended]
        assert sum(map(len, states)) == len(self.submitted), "somebody is lost, or there twice"
        assert set.union(*states) == set(self.submitted)
        held: dict[str | None, Resources] = {}
        for each in self.running.values():
            for place in each.placement:
                held[place.node_id] = held.get(place.node_id, ZERO).plus(
                    each.request.times(place.replicas)
                )
        counted = {at: amount for at, amount in self.allocated.items() if amount != ZERO}
        assert counted == held, "the counters are not the sums"
        for at, amount in held.items():
            assert amount.fits_in(self.nodes[at].capacity if at is not None else self.total)
        assert not list(self.feuds()), "two that evict each other in turn"

    def feuds(self) -> Iterator[str]:
        """Everybody who, by way of any number of others, has evicted itself."""
        victims: dict[str, set[str]] = {}
        for by, who in self.evictions:
            victims.setdefault(by, set()).add(who)
        for first, direct in victims.items():
            reached, ahead = set[str](), set(direct)
            while ahead:
                each = ahead.pop()
                reached.add(each)
                ahead |= victims.get(each, set()) - reached
            if first in reached:
                yield first

    # --- Bookkeeping -----------------------------------------------------------------------------

    def _enter(self, id_: str, placement: tuple[Placement, ...]) -> None:
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
        )
        self._count(self.running[id_], 1)

    def _leave(self, id_: str) -> None:
        self._count(self.running.pop(id_), -1)

    def _requeue(self, id_: str) -> None:
        """At its old submit time."""
        self._leave(id_)
        self.queued[id_] = replace(self.submitted[id_], queued_ms=self.now_ms)

    def _count(self, running: Running, sign: int) -> None:
        for place in running.placement:
            amount = running.request.times(sign * place.replicas)
            self.allocated[place.node_id] = self.allocated.get(place.node_id, ZERO).plus(amount)

    def _held(self) -> tuple[tuple[str, Resources], ...]:
        owners = sorted({each.owner for each in self.running.values()})
        return tuple(
            (owner, self._sum(each.total for each in self.running.values() if each.owner == owner))
            for owner in owners
        )

    @staticmethod
    def _sum(amounts: Iterable[Resources]) -> Resources:
        total = ZERO
        for amount in amounts:
            total = total.plus(amount)
        return total
