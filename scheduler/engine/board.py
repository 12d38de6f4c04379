"""The cycle's working copy of the cluster: what is free, who may yield, who has been admitted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scheduler.engine import reasons
from scheduler.engine.capacity import Capacity, Usable, Where
from scheduler.engine.drain import drain, drained
from scheduler.engine.hold import End, Hold, Reservation, ends_of, reserve
from scheduler.engine.line import Line
from scheduler.engine.order import by_name, order_key
from scheduler.engine.plan import Eviction, Start
from scheduler.engine.resources import Resources
from scheduler.engine.room import Ask, Room
from scheduler.engine.shares import Shares
from scheduler.engine.snapshot import (
    EASY_BACKFILL,
    LOWER_PRIORITY,
    STRICT,
    Running,
    Snapshot,
    Workload,
)
from scheduler.engine.victims import Candidate, Roster, Sacrifice

NEVER = Resources(-(2**62), -(2**62), -(2**62))


class Board:
    """Admits workloads one by one, in the order in which it is asked."""

    def __init__(self, snapshot: Snapshot, line: Line) -> None:
        """What a draining node runs has left before anybody is looked at."""
        self.capacity = Capacity(snapshot)
        self.starts: list[Start] = []
        self.started: set[str] = set()
        self.evictions: list[Eviction] = []
        self.head: Workload | None = None  # the first who was blocked
        self.hold: Hold | None = None
        self.reservation: Reservation | None = None
        self.shares = Shares(snapshot) if snapshot.policy.by_owner else None
        self._snapshot = snapshot
        self._classes = by_name(snapshot.classes)
        self._room: tuple[Room, Roster] | None = None
        self._begun: list[End] = []
        self._freed: list[int] = []  # bins in which the last victims were
        self._refused: list[Workload] = []
        self._kept_back: set[str] = set()  # scheduling keys: refused while something bound them
        self._running: dict[str, Running] = {}
        if self.shares is not None:
            self._running = {each.id: each for each in snapshot.running}
        self._key = line.key if self.shares is None else order_key(snapshot, self.shares)
        self._starved = _starved(snapshot, line)
        self._drain_nodes()
        self._hold_for_the_next()

    def _drain_nodes(self) -> None:
        for running in drained(self._snapshot):
            for at, count in self.capacity.bins_of(running.placement):
                self.capacity.give(at, running.request.times(count))
            if self.shares is not None:
                self.shares.shrink(running)
            self.evictions.append(drain(self._snapshot, running))

    def admit(self, workload: Workload) -> bool:
        """Place it in free capacity, else on its victims'; False, nothing changed, if neither: then
        no equal of it needs to be asked about, but the holder."""
        if self._place(workload) or self._preempt(workload):
            return True
        if self.head is None:
            self.head = workload
            self._reserve_for(workload)
        self._refused.append(workload)
        if self.usable(workload) is not None:
            self._kept_back.add(workload.scheduling_key)
        return False

    @property
    def keepers(self) -> tuple[Reservation | None, Hold | None]:
        """For whom something is held back now."""
        return self.reservation, self.hold

    def usable(self, workload: Workload) -> Usable | None:
        """What it may draw on, by bin; None: whatever is free."""
        reservation, hold = self._reservation_on(workload), self.hold
        if hold is not None and not hold.binds(workload, self._value(workload)):
            hold = None
        if reservation is None:
            return None if hold is None else hold.usable
        return reservation.usable if hold is None else _Both(reservation.usable, hold.usable)

    def _reservation_on(self, workload: Workload) -> Reservation | None:
        """The head's, if it binds this one. Not the holder, whose hold binds the head: of two who
        wait for each other neither would ever start, and the holder has waited for longer."""
        reservation = self.reservation
        if reservation is None or not reservation.binds(workload):
            return None
        if self.hold is not None and self.holds(workload):
            return reservation if self._value(reservation.head) > self.hold.value else None
        return reservation

    def holds(self, workload: Workload) -> bool:
        return self.hold is not None and self.hold.holder is workload

    def keeper(self, workload: Workload) -> Workload | None:
        """For whom so much is held back that it does not fit."""
        usable = self.usable(workload)
        if usable is None or self.fits(workload, usable) is not None:
            return None
        reservation = self._reservation_on(workload)
        if reservation is not None and (
            self.hold is None or self.fits(workload, reservation.usable) is None
        ):
            return reservation.head
        return self.hold.holder if self.hold is not None else None

    def fits(self, workload: Workload, usable: Usable | None = None) -> Where | None:
        return self.capacity.place(workload.request, workload.replicas, workload.selector, usable)

    def _place(self, workload: Workload) -> bool:
        where = self.fits(workload, self.usable(workload))
        if where is None:
            return False
        self._start(workload, where)
        return True

    def _preempt(self, workload: Workload) -> bool:
        if not self._may_preempt(workload) or not self._snapshot.running:
            return False
        usable, promised = self.usable(workload), self._promised(workload)
        if usable is not None and promised:
            usable = _Elsewhere(usable, promised)
        below = self._value(workload)
        ask = Ask(workload.request, workload.replicas, workload.selector, below, usable)
        room, roster = self._make_room()
        with roster.sparing(promised):
            sacrifice = room.cheapest(ask)
            if sacrifice is None:
                return False
            dearest = max(sacrifice.victims, key=lambda victim: victim.weight)
            alternative = room.without(dearest, ask)
        withheld = self._withheld(usable)
        usable = _with(usable, sacrifice.victims)
        for victim in sacrifice.victims:
            self._evict(victim, workload)
        where = self.fits(workload, usable)
        if where is None:
            raise AssertionError(f"the victims of {workload.id} made no room for it")
        self._start(workload, where, sacrifice, alternative, withheld)
        self._freed = sorted({at for victim in sacrifice.victims for at, _ in victim.frees})
        return True

    def fits_now(self, workload: Workload) -> bool:
        """Whether one who was refused now fits, in what the last victims have freed beyond what was
        needed, or in what is not held back from it any more."""
        free, request = self.capacity.free, workload.request
        return (
            workload.scheduling_key in self._kept_back
            or any(request.fits_in(free[at]) for at in self._freed)
        ) and self.fits(workload, self.usable(workload)) is not None

    def _start(
        self,
        workload: Workload,
        where: Where,
        sacrifice: Sacrifice | None = None,
        alternative: Sacrifice | None = None,
        withheld: tuple[tuple[str | None, Resources], ...] = (),
    ) -> None:
        if self.reservation is not None and self.reservation.binds(workload):
            self.reservation.took(where, workload.request)
        for at, replicas in where:
            self.capacity.take(at, workload.request.times(replicas))
        if self.shares is not None:
            self.shares.grow(workload.owner, workload.total)
        self.started.add(workload.id)
        if workload.limit_s is not None:
            ends_ms = self._snapshot.now_ms + workload.limit_s * 1000
            self._begun.append((ends_ms, where, workload.request))
        self.starts.append(
            Start(
                workload_id=workload.id,
                placement=self.capacity.placement(where),
                victims=tuple(v.id for v in sacrifice.victims) if sacrifice else (),
                proved=sacrifice.proved if sacrifice else True,
                alternative=tuple(v.id for v in alternative.victims) if alternative else (),
                alternative_cost=sum(v.cost for v in alternative.victims) if alternative else 0,
                withheld=withheld,
            )
        )
        if workload is self.head or self.holds(workload):
            self._promise_anew(workload)

    def _promise_anew(self, started: Workload) -> None:
        """The holder has started, or the head, for whom victims freed more than they had to."""
        if started is self.head:
            waiting = (each for each in self._refused if each.id not in self.started)
            self.head, self.reservation = min(waiting, key=self._key, default=None), None
        if self.hold is None or self.holds(started):
            self._hold_for_the_next()
        if self.head is not None:
            self._reserve_for(self.head)

    def _evict(self, victim: Candidate, preemptor: Workload) -> None:
        for at, amount in victim.frees:
            self.capacity.give(at, amount)
        if self.shares is not None:
            self.shares.shrink(self._running[victim.id])
        self._make_room()[1].evict(victim)
        reason = reasons.preempted(preemptor.id, preemptor.priority, victim.lost_ms)
        self.evictions.append(
            Eviction(victim.id, reason, preemptor.id, victim.lost_ms, victim.cost)
        )

    def _make_room(self) -> tuple[Room, Roster]:
        if self._room is None:
            roster = Roster(self._snapshot, self.capacity)
            self._room = Room(self.capacity, roster), roster
        return self._room

    def _hold_for_the_next(self) -> None:
        """One at a time, in the order of `Line.starved`."""
        holder = next((each for each in self._starved if each.id not in self.started), None)
        self.hold = None
        if holder is not None:
            value = self._value(holder)
            self.hold = Hold(self._snapshot, self.capacity, holder, value, self._ends)

    def _reserve_for(self, head: Workload) -> None:
        """Who is promised a start needs no hold, under which nothing could be backfilled."""
        if self._snapshot.policy.queueing != EASY_BACKFILL:
            return
        self.reservation = reserve(self._snapshot, self.capacity, head, self._ends())
        if self.reservation is not None and self.holds(head):
            self.hold = None

    def _ends(self) -> list[End]:
        """Who holds what until when at the latest, as it is by now."""
        gone = {eviction.workload_id for eviction in self.evictions}
        return ends_of(self._snapshot, self.capacity, gone) + self._begun

    def _promised(self, workload: Workload) -> frozenset[int]:
        """Bins in which what victims would give back has been promised already: to a head or a
        holder who counts on the ends of those who run there."""
        bins: set[int] = set()
        reservation, hold = self._reservation_on(workload), self.hold
        if reservation is not None:
            bins |= reservation.bins
        if hold is not None and hold.binds(workload, self._value(workload)) and hold.promised:
            bins |= hold.bins
        return frozenset(bins)

    def _withheld(self, usable: Usable | None) -> tuple[tuple[str | None, Resources], ...]:
        """What is free, but not usable, by node."""
        if usable is None:
            return ()
        bins = {at for keeper in (self.reservation, self.hold) if keeper for at in keeper.bins}
        ids, free = self.capacity.ids, self.capacity.free
        return tuple((ids[at], free[at].minus(usable(at)).at_most(free[at])) for at in sorted(bins))

    def _value(self, workload: Workload) -> int:
        return self._classes[workload.priority].value

    def _may_preempt(self, workload: Workload) -> bool:
        policy = self._snapshot.policy
        return policy.preemption == LOWER_PRIORITY and self._classes[workload.priority].may_preempt


@dataclass(frozen=True, slots=True)
class _Both:
    """What neither of two keepers holds back."""

    one: Usable
    other: Usable

    def __call__(self, at: int) -> Resources:
        return self.one(at).at_most(self.other(at))


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """In these bins nothing can be used, nor what victims would give back there."""

    usable: Usable
    bins: frozenset[int]

    def __call__(self, at: int) -> Resources:
        return NEVER if at in self.bins else self.usable(at)


def _with(usable: Usable | None, victims: Iterable[Candidate]) -> Usable | None:
    """`usable` as it is now, and what the victims will give back: that is their preemptor's."""
    if usable is None:
        return None
    rooms: dict[int, Resources] = {}
    for victim in victims:
        for at, amount in victim.frees:
            rooms[at] = (rooms[at] if at in rooms else usable(at)).plus(amount)
    return lambda at: rooms[at] if at in rooms else usable(at)


def _starved(snapshot: Snapshot, line: Line) -> Iterator[Workload]:
    """Who has waited longer than reserve_after_s; a strict line needs no hold."""
    if snapshot.policy.queueing == STRICT:
        return iter(())
    return line.starved(snapshot.now_ms - snapshot.policy.reserve_after_s * 1000)
