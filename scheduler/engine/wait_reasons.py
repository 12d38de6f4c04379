"""The reason why a workload waits, in the numbers of the end of a cycle."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.engine import reasons
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.placement.amounts import Amounts
from scheduler.engine.placement.capacity import Capacity, Where
from scheduler.engine.placement.windows import in_any_window, outside_windows, reached
from scheduler.engine.preemption.exemption import could_be_evicted
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.reasons import Reason
from scheduler.engine.reservations.profile import DelayedStart
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import (
    ACTIVE,
    GPUS,
    LOWER_PRIORITY,
    STRICT,
    Labels,
    Snapshot,
    Workload,
)
from scheduler.engine.state import CycleState
from scheduler.engine.upper_bounds import evictable_below
from scheduler.engine.whole_nodes.variants import sizes, variants

Evictable = Callable[[str], Mapping[int, Resources]]
"""By bin, what a workload of this priority class could evict in all, exempt times aside."""


def impossible(capacity: Capacity, workload: Workload) -> Reason | None:
    """The reason why not even the empty cluster could run the workload; None if it could."""
    is_possible = capacity.possible(workload.request, workload.replicas, workload.selector)
    if is_possible and not (workload.whole and workload.variant_of is None):
        return None
    if not any(map(any, capacity.totals)):
        return reasons.no_capacity_yet(sum(id_ is not None for id_ in capacity.ids))
    if is_possible:
        return _no_whole_nodes(capacity, workload)
    empty = capacity.empty(workload.selector)
    if not empty.shapes:
        return reasons.no_node(workload.selector, capacity.nearest(workload.selector))
    return reasons.with_volumes(_too_large(empty, workload), workload.selector)


def closed_to(capacity: Capacity, workload: Workload) -> bool:
    """Whether the nodes outside the windows that it reaches into, whose label it asks for, would be
    too few if they were empty."""
    return not capacity.possible(workload.request, workload.replicas, workload.selector)


def in_windows(
    snapshot: Snapshot, capacity: Capacity, workload: Workload, reason: Reason | None = None
) -> Reason:
    """The reason with the windows that keep nodes from the workload, which asks for their label.
    Without a `reason`, they alone keep it from starting."""
    every = set(capacity.ever_eligible(in_any_window(workload.selector)))
    closed = {
        capacity.ids[at] for at in every.difference(capacity.ever_eligible(workload.selector))
    }
    windows = [each for each in reached(workload, snapshot) if closed.intersection(each.node_ids)]
    if reason is not None and not windows:
        return reason
    return reasons.kept_by_windows(
        windows,
        reason,
        nodes=len(closed),
        now_ms=snapshot.now_ms,
        assumed_s=snapshot.policy.assumed_runtime_s if workload.limit_s is None else None,
    )


def _too_large(empty: Amounts, workload: Workload) -> Reason:
    request, replicas = workload.request, workload.replicas
    if not workload.total.fits_in(empty.total):
        return reasons.exceeds_capacity(workload.total, empty.total)
    largest = max(empty.largest, key=lambda shape: _rank(request, shape))
    if not request.fits_in(largest):
        return reasons.exceeds_capacity(request, largest, on_a_node=True)
    return reasons.too_many_replicas(replicas, empty.count_of(request))


def _no_whole_nodes(capacity: Capacity, workload: Workload) -> Reason | None:
    most = max((nodes for *_, nodes in sizes(capacity, workload)), default=0)
    if most >= workload.replicas:
        return None
    reason = reasons.too_many_replicas(workload.replicas, most, workload.whole)
    return reasons.with_volumes(reason, workload.selector)


def _beside_windows(
    snapshot: Snapshot, capacity: Capacity, all_of: Sequence[Workload], reason: Reason
) -> Reason:
    """The reason of a workload that does not fit outside the windows that it reaches into; `all_of`
    are its variants."""
    for each in all_of:
        anywhere = in_any_window(each.selector)
        if anywhere != each.selector and capacity.place(each.request, each.replicas, anywhere):
            return in_windows(snapshot, capacity, each)
    return in_windows(snapshot, capacity, all_of[0], reason)


def gated(usage: OwnerUsage, workload: Workload) -> Reason:
    """Why a gate keeps the workload from starting (OwnerUsage.over)."""
    if usage.sweeps.is_full(workload):
        return reasons.sweep_limit(usage.sweeps.limit(workload.sweep))
    owner = workload.owner
    return reasons.quota_exceeded(workload.total, usage.limit(owner), usage.allocated(owner))


class WaitReasons:
    """The reasons of many workloads by the state of one cycle; equal workloads share one."""

    def __init__(self, view: ClusterView, state: CycleState) -> None:
        self._view, self._state = view, state
        self._strict = view.snapshot.policy.queueing == STRICT
        self._shortage = Shortage(state.capacity, self._evictable)
        self._known: dict[tuple[str, bool], Reason] = {}

    def why_delayed(self, promise: DelayedStart) -> Reason:
        """The reason of a workload that waits for a time limit instead of preempting."""
        reason = self.why(promise.reserved_for)
        return reasons.instead_of_preempting(reason, promise.after, promise.at_ms)

    def why(self, workload: Workload) -> Reason:
        usage, reservations = self._state.usage, self._state.reservations
        turns = self._state.variants
        all_of = (workload,) if turns is None else turns.of(workload)
        if usage is not None and all(map(usage.over, all_of)):
            return gated(usage, all_of[0])
        head = reservations.head
        if self._strict and head is not None and workload is not head.origin:
            return reasons.blocked_by(head.origin.id)
        key = (workload.scheduling_key, any(map(reservations.is_reserved_for, all_of)))
        if key not in self._known:
            self._known[key] = self._look(workload)
        return self._known[key]

    def _look(self, workload: Workload) -> Reason:
        state = self._state
        all_of = (workload,) if state.variants is None else state.variants.of(workload)
        fitting = next((each for each in all_of if state.fits(each)), None)
        if fitting is None:
            if workload.whole:
                reason = of_whole_nodes(state.capacity, all_of, self._shortage)
            else:
                reason = self._shortage.of(workload)
            if not self._view.snapshot.windows:
                return reason
            return _beside_windows(self._view.snapshot, state.capacity, all_of, reason)
        if (backfill := state.reservations.blocker(fitting)) is not None:
            delayed = state.delays is not None and state.delays.has(backfill)
            return reasons.reserved_for(backfill.origin.id, waits_for_limits=delayed)
        return reasons.NOT_YET_EVALUATED  # the cycle reached its limit before this workload's turn

    def _evictable(self, priority: str) -> Mapping[int, Resources]:
        view, its = self._view, self._view.cluster.classes[priority]
        if view.snapshot.policy.preemption != LOWER_PRIORITY or not its.may_preempt:
            return {}
        state, capacity = self._state, self._state.capacity
        gone = {each.workload_id for each in state.evictions}
        left = (each for each in evictable_below(view, its.value) if each.id not in gone)
        amounts = [(each.request, capacity.bins_of(each.placement)) for each in left]
        classes, policy = view.cluster.classes, view.snapshot.policy
        for workload, start in zip(state.admitted, state.starts, strict=True):
            other = classes[workload.priority]
            if other.value < its.value and could_be_evicted(workload, other, policy):
                amounts.append((workload.request, capacity.bins_of(start.placement)))
        return _by_bin(capacity, amounts)


class ReasonsWithoutCycle:
    """The reasons of workloads that the cycle's snapshot left out (see upper_bounds.py)."""

    def __init__(
        self,
        snapshot: Snapshot,
        head: str | None,
        evictable: Mapping[str, Mapping[str, Resources]] | None = None,
    ) -> None:
        """`snapshot` is the cluster after the cycle, without running and queued workloads; `head`
        is the id of the first workload of a strict queue; `evictable`, by priority class and node,
        is what a workload of the class could evict."""
        self._snapshot, self._state = snapshot, snapshot.state
        self._head = head if snapshot.policy.queueing == STRICT else None
        self._usage = OwnerUsage(snapshot) if snapshot.quotas or snapshot.sweeps else None
        self._capacity = Capacity(snapshot)
        self._evictable = evictable or {}
        self._shortage = Shortage(self._capacity, self._evictable_by)

    def _evictable_by(self, priority: str) -> Mapping[int, Resources]:
        number = self._capacity.number
        return {
            number[id_]: amount
            for id_, amount in self._evictable.get(priority, {}).items()
            if id_ in number
        }

    def why(self, workload: Workload) -> Reason:
        """The reason that a plan of the full queue would have given."""
        if (never := impossible(self._capacity, workload)) is not None:
            return never
        every = outside_windows(
            variants(self._capacity, workload) if workload.whole else (workload,), self._snapshot
        )
        all_of = [each for each in every if not closed_to(self._capacity, each)]
        if not all_of:
            return in_windows(self._snapshot, self._capacity, every[0])
        if self._state != ACTIVE:
            return reasons.paused(self._state)
        if self._usage is not None and all(map(self._usage.over, all_of)):
            return gated(self._usage, all_of[0])
        if self._head is not None:
            return reasons.blocked_by(self._head)
        if any(self._capacity.place(w.request, w.replicas, w.selector) for w in all_of):
            return reasons.NOT_YET_EVALUATED  # capacity has come free since the cycle
        if workload.whole:
            reason = of_whole_nodes(self._capacity, all_of, self._shortage)
        else:
            reason = self._shortage.of(all_of[0])
        if not self._snapshot.windows:
            return reason
        return _beside_windows(self._snapshot, self._capacity, all_of, reason)


