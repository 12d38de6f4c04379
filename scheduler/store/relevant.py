"""What of a cluster's queue and of those who run has to be read so that the plan is that of all.

A workload that asks for more than could come free in any bin (engine/reach.py) cannot start, so it
is not read, with two exceptions: the first in line where a blocked head counts for the others, and
the first of those who have waited so long that capacity is held for them. One whose owner's quota
would not allow it even then is never read: it is in nobody's way.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine import snapshot as told
from scheduler.engine.capacity import Capacity
from scheduler.engine.decision import admit_in_turn, sift
from scheduler.engine.drain import drained
from scheduler.engine.fair_share import OwnerUsage
from scheduler.engine.order import by_name, order_key
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.engine.resources import Resources, add_up
from scheduler.engine.snapshot import Workload
from scheduler.engine.upper_bounds import evictable_below, free_by_bin, usage_once_gone
from scheduler.engine.wait_reasons import impossible
from scheduler.engine.waiting_queue import WaitingQueue
from scheduler.store.queue_reader import (
    EVERY_KEY,
    EVERYTHING,
    FIRST_PLACE,
    FreeByClass,
    QueueReader,
    SizeClass,
    size_classes,
)
from scheduler.store.running import running_in

MOST_KEYS = 2000  # different requests that fit, beyond which they are read in their order
MOST_MEMBERS = 5_000  # of them that could start, beyond which they are read as they do
FEW_STARVED, MOST_STARVED = 8, 1000
FEW_HEADS = 8


def bounded(snapshot: Snapshot, queue: QueueReader) -> Snapshot:
    """An empty snapshot with whoever matters to the plan.

    First whoever fits in what is free, which most often is all that can start. Where somebody is
    left who may evict, or whose turn depends on the ends of others, then those who run, and whoever
    could start thanks to that, until no eviction frees more than was reckoned with.
    """
    draining = any(node.state == told.DRAINING for node in snapshot.nodes)
    if draining or snapshot.state == told.DRAINING:
        snapshot = replace(snapshot, running=running_in(snapshot))
    if snapshot.state != told.ACTIVE:
        return snapshot  # nobody is looked at
    plan_of = _Planner()
    snapshot = _with_queue(snapshot, queue, plan_of)
    plan = plan_of(snapshot)
    left = queue.waiting(_started(plan)) | _late_gangs(snapshot)
    all_run = bool(snapshot.running)
    if left and not all_run:
        all_run = _ends_matter(snapshot)
        running = running_in(snapshot) if all_run else _who_may_yield(snapshot, left)
        snapshot = replace(snapshot, running=running)
    alone = not snapshot.running and _starved_are_left(snapshot, plan, (), FEW_STARVED)
    if not left or alone:
        return snapshot
    gone, starved, vain = frozenset[str](), FEW_STARVED, frozenset[str]()
    while True:
        snapshot = _with_queue(snapshot, queue, plan_of, gone=gone, starved=starved, vain=vain)
        if not all_run and _ends_matter(snapshot):  # it may be read by now who has waited long
            snapshot, all_run = replace(snapshot, running=running_in(snapshot)), True
            continue
        plan = plan_of(snapshot)
        evicted = frozenset(eviction.workload_id for eviction in plan.evictions)
        enough = starved >= MOST_STARVED or _starved_are_left(snapshot, plan, gone, starved)
        if evicted <= gone and enough:
            return snapshot
        if not enough:
            starved *= 8
            vain |= _in_vain(snapshot, gone)
        if not evicted <= gone:
            gone, vain = gone | evicted, frozenset()


class _Planner:
    """Plans without reasons. What was planned last is not planned again: most often those evicted
    let nobody in who was not read already."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._plan = Plan()

    def __call__(self, snapshot: Snapshot) -> Plan:
        if snapshot != self._snapshot:
            self._snapshot, self._plan = snapshot, make_plan(snapshot, tell=False)
        return self._plan


