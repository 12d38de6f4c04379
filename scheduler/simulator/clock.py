"""The virtual clock: one event at a time, and the production planner after each event.

The order of events at one moment: 1. all jobs that reach their time limit end, together; 2.
submits, one by one; 3. other ends, one by one. After each the engine decides (`make_plan`, on a
queue that is kept from one moment to the next, without reasons for waits). An evicted job returns
to the queue with its old submit time, and later starts from zero or from its last checkpoint. A
pass with an eviction is followed by another pass, as in production. With `checked`, each snapshot
is also planned without the kept queue.
"""

from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush
from time import perf_counter
from typing import Protocol

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import verify
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.reservations.history import history_after
from scheduler.engine.resources import ZERO
from scheduler.engine.snapshot import (
    ACTIVE,
    Placement,
    Policy,
    ReservationRecord,
    Running,
    Workload,
)
from scheduler.engine.wait_reasons import impossible
from scheduler.simulator.cluster_spec import Cluster
from scheduler.simulator.jobs import Fate, Job, Result, Timeline
from scheduler.simulator.kept_queue import KeptQueue
from scheduler.simulator.simulated_cluster import SimulatedCluster

UNLIMITED = 2**31
FOREVER_MS = 2**62
PROGRESS_EVERY = 256  # ended jobs

Progress = Callable[[int, int, int], None]  # ended jobs, all jobs, jobs that wait now


class Observer(Protocol):
    """Sees a simulation as it goes on. Jobs are known by their numbers, workloads by the same as
    text."""

    def waits(self, number: int, snapshot: Callable[[], Snapshot]) -> None:
        """A job has been submitted, and waits after the pass; the cluster at that moment."""

    def starts(self, number: int, now_ms: int) -> None: ...

    def ends(self, number: int, now_ms: int) -> None: ...


def simulate(
    jobs: list[Job],
    cluster: Cluster,
    policy: Policy,
    *,
    checkpoint_s: int | None = None,
    checked: bool = False,
    progress: Progress | None = None,
    observer: Observer | None = None,
) -> Result:
    """Run the jobs, sorted by submit time, to the end under one policy.

    With `checkpoint_s` every job reports a checkpoint at that interval, in seconds.
    """
    began = perf_counter()
    clock = _Clock(jobs, cluster, policy, checkpoint_s, checked=checked, observer=observer)
    clock.run(progress)
    took_s = perf_counter() - began
    return Result(policy, cluster.total, jobs, clock.fates, clock.timeline, clock.passes, took_s)


