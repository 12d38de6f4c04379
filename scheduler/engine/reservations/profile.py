"""What bins have free from now on, by the time limits of what runs and by promised starts.

What a bin has free at a moment is what is free now, and what ends by then, less what has been
promised by then: a profile, as in conservative backfilling (Mu'alem and Feitelson 2001).
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import accumulate

from scheduler.engine.placement.capacity import Capacity, Where
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Snapshot, Workload

MOST_CHOSEN = 64  # candidates of a bin among which those that may still be evicted are chosen
BIN_STEPS = 4  # of a look at one bin

_End = tuple[int, str, Resources]  # moment in ms, id of the workload that ends then, amount


@dataclass(frozen=True, slots=True, eq=False)
class DelayedStart:
    """The workload starts at `at_ms` in these bins, after the one of the id `after` has ended by
    its time limit; else it preempts at `deadline_ms`."""

    reserved_for: Workload
    value: int
    at_ms: int
    deadline_ms: int
    after: str
    where: Where


Starts = Sequence[DelayedStart]


class Profile:
    """The ends by time limits in one cycle's state; the state adds its starts and evictions.

    Only ends within `preemption_delay_s` count, no promise is for later, and none before now. Of a
    bin, what is free only grows from one promised start to the next, so the least is at one of
    these.
    """

    def __init__(self, snapshot: Snapshot, capacity: Capacity) -> None:
        self._snapshot, self._capacity, self._budget = snapshot, capacity, capacity.budget
        self.gone: set[str] = set()  # the ids of those that were evicted
        self._begun: list[tuple[int, str, Where, Resources]] = []
        self._ends: dict[int, list[_End]] | None = None  # by bin, sorted; made when needed
        self._freed: dict[int, tuple[list[int], list[Resources]]] = {}  # by bin: moments, sums

    def started(self, workload: Workload, where: Where) -> None:
        if workload.limit_s is None:
            return
        ends_ms = self._snapshot.now_ms + workload.limit_s * 1000
        begun = (ends_ms, workload.origin.id, where, workload.request)
        self._begun.append(begun)
        if self._ends is not None:
            self._add(self._ends, *begun)

    def evicted(self, victim: Candidate) -> None:
        self.gone.add(victim.id)
        if self._ends is not None:
            for at, _ in victim.frees:
                ends = self._ends.get(at, [])
                self._ends[at] = [each for each in ends if each[1] != victim.id]
                self._freed.pop(at, None)

    @property
    def bins(self) -> Container[int]:
        """Those in which something ends."""
        return self._all().keys()

    def ends_in(self, at: int) -> Sequence[_End]:
        """The first one first."""
        return self._all().get(at, ())

    def _all(self) -> dict[int, list[_End]]:
        if self._ends is None:
            self._ends, running = {}, self._snapshot.running
            self._budget.spent += len(running) // 2
            for each in running:
                if each.ends_ms is not None and each.id not in self.gone:
                    where = self._capacity.bins_of(each.placement)
                    self._add(self._ends, each.ends_ms, each.id, where, each.request)
            for begun in self._begun:
                self._add(self._ends, *begun)
        return self._ends

    def _add(
        self, by_bin: dict[int, list[_End]], ends_ms: int, id_: str, where: Where, one: Resources
    ) -> None:
        now_ms = self._snapshot.now_ms
        if ends_ms <= now_ms + self._snapshot.policy.preemption_delay_s * 1000:
            for at, count in where:
                insort(by_bin.setdefault(at, []), (max(ends_ms, now_ms), id_, one.times(count)))
                self._freed.pop(at, None)

    def owned_ends(self, owner: str) -> list[_End]:
        """The ends of all that this owner's running workloads have allocated, the first one first;
        no sooner than now."""
        now_ms, running = self._snapshot.now_ms, self._snapshot.running
        self._budget.spent += len(running) // 4
        return sorted(
            (max(each.ends_ms, now_ms), each.id, each.total)
            for each in running
            if each.owner == owner and each.ends_ms is not None and each.id not in self.gone
        )

    # --- One bin ---------------------------------------------------------------------------------

    def _sums(self, at: int) -> tuple[list[int], list[Resources]]:
        """The moments of the ends in a bin, and what has ended up to each of them."""
        if at not in self._freed:
            ends = self.ends_in(at)
            self._budget.spent += len(ends) // 2
            sums = accumulate((amount for _, _, amount in ends), Resources.plus)
            self._freed[at] = [at_ms for at_ms, _, _ in ends], list(sums)
        return self._freed[at]

    def _freed_by(self, at: int, at_ms: int) -> Resources:
        moments, sums = self._sums(at)
        count = bisect_right(moments, at_ms)
        return sums[count - 1] if count else ZERO

    def left(self, at: int, starts: Starts) -> Resources:
        """The least that the bin ever has free, with these starts in it."""
        return self.ever_after(at, self._snapshot.now_ms - 1, starts)

    def ever_after(self, at: int, from_ms: int, starts: Starts) -> Resources:
        """The least that the bin has free at this moment or later."""
        free = self._capacity.free[at]
        self._budget.spent += 3 + 2 * len(starts)
        least, less = free.plus(self._freed_by(at, from_ms)), ZERO
        for each in sorted(starts, key=_moment):
            less = less.plus(_amount(each, at))
            moment_ms = max(each.at_ms, from_ms)
            least = least.at_most(free.plus(self._freed_by(at, moment_ms)).minus(less))
        return least

    def moments(self, at: int, from_ms: int, until_ms: int) -> list[int]:
        """Those of the span at which the bin may have more free than before, and its first."""
        moments, _ = self._sums(at)
        first, end = bisect_right(moments, from_ms), bisect_right(moments, until_ms)
        return [from_ms, *dict.fromkeys(moments[first:end])]

    def relied_on(self, at: int, starts: Starts, is_candidate: Callable[[str], bool]) -> set[str]:
        """The ids of the candidates on whose ends in the bin these starts rely: what evicts one of
        them would still be there when it would have ended. Of those that end in time only as many
        are relied on as are needed, the ones that end first."""
        if not starts:
            return set()
        last_ms, least = max(each.at_ms for each in starts), self.left(at, starts)
        spare, less = list[tuple[int, Resources]](), ZERO
        for each in sorted(starts, key=_moment):
            less = less.plus(_amount(each, at))
            then = self._capacity.free[at].plus(self._freed_by(at, each.at_ms)).minus(less)
            spare.append((each.at_ms, then.minus(least)))
        moments, _ = self._sums(at)
        ending = [
            each
            for each in self.ends_in(at)[: bisect_right(moments, last_ms)]
            if is_candidate(each[1])
        ]
        self._budget.spent += BIN_STEPS + len(ending)
        relied = {id_ for _, id_, _ in ending}
        for ends_ms, id_, amount in reversed(ending[-MOST_CHOSEN:]):
            self._budget.spent += len(spare) // 2
            if all(amount.fits_in(more) for at_ms, more in spare if at_ms >= ends_ms):
                relied.remove(id_)
                spare = [(ms, more.minus(amount) if ms >= ends_ms else more) for ms, more in spare]
        return relied


def _moment(start: DelayedStart) -> int:
    return start.at_ms


def _amount(start: DelayedStart, at: int) -> Resources:
    """What the start takes of the bin."""
    count = sum(replicas for number, replicas in start.where if number == at)
    return start.reserved_for.request.times(count)