def whole(snapshot: Snapshot, queue: QueueReader, *, only_heads: bool = False) -> Snapshot:
    """An empty snapshot with all who run, and of each scheduling key as many as could ever run; or
    only the first of each."""
    every = [
        SizeClass(each.name, gang, EVERYTHING)
        for each in snapshot.classes
        for gang in (False, True)
    ]
    heads, _ = queue.heads(every, EVERY_KEY)
    snapshot = _with(replace(snapshot, running=running_in(snapshot)), heads)
    if only_heads:
        return snapshot
    most = {head: _most_in(snapshot, snapshot.total, head) for head in heads}
    starved = _starved(snapshot, queue, MOST_STARVED)
    return _with(snapshot, [*queue.members(most), *starved])


def _started(plan: Plan) -> set[str]:
    return {start.workload_id for start in plan.starts}


# --- The queue -------------------------------------------------------------------------------


def _with_queue(
    snapshot: Snapshot,
    queue: QueueReader,
    plan_of: _Planner,
    *,
    gone: Collection[str] = (),
    starved: int = FEW_STARVED,
    vain: Collection[str] = (),
) -> Snapshot:
    """Whoever could start if those `gone` gave back what they hold, the starved and the head."""
    quotas = _quotas(snapshot, gone)
    snapshot = replace(snapshot, queued=tuple(_starved(snapshot, queue, starved, gone, vain)))
    reach = _reach(snapshot, gone)
    most_keys = MOST_KEYS
    if snapshot.policy.ordering == told.FAIR_SHARE:  # shares change with each start
        most_keys = EVERY_KEY
    heads, complete = queue.heads(size_classes(reach), most_keys, quotas)
    if not complete:
        return _in_order(snapshot, queue, plan_of, gone)
    in_all = {name: add_up(amounts) for name, amounts in reach.items()}
    most = {head: _most_in(snapshot, in_all[head.priority], head) for head in heads}
    if quotas is not None:
        for head in heads:
            room = quotas.unused_quota(head.owner).at_most(snapshot.total)
            most[head] = min(most[head], _most_in(snapshot, room, head))
    snapshot = _with(snapshot, heads)
    if sum(most.values()) <= MOST_MEMBERS:
        return _and_the_head(_with(snapshot, queue.members(most)), queue, quotas)
    return _with_members(snapshot, queue, plan_of, most, quotas)


def _with(snapshot: Snapshot, workloads: Iterable[Workload]) -> Snapshot:
    queued = {workload.id: workload for workload in (*snapshot.queued, *workloads)}
    return replace(snapshot, queued=tuple(queued.values()))


def _reach(snapshot: Snapshot, gone: Collection[str], plan: Plan | None = None) -> FreeByClass:
    """By class, what each bin could have for it, after a plan where there is one."""
    usual = free_by_bin(snapshot, gone, plan)
    may_evict = _preempting(snapshot) if snapshot.running else frozenset()
    found: dict[str, Sequence[Resources]] = {}
    for each in snapshot.classes:
        found[each.name] = usual
        if each.name in may_evict:
            victims = {running.id for running in evictable_below(snapshot, each.value)}
            found[each.name] = free_by_bin(snapshot, victims.union(gone), plan)
    return found


def _quotas(snapshot: Snapshot, gone: Collection[str] = ()) -> OwnerUsage | None:
    """What these leave at most, if there are any: whoever is over it need not be read."""
    return usage_once_gone(snapshot, gone) if snapshot.quotas else None


def _most_in(snapshot: Snapshot, room: Resources, head: Workload) -> int:
    """How many of one request could start in one cycle."""
    return min(head.total.count_in(room), snapshot.max_starts)


