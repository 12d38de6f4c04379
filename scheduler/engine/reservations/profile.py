"""What bins have free from now on, by the time limits of what runs and by promised starts.

What a bin has free at a moment is what is free now, and what ends by then, less what has been
promised by then: a profile, as in conservative backfilling (Mu'alem and Feitelson 2001).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.engine.capacity import Capacity, Where
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.reservations.ends import runs_after
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Snapshot, Workload

MOST_CHOSEN = 64  # candidates of a bin among which those that may still be evicted are chosen
EVENT_STEPS = 2  # of the end of an allocation, or of a promise

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

    def binds(self, workload: Workload, value: int, now_ms: int) -> bool:
        if workload is self.reserved_for or value > self.value:
            return False
        return runs_after(self.at_ms, workload, now_ms)


_Starts = Sequence[DelayedStart]


class Profile:
    """The ends by time limits in one cycle's state; the state adds its starts and evictions.

    Only ends within `preemption_delay_s` count: no promise is for later.
    """

    def __init__(self, snapshot: Snapshot, capacity: Capacity) -> None:
        self._snapshot, self._capacity, self._budget = snapshot, capacity, capacity.budget
        self.gone: set[str] = set()  # the ids of those that were evicted
        self._begun: list[tuple[int, str, Where, Resources]] = []
        self._ends_by_bin: dict[int, list[_End]] | None = None  # made when it is first needed

    def started(self, workload: Workload, where: Where) -> None:
        if workload.limit_s is None:
            return
        ends_ms = self._snapshot.now_ms + workload.limit_s * 1000
        begun = (ends_ms, workload.id, where, workload.request)
        self._begun.append(begun)
        if self._ends_by_bin is not None:
            self._add(*begun)

    def evicted(self, victim: Candidate) -> None:
        self.gone.add(victim.id)
        if self._ends_by_bin is not None:
            for at, _ in victim.frees:
                ends = self._ends_by_bin.get(at, [])
                self._ends_by_bin[at] = [each for each in ends if each[1] != victim.id]

    @property
    def ends(self) -> Mapping[int, Sequence[_End]]:
        """By bin, no sooner than now."""
        if self._ends_by_bin is None:
            self._ends_by_bin, running = {}, self._snapshot.running
            self._budget.spent += len(running) // 2
            for each in running:
                if each.ends_ms is not None and each.id not in self.gone:
                    where = self._capacity.bins_of(each.placement)
                    self._add(each.ends_ms, each.id, where, each.request)
            for begun in self._begun:
                self._add(*begun)
        return self._ends_by_bin

    def _add(self, ends_ms: int, id_: str, where: Where, request: Resources) -> None:
        now_ms, by_bin = self._snapshot.now_ms, self._ends_by_bin
        if (
            by_bin is not None
            and ends_ms <= now_ms + self._snapshot.policy.preemption_delay_s * 1000
        ):
            for at, count in where:
                end = (max(ends_ms, now_ms), id_, request.times(count))
                by_bin.setdefault(at, []).append(end)

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

    def ever_after(self, at: int, starts: _Starts) -> list[tuple[int, Resources]]:
        """By moment, ascending, what the bin has free from that moment on. The first one is before
        all ends, also those that are overdue."""
        changes, free = self._changes(at, starts), self._capacity.free[at]
        steps = [(self._snapshot.now_ms - 1, free)]
        for at_ms in sorted(changes):
            free = free.plus(changes[at_ms])
            steps.append((at_ms, free))
        least, found = free, list[tuple[int, Resources]]()
        for at_ms, amount in reversed(steps):
            least = least.at_most(amount)
            found.append((at_ms, least))
        return found[::-1]

    def _changes(self, at: int, starts: _Starts) -> dict[int, Resources]:
        """By moment, what the bin then gets back, less what starts."""
        changes, ends = dict[int, Resources](), self.ends.get(at, ())
        self._budget.spent += EVENT_STEPS * (len(ends) + len(starts))
        for at_ms, _, amount in ends:
            changes[at_ms] = changes.get(at_ms, ZERO).plus(amount)
        for each in starts:
            for number, count in each.where:
                if number == at:
                    less = each.reserved_for.request.times(-count)
                    changes[each.at_ms] = changes.get(each.at_ms, ZERO).plus(less)
        return changes

    def left(self, at: int, starts: _Starts) -> Resources:
        """The least that the bin has free from now until the last of these starts."""
        free, own = self._capacity.free[at], _in_bin(at, starts)
        return _least(self._until(at, own), free) if own else free

    def _until(self, at: int, own: _Starts) -> list[tuple[int, Resources]]:
        """By moment, ascending, what the bin has free then, to the last of these starts."""
        changes, free = self._changes(at, own), self._capacity.free[at]
        last_ms, found = max(each.at_ms for each in own), list[tuple[int, Resources]]()
        for at_ms in sorted(changes):
            if at_ms > last_ms:
                break
            free = free.plus(changes[at_ms])
            found.append((at_ms, free))
        return found

    def relied_on(self, at: int, starts: _Starts, is_candidate: Callable[[str], bool]) -> set[str]:
        """The ids of the candidates on whose ends in the bin these starts rely: what evicts one of
        them would still be there when it would have ended. Of those that end in time only as many
        are relied on as are needed, the ones that end first."""
        if not (own := _in_bin(at, starts)):
            return set()
        until = self._until(at, own)
        least = _least(until, self._capacity.free[at])
        spare = [(at_ms, amount.minus(least)) for at_ms, amount in until]
        ending = [e for e in self.ends.get(at, ()) if e[0] <= until[-1][0] and is_candidate(e[1])]
        relied = {id_ for _, id_, _ in ending}
        for ends_ms, id_, amount in sorted(ending, reverse=True)[:MOST_CHOSEN]:
            self._budget.spent += len(spare)
            if all(amount.fits_in(more) for at_ms, more in spare if at_ms >= ends_ms):
                relied.remove(id_)
                spare = [(ms, more.minus(amount) if ms >= ends_ms else more) for ms, more in spare]
        return relied


def _in_bin(at: int, starts: _Starts) -> _Starts:
    return [each for each in starts if any(number == at for number, _ in each.where)]


def _least(steps: Sequence[tuple[int, Resources]], least: Resources) -> Resources:
    for _, amount in steps:
        least = least.at_most(amount)
    return least
