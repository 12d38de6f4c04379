"""Why a workload waits, in the numbers of the end of a cycle."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.engine import reasons
from scheduler.engine.capacity import Capacity
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.reasons import Reason
from scheduler.engine.resources import Resources, add_up
from scheduler.engine.snapshot import ACTIVE, STRICT, Labels, Snapshot, Workload
from scheduler.engine.state import CycleState


def impossible(capacity: Capacity, workload: Workload) -> Reason | None:
    """Why not even the empty cluster could run it; None if it could."""
    request, replicas = workload.request, workload.replicas
    if capacity.possible(request, replicas, workload.selector):
        return None
    bins = list(capacity.ever_eligible(workload.selector))
    if not bins:
        return reasons.no_node(dict(workload.selector))
    total = add_up(capacity.totals[at] for at in bins)
    if not workload.total.fits_in(total):
        return reasons.exceeds_capacity(workload.total, total)
    largest = max((capacity.totals[at] for at in bins), key=lambda r: _rank(request, r))
    if not request.fits_in(largest):
        return reasons.exceeds_capacity(request, largest, on_a_node=True)
    room = sum(request.count_in(capacity.totals[at]) for at in bins)
    return reasons.too_many_replicas(replicas, room)


def over_quota(owners: OwnerUsage, workload: Workload) -> Reason:
    owner = workload.owner
    return reasons.quota_exceeded(workload.total, owners.limit(owner), owners.allocated(owner))


class WaitReasons:
    """Answers for many workloads of one board; equal ones are answered once."""

    def __init__(self, snapshot: Snapshot, state: CycleState) -> None:
        self._state = state
        self._strict = snapshot.policy.queueing == STRICT
        self._shortage = Shortage(state.capacity)
        self._told: dict[tuple[str, bool], Reason] = {}

    def why(self, workload: Workload) -> Reason:
        usage, reservations = self._state.usage, self._state.reservations
        if usage is not None and usage.over(workload):
            return over_quota(usage, workload)
        if self._strict and reservations.head is not None and workload is not reservations.head:
            return reasons.blocked_by(reservations.head.id)
        key = (workload.scheduling_key, reservations.is_reserved_for(workload))
        if key not in self._told:
            self._told[key] = self._look(workload)
        return self._told[key]

    def _look(self, workload: Workload) -> Reason:
        state = self._state
        if state.fits(workload) is None:
            return self._shortage.of(workload)
        if (backfill := state.reservations.blocker(workload)) is not None:
            return reasons.reserved_for(backfill.id)
        return reasons.NOT_YET_EVALUATED  # the cycle reached its limit before its turn


class ReasonsWithoutCycle:
    """Answers for those whom a cycle need not look at, since nothing could come free for them."""

    def __init__(self, snapshot: Snapshot, head: str | None) -> None:
        """The cluster after that cycle, without anybody in it; the head of its strict line."""
        self._state = snapshot.state
        self._head = head if snapshot.policy.queueing == STRICT else None
        self._owners = OwnerUsage(snapshot) if snapshot.quotas else None
        self._capacity = Capacity(snapshot)
        self._shortage = Shortage(self._capacity)

    def why(self, workload: Workload) -> Reason:
        """What a plan of the whole cluster would have told it."""
        if (never := impossible(self._capacity, workload)) is not None:
            return never
        if self._state != ACTIVE:
            return reasons.paused(self._state)
        if self._owners is not None and self._owners.over(workload):
            return over_quota(self._owners, workload)
        if self._head is not None:
            return reasons.blocked_by(self._head)
        if self._capacity.place(workload.request, workload.replicas, workload.selector) is None:
            return self._shortage.of(workload)
        return reasons.NOT_YET_EVALUATED  # it fits since


class Shortage:
    """What is missing, in numbers, for those who do not fit in what is free."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._known: dict[Labels, _Rooms] = {}

    def of(self, workload: Workload) -> Reason:
        """What is missing in all, or that no node has enough of what is there in all."""
        request, there = workload.request, self._rooms(workload.selector)
        if not workload.total.fits_in(there.free):
            return reasons.insufficient(workload.total, there.free, there.closed)
        best = max(there.largest, key=lambda room: _rank(request, room))
        room_for = 0  # not even one, or it would have started
        if workload.replicas > 1:
            room_for = sum(request.count_in(room) * n for room, n in there.rooms.items())
        return reasons.fragmented(request, workload.replicas, there.free, best, room_for)

    def _rooms(self, selector: Labels) -> "_Rooms":
        if selector not in self._known:
            capacity = self._capacity
            rooms = [capacity.free[at] for at in capacity.eligible(selector)]
            closed = len(list(capacity.ever_eligible(selector))) - len(rooms)
            self._known[selector] = _Rooms(
                add_up(rooms), closed, Counter(rooms), _largest(set(rooms))
            )
        return self._known[selector]


@dataclass(frozen=True, slots=True)
class _Rooms:
    """What is free on the open nodes with certain labels, once for all who ask for these."""

    free: Resources
    closed: int  # nodes
    rooms: Counter[Resources]
    largest: list[Resources]


def _largest(rooms: Iterable[Resources]) -> list[Resources]:
    """Those that none of the others contains: one of them comes nearest to any request."""
    found: list[Resources] = []
    for room in sorted(rooms, reverse=True):
        if not any(room.fits_in(larger) for larger in found):
            found.append(room)
    return found


def _rank(request: Resources, room: Resources) -> tuple[int, ...]:
    """How near a room comes to one request: the worst resource first, in millionths."""
    shares = sorted(
        min(1_000_000 * have // want, 1_000_000) if want else 1_000_000
        for want, have in zip(request, room, strict=True)
    )
    return (*shares, *room)