class Shortage:
    """The missing amounts for workloads that do not fit in the free capacity."""

    def __init__(self, capacity: Capacity, evictable: Evictable) -> None:
        self._capacity, self._evictable = capacity, evictable
        self._known: dict[Labels, _FreeNodes] = {}
        self._emptied: dict[tuple[Labels, str], Amounts | None] = {}

    def of(self, workload: Workload) -> Reason:
        """FRAGMENTED if the sum over all open nodes is enough, of what is free or of that and what
        the workload could evict; else INSUFFICIENT_CAPACITY."""
        selector = workload.selector
        nodes, emptied = self._free_nodes(selector), None
        if len(self._capacity.ids) > 1:
            emptied = self._once_evicted(workload)
        total = nodes.free.total
        if emptied is not None and _is_fragmented(emptied, workload):
            reason = _fragmented(workload, nodes.free, emptied)
        elif not workload.total.fits_in(total):
            reason = reasons.insufficient(workload.total, total, nodes.closed)
        else:
            reason = _fragmented(workload, nodes.free, nodes.free)
        return reasons.with_volumes(reason, selector) if selector else reason

    def _free_nodes(self, selector: Labels) -> "_FreeNodes":
        if selector not in self._known:
            capacity = self._capacity
            free = [capacity.free[at] for at in capacity.eligible(selector)]
            closed = len(capacity.ever_eligible(selector)) - len(free)
            self._known[selector] = _FreeNodes(Amounts(free), closed)
        return self._known[selector]

    def _once_evicted(self, workload: Workload) -> Amounts | None:
        """The free amounts once all has left that the workload could evict; None if that is
        nothing."""
        key = (workload.selector, workload.priority)
        if key not in self._emptied:
            free, gone = self._capacity.free, self._evictable(workload.priority)
            eligible = self._capacity.eligible(workload.selector) if gone else ()
            amounts = [free[at].plus(gone.get(at, ZERO)) for at in eligible]
            self._emptied[key] = Amounts(amounts) if amounts else None
        return self._emptied[key]


