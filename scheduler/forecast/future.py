"""One future of a cluster: nothing more is submitted, each workload runs for a given time, and the
production planner plans whenever something ends, and as windows close and open nodes.

As in production the planner knows limits alone, not the run times. It plans as well when an exempt
time ends, and when what waits instead of preempting is due.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.decision import sift
from scheduler.engine.placement.windows import nodes_at
from scheduler.engine.preemption.exemption import evictable_from
from scheduler.engine.reservations.history import history_after
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import LOWER_PRIORITY, Placement, Running, Workload
from scheduler.engine.whole_nodes.variants import expand
from scheduler.simulator.kept_queue import KeptQueue
from scheduler.simulator.simulated_cluster import SimulatedCluster

EVERY_START = 2**31
GRACE_MS = 30_000  # within which what is being stopped has most often ended
MOST_PASSES = 8  # at one moment

LeftMs = Callable[[str, int], int | None]
"""How long the workload of an id runs on, once it has run for so long; None: for ever."""
IsSpent = Callable[[], bool]
"""Whether the plans of this future have cost enough."""


class Start:
    """When a workload starts, and whether a run time by the history came before it."""

    __slots__ = ("at_ms", "by_history")

    def __init__(self, at_ms: int, *, by_history: bool) -> None:
        self.at_ms, self.by_history = at_ms, by_history


class Future:
    """Starts of the workloads in `targets`, by id. Those that never start are missing."""

    def __init__(self, snapshot: Snapshot, left_ms: LeftMs, by_history: Callable[[str], bool]):
        self.starts: dict[str, Start] = {}
        self._left_ms, self._by_history = left_ms, by_history
        self._snapshot = replace(snapshot, max_starts=EVERY_START)
        self._classes = {each.name: each for each in snapshot.classes}
        self._cluster = SimulatedCluster.of(snapshot)
        self._workloads = {each.id: each for each in snapshot.queued}
        self._queue = KeptQueue(snapshot)
        view = ClusterView(replace(snapshot, windows=()))  # which it asks for at each moment anew
        self._capacity = view.cluster.capacity
        for workload in sift(view)[0]:
            self._queue.enter(workload)
        self._done_ms: dict[str, int] = {}  # work that counts, of what has been evicted
        self._run_of: dict[str, int] = {}  # the number of the present run
        self._history = snapshot.reservation_history
        self._numbers = count()
        self._ends: list[tuple[int, str, int]] = []  # (moment, id, number of the run), a heap
        self._due_ms: int | None = None
        self._seen_history = False
        for running in snapshot.running:
            self._will_end(running, snapshot.now_ms)
        self._leaving = leaving(snapshot)

    def play(self, targets: Iterable[str], is_spent: IsSpent) -> bool:
        """Until all targets have started or nothing more can happen: True. Else False: what has not
        started by then starts later, if ever."""
        now_ms, wanted = self._snapshot.now_ms, set(targets) & set(self._workloads)
        while True:
            self._plan(now_ms)
            if not self._queue or wanted <= self.starts.keys():
                return True
            moments = [self._ends[0][0]] if self._ends else []
            moments += [] if self._due_ms is None else [self._due_ms]
            moments += self._exempt_until(now_ms)
            moments += self._of_windows(now_ms)
            if self._leaving:
                moments.append(self._snapshot.now_ms + GRACE_MS)
            if not moments:
                return True
            if is_spent():
                return False
            now_ms = max(min(moments), now_ms + 1)
            self._end(now_ms)

    def _end(self, now_ms: int) -> None:
        while self._ends and self._ends[0][0] <= now_ms:
            _, id_, number = heappop(self._ends)
            if self._run_of.get(id_) == number:
                del self._run_of[id_]
                self._cluster.leave(id_)
                self._seen_history |= self._by_history(id_)
        if self._leaving and now_ms >= self._snapshot.now_ms + GRACE_MS:
            for node_id, amount in self._leaving.items():
                self._cluster.give_back(node_id, amount)
            self._leaving = {}

    def _plan(self, now_ms: int) -> None:
        """Plan and apply; again after an eviction, because the plan left the victims out."""
        for _ in range(MOST_PASSES):
            if not self._queue:
                return
            snapshot = self._at(now_ms)
            queue = None if snapshot.windows else self._queue
            plan = make_plan(snapshot, queue, with_waits=False)
            self._history, self._due_ms = history_after(snapshot, plan), plan.due_ms
            self._apply(plan, now_ms)
            if not plan.evictions and not plan.unfinished:
                return

    def _apply(self, plan: Plan, now_ms: int) -> None:
        for eviction in plan.evictions:
            self._evict(eviction.workload_id, eviction.lost_ms, now_ms)
        for start in plan.starts:
            workload = self._workloads[start.workload_id]
            self._queue.leave(workload)
            self._start(workload, start.given or workload.request, start.placement, now_ms)

    def _at(self, now_ms: int) -> Snapshot:
        cluster, before = self._cluster, self._snapshot
        by_owner = cluster.allocated_by_owner() if before.by_owner else ()
        return replace(
            before,
            allocated=cluster.allocated,
            nodes=nodes_at(cluster.nodes(), before.windows, now_ms),
            running=cluster.running(now_ms),
            queued=self._queued() if before.windows else (),  # else the engine gets the queue
            now_ms=now_ms,
            allocated_by_owner=by_owner,
            reservation_history=self._history,
            sweeps=cluster.sweeps(),
        )

    def _queued(self) -> tuple[Workload, ...]:
        """The queue anew: which nodes windows leave to each workload changes with time."""
        return tuple({each.origin.id: each.origin for each in self._queue}.values())

    def _of_windows(self, now_ms: int) -> list[int]:
        """When the next one begins or ends."""
        windows = self._snapshot.windows
        moments = (at_ms for each in windows for at_ms in (each.begins_ms, each.ends_ms))
        return [min(later)] if (later := [at_ms for at_ms in moments if at_ms > now_ms]) else []

    def _start(
        self,
        workload: Workload,
        request: Resources,
        placement: tuple[Placement, ...],
        now_ms: int,
    ) -> None:
        limit_s = workload.limit_s
        running = Running(
            workload.id,
            workload.priority,
            request,
            workload.replicas,
            placement,
            now_ms,
            None,
            workload.preemptions,
            None if limit_s is None else now_ms + limit_s * 1000,
            workload.owner,
            workload.endless,
            sweep=workload.sweep,
        )
        self._cluster.enter(running)
        self.starts.setdefault(workload.id, Start(now_ms, by_history=self._seen_history))
        self._will_end(running, now_ms)

    def _will_end(self, running: Running, now_ms: int) -> None:
        began_ms = now_ms if running.started_ms is None else running.started_ms
        done_ms = max(now_ms - began_ms, 0) + self._done_ms.get(running.id, 0)
        number = self._run_of[running.id] = next(self._numbers)
        if running.endless:
            return
        if (left_ms := self._left_ms(running.id, done_ms)) is not None:
            heappush(self._ends, (now_ms + left_ms, running.id, number))

    def _evict(self, id_: str, lost_ms: int, now_ms: int) -> None:
        """Return a workload to the queue. Its work up to the last checkpoint counts as done."""
        running = self._cluster.leave(id_)
        del self._run_of[id_]
        ran_ms = now_ms - (now_ms if running.started_ms is None else running.started_ms)
        self._done_ms[id_] = self._done_ms.get(id_, 0) + max(ran_ms - lost_ms, 0)
        workload = requeued(running, self._workloads.get(id_), now_ms)
        if workload.preemptions >= self._snapshot.policy.max_preemptions:
            workload = replace(workload, scheduling_key=f"{workload.scheduling_key} for good")
        self._workloads[id_] = workload
        for each in expand(self._capacity, (workload,)):
            self._queue.enter(each)

    def _exempt_until(self, now_ms: int) -> list[int]:
        """When the next exempt time ends that keeps one from being evicted for what waits."""
        policy = self._snapshot.policy
        if not policy.preempt_exempt_s or policy.preemption != LOWER_PRIORITY:
            return []
        waiting = [each for each in self._queue if self._classes[each.priority].may_preempt]
        if not waiting:
            return []
        highest = max(self._classes[each.priority].value for each in waiting)
        since_ms = min(each.queued_ms for each in waiting)
        ends = (
            evictable_from(each, self._classes[each.priority], policy, waits)
            for each in self._cluster.running(now_ms)
            if self._classes[each.priority].value < highest
            for waits in (None, since_ms)
        )
        return [min(later)] if (later := [at for at in ends if at and at > now_ms]) else []


def requeued(running: Running, before: Workload | None, now_ms: int) -> Workload:
    """An evicted workload as it waits again: at its old place in line, where that is known."""
    preemptions = running.preemptions + 1
    if before is not None:
        return replace(before, queued_ms=now_ms, preemptions=preemptions)
    began_ms = running.started_ms or running.admitted_ms or now_ms
    limit_s = None
    if running.ends_ms is not None and running.started_ms is not None:
        limit_s = max((running.ends_ms - running.started_ms) // 1000, 1)
    priority, request, replicas = running.priority, running.request, running.replicas
    return Workload(
        id=running.id,
        scheduling_key=f"ran {priority} {request} {replicas} {limit_s} {running.owner}",
        priority=priority,
        request=request,
        replicas=replicas,
        submitted_ms=began_ms,
        queued_ms=now_ms,
        limit_s=limit_s,
        owner=running.owner,
        endless=running.endless,
        preemptions=preemptions,
    )


def leaving(snapshot: Snapshot) -> Mapping[str | None, Resources]:
    """By node, what is allocated to no running workload of the snapshot: it is being stopped."""
    found: dict[str | None, Resources] = {node.id: node.allocated for node in snapshot.nodes}
    if not found:
        found[None] = snapshot.allocated
    for running in snapshot.running:
        for placement in running.placement:
            amount = running.request.times(placement.replicas)
            if placement.node_id in found:
                found[placement.node_id] = found[placement.node_id].minus_at_most(amount)
    return {node_id: amount for node_id, amount in found.items() if any(amount)}
