"""Of equal nodes, a workload that starts gets one that has its image already.

The plan is made without images, and this exchanges equal nodes in it. So images change neither what
starts, nor what is evicted, nor what waits and why, and cost nothing where none are known.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace

from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.plan import Start
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.state import CycleState


def prefer_local_images(view: ClusterView, state: CycleState) -> tuple[Start, ...]:
    """The starts of the cycle, in bins that are equal to theirs.

    Two bins are equal if 1. the same amount was free in both, 2. both have GPUs or neither, 3. no
    workload of the queue asks for a label that only one of them has, 4. nothing has left or is
    reserved in either, and 5. where any workload takes whole nodes, both have the same in all. All
    that starts in a bin moves together, into an equal one in which nothing starts, if more of its
    replicas find their image there: the most first, then the first id.

    Nothing moves in a cycle that evicts for others, or in which workloads wait for time limits:
    the victims and the promised places were chosen by what runs on each node.
    """
    starts = tuple(state.starts)
    if state.victims or (state.delays is not None and state.delays.promises):
        return starts
    images = view.snapshot.local_images
    local = [frozenset(each.nodes) for each in images]
    loads = _loads(view, state)
    fixed = _fixed(view, state)
    kinds = _Kinds(view)
    unused: dict[tuple[Hashable, int], deque[int]] = defaultdict(deque)
    for image, bins in enumerate(local):
        for at in sorted(bins - loads.keys() - fixed):
            if view.cluster.capacity.is_eligible(at, ()):
                unused[kinds.of(at), image].append(at)
    moved: dict[int, int] = {}
    taken: set[int] = set()
    for at, load in loads.items():
        if at in fixed:
            continue
        equal = [_without(unused[kinds.of(at), image], taken) for image in load]
        offers = [bins[0] for bins in equal if bins]
        best = min(offers, key=lambda other: (-_found(load, local, other), other), default=at)
        if _found(load, local, best) > _found(load, local, at):
            taken.add(best)
            moved[at] = best
    return tuple(_moved(start, state, moved) for start in starts) if moved else starts


def _loads(view: ClusterView, state: CycleState) -> dict[int, Counter[int]]:
    """By bin in which something starts, in the order of the first starts: the number of replicas of
    each image of which it is known where it is."""
    images = view.snapshot.local_images
    numbers = {id_: number for number, each in enumerate(images) for id_ in each.workload_ids}
    loads: dict[int, Counter[int]] = {}
    for start in state.starts:
        number = numbers.get(start.workload_id)
        for at, replicas in state.capacity.bins_of(start.placement):
            load = loads.setdefault(at, Counter())
            if number is not None:
                load[number] += replicas
    return loads


def _fixed(view: ClusterView, state: CycleState) -> set[int]:
    """The bins in which something has left in this cycle, or is reserved."""
    before, after, reservations = view.cluster.capacity, state.capacity, state.reservations
    allocated: dict[int, Resources] = dict.fromkeys(after.changed, ZERO)
    for start, workload in zip(state.starts, state.admitted, strict=True):
        for at, replicas in after.bins_of(start.placement):
            allocated[at] = allocated[at].plus(workload.request.times(replicas))
    fixed = {
        at for at, amount in allocated.items() if before.free[at].minus(amount) != after.free[at]
    }
    for each in reservations.starvations:
        fixed |= each.bins
    if reservations.backfill is not None:
        fixed |= reservations.backfill.bins
    return fixed


class _Kinds:
    """What equal bins have alike, before the cycle."""

    def __init__(self, view: ClusterView) -> None:
        self._capacity = view.cluster.capacity
        self._by_size = any(each.whole for each in view.snapshot.queued)
        selectors = {each.selector for each in view.snapshot.queued}
        self._asked = {label for selector in selectors for label in selector}
        self._nodes = sorted(view.snapshot.nodes, key=lambda node: node.id)
        self._known: dict[int, Hashable] = {}

    def of(self, at: int) -> Hashable:
        if at not in self._known:
            labels = self._nodes[at].labels if self._nodes else ()
            asked = frozenset(label for label in labels if label in self._asked)
            capacity = self._capacity
            size = capacity.totals[at] if self._by_size else None
            has_gpus, closes_ms = capacity.totals[at].gpu > 0, capacity.closes_ms(at)
            self._known[at] = (capacity.free[at], has_gpus, asked, size, closes_ms)
        return self._known[at]


def _without(bins: deque[int], taken: Collection[int]) -> deque[int]:
    """The bins, whose first ones are dropped as long as they are taken."""
    while bins and bins[0] in taken:
        bins.popleft()
    return bins


def _found(load: Counter[int], local: Sequence[frozenset[int]], at: int) -> int:
    """How many replicas find their image in the bin."""
    return sum(replicas for image, replicas in load.items() if at in local[image])


def _moved(start: Start, state: CycleState, moved: dict[int, int]) -> Start:
    capacity = state.capacity
    where = capacity.bins_of(start.placement)
    if not any(at in moved for at, _ in where):
        return start
    placement = capacity.placement([(moved.get(at, at), replicas) for at, replicas in where])
    return replace(start, placement=placement, by_image=True)