def of_whole_nodes(
    capacity: Capacity,
    variants: Sequence[Workload],
    shortage: Shortage,
) -> Reason:
    """Why none of these fits, all of which are variants of one: too few nodes are empty, or have
    all their GPUs free; else the reason of the variant with the most of these."""
    whole, replicas = variants[0].whole, variants[0].replicas
    empty: list[tuple[int, Workload]] = []
    nodes, closed = list[int](), 0
    for each in variants:
        large_enough = {
            at
            for at in capacity.ever_eligible(each.selector)
            if each.request.fits_in(capacity.totals[at])
        }
        bins = [at for at in capacity.eligible(each.selector) if at in large_enough]
        closed += len(large_enough) - len(bins)
        nodes += bins
        dims = (2,) if whole == GPUS else (0, 1, 2)
        free = [at for at in bins if _all_free(capacity, at, dims)]
        empty.append((len(free), each))
    most, best = max(empty, key=lambda each: each[0])
    if most >= replicas:  # their GPUs are free, and what lacks is CPU or RAM
        return shortage.of(best)
    reason = reasons.not_empty(
        whole,
        replicas,
        large_enough=len(nodes),
        empty=most,
        closed=closed,
    )
    return reasons.with_volumes(reason, best.selector)


def _all_free(capacity: Capacity, at: int, dims: Sequence[int]) -> bool:
    return all(capacity.free[at][dim] == capacity.totals[at][dim] for dim in dims)


def _is_fragmented(free: Amounts, workload: Workload) -> bool:
    """Whether it asks for no more than these amounts in all, but does not fit in them."""
    request = workload.request
    if not workload.total.fits_in(free.total):
        return False
    if workload.replicas > 1:
        return free.count_of(request) < workload.replicas
    return not any(request.fits_in(each) for each in free.largest)


def _fragmented(workload: Workload, free: Amounts, nodes: Amounts) -> Reason:
    """`nodes`: what is free on them, or would be after evictions."""
    request = workload.request
    best = max(nodes.largest, key=lambda amount: _rank(request, amount))
    fitting = 0  # a single replica that fitted would have started
    if workload.replicas > 1:
        fitting = nodes.count_of(request)
    evictable = nodes.total.minus(free.total)
    return reasons.fragmented(
        request, workload.replicas, free.total, best, fitting, evictable=evictable
    )


def _by_bin(
    capacity: Capacity, allocated: Iterable[tuple[Resources, Where]]
) -> dict[int, Resources]:
    """What is allocated, but for what is also on a node that drains: it leaves anyway."""
    amounts: dict[int, Resources] = {}
    for request, where in allocated:
        if not any(capacity.drains(at) for at, _ in where):
            for at, count in where:
                amounts[at] = amounts.get(at, ZERO).plus(request.times(count))
    return amounts


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
