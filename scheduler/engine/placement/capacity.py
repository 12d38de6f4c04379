"""The free amount of each bin, and the bins in which a workload fits.

A bin is a node. A cluster without nodes is one bin of the cluster's totals, so a pool needs no code
of its own: a gang in a pool is several replicas in that bin. Bins are numbered by their ids' order.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from heapq import heapify, heappop, heappush
from typing import Any

from scheduler.engine.budget import Budget
from scheduler.engine.placement.amounts import Amounts
from scheduler.engine.placement.nearest_labels import nearest_labels
from scheduler.engine.placement.node_sizes import SIZE, carries
from scheduler.engine.placement.windows import NEVER_MS, WINDOW, begins_after, first_begins
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import DRAINING, READY, SPREAD, Labels, Node, Placement, Snapshot

Where = list[tuple[int, int]]  # (bin, replicas)
Usable = Callable[[int], Resources]  # the amount of a bin that a workload may use
_Key = tuple[bool, int, int, int, int]


class OverAllocatedError(ValueError):
    """A snapshot of a cluster that cannot be: nothing can be planned in it."""

    def __init__(self, id_: str | None, total: Resources, free: Resources) -> None:
        bin_name = "the cluster" if id_ is None else f"the node {id_}"
        allocated = total.minus(free).named()
        super().__init__(f"{bin_name} has {allocated} allocated, and only {total.named()} in all")


class Capacity:
    """The bins and their free amounts. The state is `free`, and the order of bins that follows.

    `budget` counts the steps of the cycle whose state this is.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        """Raises OverAllocatedError."""
        nodes = sorted(snapshot.nodes, key=lambda node: node.id)
        if nodes:
            self.ids: list[str | None] = [node.id for node in nodes]
            self.totals = [node.capacity for node in nodes]
            self.free = [node.capacity.minus(node.allocated) for node in nodes]
        else:
            self.ids = [None]
            self.totals = [snapshot.total]
            self.free = [snapshot.total.minus(snapshot.allocated)]
        for id_, total, free in zip(self.ids, self.totals, self.free, strict=True):
            if min(free) < 0:
                raise OverAllocatedError(id_, total, free)
        self.number = {id_: at for at, id_ in enumerate(self.ids)}
        self._nodes = nodes
        self._spread = snapshot.policy.placement == SPREAD
        self._window_begins = first_begins(self.ids, snapshot) if snapshot.windows else None
        self._open = [not nodes or nodes[at].state == READY for at in range(len(self.ids))]
        self._order = sorted(self._key(at) for at in range(len(self.ids)) if self._open[at])
        self._matching: dict[Labels, frozenset[int] | None] = {(): None}
        self._empty: dict[Labels, Amounts] = {}
        self._nearest: dict[Labels, list[dict[str, Any]]] = {}
        self._shapes: dict[Labels, Counter[Resources]] = {}  # the totals, each different one once
        self._by_label: dict[tuple[str, str], frozenset[int]] | None = None
        self.changed: list[int] = []  # one entry per change of a free amount (see search.py)
        self.budget = Budget()

    def copy(self) -> "Capacity":
        """The same free amounts, to be changed on their own."""
        other = copy(self)
        other.free, other._order, other.changed = self.free.copy(), self._order.copy(), []
        other.budget = Budget()
        return other

    # --- Which bins ------------------------------------------------------------------------------

    def eligible(self, selector: Labels) -> Iterator[int]:
        """Open bins that carry the selector's labels."""
        matching = self._match(selector)
        return (at for *_, at in self._order if matching is None or at in matching)

    def is_eligible(self, at: int, selector: Labels) -> bool:
        matching = self._match(selector)
        return self._open[at] and (matching is None or at in matching)

    def ever_eligible(self, selector: Labels) -> Sequence[int]:
        """All bins that carry the selector's labels, also the closed ones."""
        matching = self._match(selector)
        return range(len(self.ids)) if matching is None else sorted(matching)

    def empty(self, selector: Labels) -> Amounts:
        """The totals of all bins that carry the selector's labels."""
        if selector not in self._empty:
            self._empty[selector] = Amounts(self.totals[at] for at in self.ever_eligible(selector))
        return self._empty[selector]

    def nearest(self, selector: Labels) -> list[dict[str, Any]]:
        """What nodes carry instead of the selector's labels (see nearest_labels.py)."""
        if selector not in self._nearest:
            self._nearest[selector] = nearest_labels(self._nodes, selector)
        return self._nearest[selector]

    def _match(self, selector: Labels) -> frozenset[int] | None:
        if selector not in self._matching:
            if self._by_label is None:
                self._by_label = _by_label(self._nodes)
            carriers = [self._carriers(label, self._by_label) for label in selector]
            self._matching[selector] = frozenset.intersection(*carriers)
        return self._matching[selector]

    def _carriers(
        self, label: tuple[str, str], by_label: dict[tuple[str, str], frozenset[int]]
    ) -> frozenset[int]:
        if label[0].startswith(SIZE):
            return frozenset(at for at, total in enumerate(self.totals) if carries(label, total))
        if label[0].startswith(WINDOW):
            every = range(len(self.ids))
            return frozenset(at for at in every if begins_after(label[0], self.closes_ms(at)))
        return by_label.get(label, frozenset())

    @property
    def has_windows(self) -> bool:
        return self._window_begins is not None

    def closes_ms(self, at: int) -> int:
        """When the next window of a bin begins, or the one under way has begun; NEVER_MS without
        one."""
        return NEVER_MS if self._window_begins is None else self._window_begins[at]

    # --- Fitting ---------------------------------------------------------------------------------

    def possible(self, request: Resources, replicas: int, selector: Labels) -> bool:
        """Whether the replicas would fit if every bin were empty and open."""
        if selector not in self._shapes:
            totals = (self.totals[at] for at in self.ever_eligible(selector))
            self._shapes[selector] = Counter(totals)
        shapes = self._shapes[selector]
        if replicas > 1:
            return fits(
                (request.count_in(one) * number for one, number in shapes.items()), replicas
            )
        cpu_milli, ram_mib, gpu = request
        for has_cpu, has_ram, has_gpu in shapes:
            if cpu_milli <= has_cpu and ram_mib <= has_ram and gpu <= has_gpu:
                return max(request) > 0
        return False

    def place(
        self, request: Resources, replicas: int, selector: Labels, usable: Usable | None = None
    ) -> Where | None:
        """The bins for all replicas, or None if they do not fit together. `usable` gives the usable
        amount of a bin; without it, all that is free is usable.

        A request without GPUs takes 1. a bin that has none, before one that has. binpack: the bin
        with 2. the least GPU left over, 3. the least CPU, 4. the least RAM, 5. the first id. The
        remainders after one request have the order of the free amounts, so one order of the bins
        serves every request. spread: the most instead of the least. A gang takes the fewest bins
        under binpack.
        """
        if replicas == 1:
            for at in self._candidates(request, selector):
                if request.fits_in(usable(at) if usable else self.free[at]):
                    return [(at, 1)]
            return None
        amounts = {
            at: usable(at) if usable else self.free[at]
            for at in self._candidates(request, selector)
        }
        if self._spread:
            return self._spread_out(request, replicas, amounts)
        counts = {at: request.count_in(amount) for at, amount in amounts.items()}
        if request.gpu == 0:
            without_gpus = {at: n for at, n in counts.items() if not self.totals[at].gpu}
            if sum(without_gpus.values()) >= replicas:
                counts = without_gpus
        return _fewest(counts, replicas)

    def _candidates(self, request: Resources, selector: Labels) -> Iterator[int]:
        """Eligible bins in the policy's order, without bins whose free amount is too small."""
        matching, order = self._match(selector), self._order
        cpu_milli, ram_mib, gpu = request
        if self._spread:
            first = bisect_left(order, (gpu > 0,))
            for index in range(first, len(order)):
                _, left_gpu, left_cpu, left_ram, at = order[index]
                if -left_gpu < gpu:
                    self.budget.spent += (index - first) // 8
                    return
                enough = -left_cpu >= cpu_milli and -left_ram >= ram_mib
                if enough and (matching is None or at in matching):
                    self.budget.spent += 1
                    yield at
            self.budget.spent += (len(order) - first) // 8
            return
        counted = bisect_left(order, (gpu > 0, gpu, cpu_milli, 0, 0))
        for index in range(counted, len(order)):
            _, _, left_cpu, left_ram, at = order[index]
            enough = left_cpu >= cpu_milli and left_ram >= ram_mib
            if enough and (matching is None or at in matching):
                self.budget.spent += 1 + (index - counted) // 8
                counted = index
                yield at
        self.budget.spent += (len(order) - counted) // 8

    def _spread_out(
        self, request: Resources, replicas: int, free: dict[int, Resources]
    ) -> Where | None:
        """Place one replica at a time, each in the bin with the most left of `free`."""
        key = self._spread_key
        heap = [(key(each, at), at) for at, each in free.items() if request.fits_in(each)]
        heapify(heap)
        counts: dict[int, int] = {}
        while heap and replicas:
            _, at = heappop(heap)
            counts[at] = counts.get(at, 0) + 1
            replicas -= 1
            free[at] = free[at].minus(request)
            if request.fits_in(free[at]):
                heappush(heap, (key(free[at], at), at))
        return sorted(counts.items()) if replicas == 0 else None

    def drains(self, at: int) -> bool:
        """Whether what is on its node leaves."""
        return bool(self._nodes) and self._nodes[at].state == DRAINING

    @property
    def packs(self) -> bool:
        """Whether a gang takes the fewest bins."""
        return not self._spread

    # --- Changing --------------------------------------------------------------------------------

    def allocate(self, at: int, amount: Resources) -> None:
        self._set(at, self.free[at].minus(amount))

    def release(self, at: int, amount: Resources) -> None:
        self._set(at, self.free[at].plus(amount))

    def _set(self, at: int, free: Resources) -> None:
        if self._open[at]:
            order = self._order
            del order[bisect_left(order, self._key(at))]
            self.free[at] = free
            insort(order, self._key(at))
        else:
            self.free[at] = free
        self.changed.append(at)

    def _key(self, at: int) -> _Key:
        if self._spread:
            return self._spread_key(self.free[at], at)
        cpu_milli, ram_mib, gpu = self.free[at]
        return (self.totals[at].gpu > 0, gpu, cpu_milli, ram_mib, at)

    def _spread_key(self, free: Resources, at: int) -> _Key:
        return (self.totals[at].gpu > 0, -free.gpu, -free.cpu_milli, -free.ram_mib, at)

    # --- Conversion from and to placements -------------------------------------------------------

    def placement(self, where: Where) -> tuple[Placement, ...]:
        return tuple(Placement(self.ids[at], replicas) for at, replicas in sorted(where))

    def bins_of(self, placement: Iterable[Placement]) -> Where:
        return [(self.number[each.node_id], each.replicas) for each in placement]


