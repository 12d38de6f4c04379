"""The cycle's working copy of the cluster: what is free, who may yield, who has been admitted."""

from scheduler.engine import reasons
from scheduler.engine.order import by_name
from scheduler.engine.plan import Eviction, Start
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import BEST_EFFORT, LOWER_PRIORITY, Placement, Snapshot, Workload
from scheduler.engine.victims import Candidate, Roster


class Board:
    """Admits workloads one by one, in the order in which it is asked."""

    def __init__(self, snapshot: Snapshot, line: list[Workload]) -> None:
        self.free = snapshot.total.minus(snapshot.allocated)
        self.starts: list[Start] = []
        self.started: set[str] = set()
        self.evictions: list[Eviction] = []
        self._classes = by_name(snapshot.classes)
        self._preempts = snapshot.policy.preemption == LOWER_PRIORITY
        self._roster = Roster(snapshot) if self._preempts else None
        self._blocked: set[str] = set()  # scheduling keys: their equals need no second look
        self._fillers: list[Workload] = []  # passed over, and not allowed to preempt
        self._starved = _starved(snapshot, line) if snapshot.policy.queueing == BEST_EFFORT else []

    @property
    def holder(self) -> Workload | None:
        """The one who has waited too long: what comes free is held back for it until it fits.

        One at a time: 1. the most urgent class, 2. the longest wait, 3. the id.
        """
        while self._starved and self._starved[-1].id in self.started:
            self._starved.pop()
        return self._starved[-1] if self._starved else None

    def usable(self, workload: Workload) -> Resources:
        """Free capacity less what is held back from it. Who is more urgent takes a hold over."""
        holder = self.holder
        if holder is None or holder is workload or self._value(holder) < self._value(workload):
            return self.free
        return self.free.minus_at_most(holder.total)

    def admit(self, workload: Workload) -> bool:
        """Place it in free capacity, else on its victims'; False, nothing changed, if neither."""
        if workload.scheduling_key in self._blocked:
            return False
        if self._place(workload) or self._preempt(workload):
            return True
        self._blocked.add(workload.scheduling_key)
        if not self._may_preempt(workload):
            self._fillers.append(workload)
        return False

    def _place(self, workload: Workload) -> bool:
        usable = self.usable(workload)
        if not workload.total.fits_in(usable):
            return False
        self._start(workload, usable, [])
        return True

    def _preempt(self, workload: Workload) -> bool:
        if self._roster is None or not self._may_preempt(workload):
            return False
        usable = self.usable(workload)
        victims = self._roster.take_cheapest(
            workload.total.minus(usable), below=self._value(workload)
        )
        if victims is None:
            return False
        self._start(workload, usable, victims)
        # A victim may free more than was needed; who was passed over for want of it comes first.
        for filler in self._fillers:
            if filler.id not in self.started:
                self._place(filler)
        return True

    def _start(self, workload: Workload, usable: Resources, victims: list[Candidate]) -> None:
        for victim in victims:
            self.free = self.free.plus(victim.frees)
            reason = reasons.preempted(workload.id, workload.priority, victim.lost_ms)
            self.evictions.append(
                Eviction(victim.id, reason, workload.id, victim.lost_ms, victim.cost)
            )
        self.free = self.free.minus(workload.total)
        self.started.add(workload.id)
        self.starts.append(
            Start(
                workload.id,
                (Placement(None, workload.replicas),),
                usable,
                tuple(victim.id for victim in victims),
            )
        )

    def _value(self, workload: Workload) -> int:
        return self._classes[workload.priority].value

    def _may_preempt(self, workload: Workload) -> bool:
        return self._classes[workload.priority].may_preempt


def _starved(snapshot: Snapshot, line: list[Workload]) -> list[Workload]:
    """Who has waited longer than reserve_after_s, the holder-to-be last."""
    since_ms = snapshot.now_ms - snapshot.policy.reserve_after_s * 1000
    values = {priority.name: priority.value for priority in snapshot.classes}
    waited = [workload for workload in line if workload.queued_ms <= since_ms]
    return sorted(waited, key=lambda w: (-values[w.priority], w.queued_ms, w.id), reverse=True)
