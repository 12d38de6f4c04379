"""The reason why a workload waits, in the numbers of the end of a cycle."""

from dataclasses import dataclass

from scheduler.engine import reasons
from scheduler.engine.amounts import Amounts
from scheduler.engine.capacity import Capacity
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.reasons import Reason
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import ACTIVE, STRICT, Labels, Snapshot, Workload
from scheduler.engine.state import CycleState


def impossible(capacity: Capacity, workload: Workload) -> Reason | None:
    """The reason why not even the empty cluster could run the workload; None if it could."""
    if capacity.possible(workload.request, workload.replicas, workload.selector):
        return None
    empty = capacity.empty(workload.selector)
    if not empty.shapes:
        return reasons.no_node(workload.selector)
    return reasons.with_volumes(_too_large(empty, workload), workload.selector)


def _too_large(empty: Amounts, workload: Workload) -> Reason:
    request, replicas = workload.request, workload.replicas
    if not workload.total.fits_in(empty.total):
        return reasons.exceeds_capacity(workload.total, empty.total)
    largest = max(empty.largest, key=lambda shape: _rank(request, shape))
    if not request.fits_in(largest):
        return reasons.exceeds_capacity(request, largest, on_a_node=True)
    return reasons.too_many_replicas(replicas, empty.count_of(request))


def over_quota(usage: OwnerUsage, workload: Workload) -> Reason:
    owner = workload.owner
    return reasons.quota_exceeded(workload.total, usage.limit(owner), usage.allocated(owner))


class WaitReasons:
    """The reasons of many workloads by the state of one cycle; equal workloads share one."""

    def __init__(self, snapshot: Snapshot, state: CycleState) -> None:
        self._state = state
        self._strict = snapshot.policy.queueing == STRICT
        self._shortage = Shortage(state.capacity)
        self._known: dict[tuple[str, bool], Reason] = {}

    def why(self, workload: Workload) -> Reason:
        usage, reservations = self._state.usage, self._state.reservations
        if usage is not None and usage.over(workload):
            return over_quota(usage, workload)
        if self._strict and reservations.head is not None and workload is not reservations.head:
            return reasons.blocked_by(reservations.head.id)
        key = (workload.scheduling_key, reservations.is_reserved_for(workload))
        if key not in self._known:
            self._known[key] = self._look(workload)
        return self._known[key]

    def _look(self, workload: Workload) -> Reason:
        state = self._state
        if state.fits(workload) is None:
            return self._shortage.of(workload)
        if (backfill := state.reservations.blocker(workload)) is not None:
            return reasons.reserved_for(backfill.id)
        return reasons.NOT_YET_EVALUATED  # the cycle reached its limit before this workload's turn


class ReasonsWithoutCycle:
    """The reasons of workloads that the cycle's snapshot left out (see upper_bounds.py)."""

    def __init__(self, snapshot: Snapshot, head: str | None) -> None:
        """`snapshot` is the cluster after the cycle, without running and queued workloads; `head`
        is the id of the first workload of a strict queue."""
        self._state = snapshot.state
        self._head = head if snapshot.policy.queueing == STRICT else None
        self._usage = OwnerUsage(snapshot) if snapshot.quotas else None
        self._capacity = Capacity(snapshot)
        self._shortage = Shortage(self._capacity)

    def why(self, workload: Workload) -> Reason:
        """The reason that a plan of the full queue would have given."""
        if (never := impossible(self._capacity, workload)) is not None:
            return never
        if self._state != ACTIVE:
            return reasons.paused(self._state)
        if self._usage is not None and self._usage.over(workload):
            return over_quota(self._usage, workload)
        if self._head is not None:
            return reasons.blocked_by(self._head)
        if self._capacity.place(workload.request, workload.replicas, workload.selector) is None:
            return self._shortage.of(workload)
        return reasons.NOT_YET_EVALUATED  # capacity has come free since the cycle


class Shortage:
    """The missing amounts for workloads that do not fit in the free capacity."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._known: dict[Labels, _FreeNodes] = {}

    def of(self, workload: Workload) -> Reason:
        """INSUFFICIENT_CAPACITY if the sum over all open nodes is too small, else FRAGMENTED."""
        request, selector = workload.request, workload.selector
        nodes = self._free_nodes(selector)
        total = nodes.free.total
        if not workload.total.fits_in(total):
            reason = reasons.insufficient(workload.total, total, nodes.closed)
        else:
            best = max(nodes.free.largest, key=lambda free: _rank(request, free))
            fitting = 0  # a single replica that fitted would have started
            if workload.replicas > 1:
                fitting = nodes.free.count_of(request)
            reason = reasons.fragmented(request, workload.replicas, total, best, fitting)
        return reasons.with_volumes(reason, selector) if selector else reason

    def _free_nodes(self, selector: Labels) -> "_FreeNodes":
        if selector not in self._known:
            capacity = self._capacity
            free = [capacity.free[at] for at in capacity.eligible(selector)]
            closed = len(capacity.ever_eligible(selector)) - len(free)
            self._known[selector] = _FreeNodes(Amounts(free), closed)
        return self._known[selector]


@dataclass(frozen=True, slots=True)
class _FreeNodes:
    """The free amounts of the open nodes that match one selector."""

    free: Amounts
    closed: int  # the number of closed nodes that match


def _rank(request: Resources, free: Resources) -> tuple[int, ...]:
    """How near a free amount comes to one request: the worst resource first, in millionths."""
    shares = sorted(
        min(1_000_000 * have // want, 1_000_000) if want else 1_000_000
        for want, have in zip(request, free, strict=True)
    )
    return (*shares, *free)