def _fewest(counts: Mapping[int, int], replicas: int) -> Where | None:
    """As few bins as take all replicas. `counts`: how many each takes, in order of preference.

    The bins that take the most come first, but the last of them is the one that is filled best:
    with fewer bins the largest counts would not have been enough either.
    """
    where: Where = []
    by_count = sorted(counts, key=lambda at: counts[at], reverse=True)  # stable: ties in order
    for position, at in enumerate(by_count):
        if counts[at] >= replicas:
            enough = (each for each in by_count[position:] if counts[each] >= replicas)
            return [*where, (min(enough, key=lambda each: counts[each]), replicas)]
        if counts[at] == 0:
            return None
        where.append((at, counts[at]))
        replicas -= counts[at]
    return None


def _by_label(nodes: Iterable[Node]) -> dict[tuple[str, str], frozenset[int]]:
    carriers: dict[tuple[str, str], list[int]] = {}
    for at, node in enumerate(nodes):
        for label in node.labels:
            carriers.setdefault(label, []).append(at)
    return {label: frozenset(bins) for label, bins in carriers.items()}


def fits(counts: Iterable[int], replicas: int) -> bool:
    """Whether bins that take `counts` replicas, one number per bin, take all `replicas`."""
    for count in counts:
        replicas -= count
        if replicas <= 0:
            return True
    return False