def _with_members(
    snapshot: Snapshot,
    queue: QueueReader,
    plan_of: _Planner,
    most: dict[Workload, int],
    quotas: OwnerUsage | None,
) -> Snapshot:
    """With those behind these heads, a few of each first, and more where all of these start: as
    long as one does not, none behind it would. Others of its key may be read, who have waited long:
    they tell nothing of those before them."""
    few = max(MOST_MEMBERS // len(most), 1)
    asked = {head: min(count, few) for head, count in most.items()}
    found = queue.members(asked)
    while True:
        so_far = _and_the_head(_with(snapshot, found), queue, quotas)
        started = _started(plan_of(so_far))
        waiting = {w.scheduling_key for w in (*most, *found) if w.id not in started}
        read = Counter(workload.scheduling_key for workload in found)
        more = {
            head: min(8 * count, most[head])
            for head, count in asked.items()
            if count < most[head]
            and head.scheduling_key not in waiting
            and read[head.scheduling_key] == count
        }
        if not more:
            return so_far
        asked |= more
        keys = {head.scheduling_key for head in more}
        found = [*(w for w in found if w.scheduling_key not in keys), *queue.members(more)]


def _in_order(
    snapshot: Snapshot, queue: QueueReader, plan_of: _Planner, gone: Collection[str]
) -> Snapshot:
    """Those that fit at their turn: each part of the line leaves less for the next."""
    found: list[Workload] = []
    plan, after, most = None, FIRST_PLACE, MOST_KEYS
    while True:
        reach = _reach(replace(snapshot, queued=tuple(found)), gone, plan)
        quotas = _quotas(snapshot, gone)
        part, after = queue.in_order(snapshot, size_classes(reach), after, most, quotas)
        found += part
        so_far = _and_the_head(_with(snapshot, found), queue, quotas)
        if len(part) < most:
            return so_far
        plan = plan_of(so_far)
        read = {workload.id for workload in found}
        if plan.unfinished and len(read & _started(plan)) >= snapshot.max_starts:
            return so_far
        gone = {*gone, *(eviction.workload_id for eviction in plan.evictions)}
        most *= 4


# --- Who counts although it does not fit -----------------------------------------------------


def _ever(snapshot: Snapshot) -> list[SizeClass]:
    """What the empty cluster could run, and little more."""
    totals = [node.capacity for node in snapshot.nodes] or [snapshot.total]
    return size_classes({each.name: totals for each in snapshot.classes})


def _starved(
    snapshot: Snapshot,
    queue: QueueReader,
    most: int,
    gone: Collection[str] = (),
    vain: Collection[str] = (),
) -> list[Workload]:
    """Of those for whom services and quotas would leave room once those `gone` had left; scheduling
    keys in `vain` are known not to be of these."""
    if snapshot.policy.queueing == told.STRICT:
        return []
    services = _services_once(snapshot, gone)
    found = size_classes({each.name: services.free_beside(each.name) for each in snapshot.classes})
    since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    return queue.starved(found, since_ms, most, _quotas(snapshot, gone), vain)


def _services_once(snapshot: Snapshot, gone: Collection[str]) -> LongRunning:
    """Those that are left once whoever drains and those `gone` have left."""
    services = LongRunning(snapshot, Capacity(snapshot))
    for id_ in {running.id for running in drained(snapshot)}.union(gone):
        services.evicted(id_)
    return services


def _in_vain(snapshot: Snapshot, gone: Collection[str]) -> frozenset[str]:
    """The scheduling keys that could not start whatever else came free."""
    capacity, services = Capacity(snapshot), _services_once(snapshot, gone)
    return frozenset(
        workload.scheduling_key
        for workload in snapshot.queued
        if impossible(capacity, workload) is not None or not services.leave_enough_for(workload)
    )


def _late_gangs(snapshot: Snapshot) -> frozenset[str]:
    """The classes of gangs that have waited long: the nodes held for them, also if they start, may
    depend on who runs there."""
    if len(snapshot.nodes) < 2 or snapshot.policy.queueing == told.STRICT:
        return frozenset()
    since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    return frozenset(
        workload.priority
        for workload in snapshot.queued
        if workload.replicas > 1 and workload.queued_ms <= since_ms
    )


def _starved_are_left(snapshot: Snapshot, plan: Plan, gone: Collection[str], most: int) -> bool:
    """Whether of each class one who waits on is among the starved that were read as such, or all of
    them were: those beyond, who fit and were read for that, are not the next in turn.

    Whoever may be over a quota at any time of the cycle does not count as one who waits on: with
    all starts, and without victims; nor does one for whom services leave no room. Nobody is held
    for beyond the first MOST_STARVED.
    """
    if snapshot.policy.queueing == told.STRICT:
        return True
    started, capacity, most_held = _started(plan), Capacity(snapshot), OwnerUsage(snapshot)
    services = LongRunning(snapshot, capacity)
    for workload in snapshot.queued:
        if workload.id in started:
            most_held.grow(workload.owner, workload.total)
    since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    quotas, read = usage_once_gone(snapshot, gone), dict[str, list[Workload]]()
    for workload in sorted(snapshot.queued, key=lambda w: (w.queued_ms, w.id)):
        if workload.queued_ms <= since_ms and not quotas.over(workload):
            read.setdefault(workload.priority, []).append(workload)

    def is_left(workload: Workload) -> bool:
        can_start = impossible(capacity, workload) is None and not most_held.over(workload)
        return can_start and services.leave_enough_for(workload) and workload.id not in started

    return all(len(first) < most or any(map(is_left, first[:most])) for first in read.values())


def _and_the_head(snapshot: Snapshot, queue: QueueReader, quotas: OwnerUsage | None) -> Snapshot:
    """With the first in line of all others that could ever run, where a blocked one counts."""
    if snapshot.policy.queueing not in (told.STRICT, told.EASY_BACKFILL):
        return snapshot
    capacity, found, never = Capacity(snapshot), _ever(snapshot), set[str]()
    if snapshot.policy.ordering == told.FAIR_SHARE:  # each may be the first in line
        heads, _ = queue.heads(found, EVERY_KEY, quotas)
        return _with_behind(snapshot, queue, heads)
    if quotas is not None:
        return _and_the_head_within(snapshot, queue, quotas)
    known = [workload.id for workload in snapshot.queued]
    while candidates := queue.first(snapshot, found, known, never):
        first = min(candidates, key=order_key(snapshot))
        if impossible(capacity, first) is None:
            return _with(snapshot, [first])
        never.add(first.scheduling_key)
    return snapshot


def _with_behind(snapshot: Snapshot, queue: QueueReader, heads: list[Workload]) -> Snapshot:
    """With these heads; where these are read already, and may start, with the next of their key."""
    read = Counter(workload.scheduling_key for workload in snapshot.queued)
    behind = queue.members({head: read[head.scheduling_key] for head in heads})
    return _with(snapshot, [*heads, *behind])


def _and_the_head_within(snapshot: Snapshot, queue: QueueReader, quotas: OwnerUsage) -> Snapshot:
    """The first in line may be passed over for its owner's quota, and then the next one counts, and
    so on to one who is not."""
    most = FEW_HEADS
    while True:
        heads = queue.first_heads(snapshot, _ever(snapshot), quotas, most)
        found = _with_behind(snapshot, queue, heads)
        if len(heads) < most or _is_decided_by(found, heads[-1]):
            return found
        most *= 8


def _is_decided_by(snapshot: Snapshot, last: Workload) -> bool:
    """Whether those up to the last in line decide who else starts: one of them is the head, or the
    cycle is full with them."""
    key = order_key(snapshot)
    state = admit_in_turn(snapshot, WaitingQueue(snapshot, sift(snapshot)[0]))
    if (head := state.reservations.head) is not None:
        return key(head) <= key(last)
    full = len(state.starts) >= snapshot.max_starts
    return full and all(
        key(workload) <= key(last) for workload in snapshot.queued if workload.id in state.started
    )


# --- Who runs --------------------------------------------------------------------------------


def _preempting(snapshot: Snapshot) -> frozenset[str]:
    """The names of the classes that may evict here."""
    if snapshot.policy.preemption != told.LOWER_PRIORITY:
        return frozenset()
    return frozenset(each.name for each in snapshot.classes if each.may_preempt)


def _who_may_yield(snapshot: Snapshot, waiting: frozenset[str]) -> tuple[told.Running, ...]:
    """Those below the classes that wait and may evict; most often nobody."""
    classes = by_name(snapshot.classes)
    values = [classes[name].value for name in waiting & _preempting(snapshot)]
    if not values:
        return ()
    return running_in(snapshot, priority_class__value__lt=max(values))


def _ends_matter(snapshot: Snapshot) -> bool:
    """Whether somebody is promised a start, or has waited so long that capacity is held for it."""
    if snapshot.policy.queueing == told.EASY_BACKFILL:
        return True
    since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    waited = any(workload.queued_ms <= since_ms for workload in snapshot.queued)
    return waited and snapshot.policy.queueing != told.STRICT