class _Clock:
    def __init__(
        self,
        jobs: list[Job],
        cluster: Cluster,
        policy: Policy,
        checkpoint_s: int | None,
        *,
        checked: bool,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self.fates = [Fate() for _ in jobs]
        self.timeline = Timeline()
        self.passes = self._ended = 0
        self._jobs, self._left_ms = jobs, [job.run_ms for job in jobs]
        self._simulated = SimulatedCluster(cluster, checkpoint_s)
        self._empty = Snapshot(
            cluster_id="simulated",
            state=ACTIVE,
            policy=policy,
            total=cluster.total,
            allocated=ZERO,
            classes=cluster.classes,
            nodes=cluster.nodes,
            running=(),
            queued=(),
            now_ms=0,
            max_starts=UNLIMITED,
        )
        self._checked = checked
        self._ever = Capacity(self._empty)
        self._reservation_history: tuple[ReservationRecord, ...] = ()
        self._queue = KeptQueue(self._empty)
        self._workloads: list[Workload] = []  # by the number of the job
        # (moment, whether before the time limit, number of the job, number of its run), a heap: at
        # one moment the ends by a time limit come first.
        self._ends: list[tuple[int, bool, int, int]] = []

    def run(self, progress: Progress | None) -> None:
        """Process all events in their order."""
        jobs, ends, coming, reported = self._jobs, self._ends, 0, 0
        while coming < len(jobs) or ends:
            submit_ms = jobs[coming].submit_ms if coming < len(jobs) else FOREVER_MS
            now_ms = min(submit_ms, ends[0][0]) if ends else submit_ms
            changed = submitted = False
            while ends and ends[0][:2] == (now_ms, False):
                changed |= self._end()
            if not changed and submit_ms == now_ms:
                self._submit(coming)
                coming, changed, submitted = coming + 1, True, True
            elif not changed and ends and ends[0][0] == now_ms:
                changed = self._end()
            if changed:
                self._pass(now_ms)
                if submitted and self._observer is not None:
                    self._show(self._observer, coming - 1, now_ms)
                self.timeline.add(now_ms, self._simulated.allocated, len(self._queue))
            if progress is not None and self._ended >= reported + PROGRESS_EVERY:
                reported = self._ended
                progress(reported, len(jobs), len(self._queue))

    def _show(self, observer: Observer, number: int, now_ms: int) -> None:
        """A job that has just been submitted, unless it has started or never will."""
        workload = self._workloads[number]
        if self.fates[number].started_ms is not None or impossible(self._ever, workload):
            return
        observer.waits(number, lambda: replace(self._snapshot(now_ms), queued=tuple(self._queue)))

    def _submit(self, number: int) -> None:
        """Put a job into the queue, unless not even the empty cluster could run it."""
        job = self._jobs[number]
        owner = job.user if self._empty.by_owner else ""
        workload = Workload(
            id=f"{number:09d}",
            scheduling_key=f"{job.priority} {job.request} {job.replicas} {job.limit_s} {owner}",
            priority=job.priority,
            request=job.request,
            replicas=job.replicas,
            submitted_ms=job.submit_ms,
            queued_ms=job.submit_ms,
            limit_s=job.limit_s,
            owner=owner,
        )
        self._workloads.append(workload)
        if impossible(self._ever, workload) is None:
            self._queue.enter(workload)

    def _end(self) -> bool:
        """Process the next end; False if an eviction had ended that run before."""
        now_ms, _, number, run = heappop(self._ends)
        if run != self.fates[number].preemptions:
            return False
        self._simulated.leave(self._workloads[number].id)
        self.fates[number].ended_ms = now_ms
        self._ended += 1
        if self._observer is not None:
            self._observer.ends(number, now_ms)
        return True

    def _pass(self, now_ms: int) -> None:
        """Plan and apply; again after an eviction, because the plan left the victims out."""
        evicted = True
        while evicted and self._queue:
            self.passes += 1
            snapshot = self._snapshot(now_ms)
            if self._checked:
                plan = _checked(snapshot, self._queue)
            else:
                plan = make_plan(snapshot, self._queue, with_waits=False)
            self._reservation_history = history_after(snapshot, plan)
            for eviction in plan.evictions:
                self._evict(eviction.workload_id, eviction.lost_ms, now_ms)
            for start in plan.starts:
                self._start(int(start.workload_id), start.placement, now_ms)
            evicted = bool(plan.evictions)

    def _snapshot(self, now_ms: int) -> Snapshot:
        simulated, empty = self._simulated, self._empty
        return Snapshot(
            empty.cluster_id,
            empty.state,
            empty.policy,
            empty.total,
            simulated.allocated,
            empty.classes,
            simulated.nodes(),
            simulated.running(now_ms),
            tuple(self._queue) if self._checked else (),  # else the engine gets the queue itself
            now_ms,
            empty.max_starts,
            simulated.allocated_by_owner() if empty.by_owner else (),
            empty.quotas,
            self._reservation_history,
        )

    def _start(self, number: int, placement: tuple[Placement, ...], now_ms: int) -> None:
        workload, fate = self._workloads[number], self.fates[number]
        self._queue.leave(workload)
        limit_s = workload.limit_s
        running = Running(
            workload.id,
            workload.priority,
            workload.request,
            workload.replicas,
            placement,
            now_ms,
            None,
            fate.preemptions,
            None if limit_s is None else now_ms + limit_s * 1000,
            workload.owner,
        )
        self._simulated.enter(running)
        if fate.started_ms is None:
            fate.started_ms = now_ms
            if self._observer is not None:
                self._observer.starts(number, now_ms)
        left_ms = self._left_ms[number]
        early = limit_s is None or left_ms < limit_s * 1000
        heappush(self._ends, (now_ms + left_ms, early, number, fate.preemptions))

    def _evict(self, id_: str, lost_ms: int, now_ms: int) -> None:
        """Return a job to the queue. Its work up to the last checkpoint counts as done."""
        number = int(id_)
        running, fate = self._simulated.leave(id_), self.fates[number]
        assert running.started_ms is not None  # simulated jobs are never STARTING
        self._left_ms[number] -= now_ms - running.started_ms - lost_ms
        fate.preemptions += 1
        fate.lost_ms += lost_ms
        workload = replace(self._workloads[number], queued_ms=now_ms, preemptions=fate.preemptions)
        if fate.preemptions == self._empty.policy.max_preemptions:
            workload = replace(workload, scheduling_key=f"{workload.scheduling_key} for good")
        self._workloads[number] = workload
        self._queue.enter(self._workloads[number])


def _checked(snapshot: Snapshot, queue: WaitingQueue) -> Plan:
    """The plan of the snapshot alone, verified, and compared with the plan on the kept queue."""
    plan, decided = make_plan(snapshot), make_plan(snapshot, queue, with_waits=False)
    verify(snapshot, plan)
    if replace(plan, waits=()) != decided:
        raise AssertionError(f"the kept queue gives another plan at {snapshot.now_ms} ms")
    return plan
