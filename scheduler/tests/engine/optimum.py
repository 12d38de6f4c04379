"""The cheapest victims, found without the engine: by CP-SAT, and by trying all sets.

The model is independent of the engine's search. Its constraints say only what a victim set must
allow: a bin for each replica, and in each bin no more than is free and freed. Its objective is that
of candidates.py in stages: the lowest possible top class, then the cost in the highest class, in
the next, …, then the number of victims.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import gcd

from scheduler.engine import Plan, Snapshot
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Running, Workload
from scheduler.tests.engine.build import NOW
from scheduler.tests.engine.crowds import CLASSES
from scheduler.tests.engine.plans import FreeAmounts, fitting, free_amounts, release

VALUES = {each.name: each.value for each in CLASSES}

Vector = tuple[int, ...]  # the top value, cost by class from the highest down, number of victims


@dataclass(frozen=True)
class Moment:
    """The free amounts and possible victims at one workload's turn."""

    workload: Workload
    free: FreeAmounts  # of the nodes on which it may run
    victims: tuple[Running, ...]  # the running workloads that it may evict
    total: Resources
    reports: dict[str, list[int]]  # by class, the last checkpoints
    ratio: int = 0  # class_cost_ratio

    def fitting_without(self, gone: Sequence[Running]) -> int:
        """The number of replicas that fit after these victims have left."""
        free = dict(self.free)
        for victim in gone:
            release(free, victim)
        return fitting(free.values(), self.workload)

    def top(self) -> int | None:
        """The lowest priority value up to which all victims together are enough; None if none
        is."""
        tops = sorted({VALUES[victim.priority] for victim in self.victims})
        for top in tops[-1:] if self.ratio else tops:
            if self.fitting_without(self.up_to(top)) >= self.workload.replicas:
                return top
        return None

    def up_to(self, top: int) -> list[Running]:
        return [victim for victim in self.victims if VALUES[victim.priority] <= top]

    def vector(self, victims: Sequence[Running]) -> Vector:
        if self.ratio:
            return (0, sum(map(self.weighed, victims)), len(victims))
        tops = sorted({VALUES[each.priority] for each in self.victims}, reverse=True)
        costs = [
            sum(self.cost(v) for v in victims if VALUES[v.priority] == value) for value in tops
        ]
        return (max(VALUES[v.priority] for v in victims), *costs, len(victims))

    def weighed(self, victim: Running) -> int:
        """Its cost, times the ratio for each preemptible class below its own."""
        below = [
            each for each in CLASSES if each.preemptible and each.value < VALUES[victim.priority]
        ]
        return self.cost(victim) * self.ratio ** len(below)

    def cost(self, victim: Running) -> int:
        """Its dominant share in millionths, times the milliseconds lost and 60 s for the
        disruption. A job without checkpoints has one when half of its class had theirs; a service
        loses nothing."""
        if victim.started_ms is None:
            return 0
        whole = victim.request.times(victim.replicas)
        share = max(
            1_000_000 * part // all_ for part, all_ in zip(whole, self.total, strict=True) if all_
        )
        if victim.endless:
            return share * 60_000
        reports = self.reports.get(victim.priority, [])
        usual = statistics.median_high(reports) if reports else 0
        last = usual if victim.checkpoint_ms is None else victim.checkpoint_ms
        return share * (max(NOW - max(victim.started_ms, last), 0) + 60_000)


def moments(snapshot: Snapshot, plan: Plan) -> Iterator[tuple[Moment, list[Running], bool | None]]:
    """Each start, with its victims and whether the plan says they are proved the cheapest; then
    each waiting workload, with no victims and None."""
    free = free_amounts(snapshot)
    reports: dict[str, list[int]] = {}
    for each in snapshot.running:
        if each.checkpoint_ms is not None and not each.endless:
            reports.setdefault(each.priority, []).append(each.checkpoint_ms)
    running = {each.id: each for each in snapshot.running}
    for eviction in plan.evictions:
        if eviction.by is None:
            release(free, running.pop(eviction.workload_id))

    def moment(workload: Workload) -> Moment:
        suited: set[str | None] = {
            each.id
            for each in snapshot.nodes
            if each.state == "READY" and set(workload.selector) <= set(each.labels)
        }
        if not snapshot.nodes:
            suited = {None}
        usable: FreeAmounts = {at: amount for at, amount in free.items() if at in suited}
        victims = tuple(each for each in running.values() if evictable(snapshot, each, workload))
        ratio = snapshot.policy.class_cost_ratio
        return Moment(workload, usable, victims, snapshot.total, reports, ratio)

    queued = {each.id: each for each in snapshot.queued}
    for start in plan.starts:
        workload = queued.pop(start.workload_id)
        now = moment(workload)
        victims = [running.pop(each) for each in start.victims]
        yield now, victims, start.proved
        for victim in victims:
            release(free, victim)
        for placement in start.placement:
            taken = workload.request.times(placement.replicas)
            free[placement.node_id] = free[placement.node_id].minus(taken)
    for workload in queued.values():
        yield moment(workload), [], None


def evictable(snapshot: Snapshot, running: Running, preemptor: Workload) -> bool:
    policy = snapshot.policy
    began_ms = running.admitted_ms if running.started_ms is None else running.started_ms
    ran_ms = 0 if began_ms is None else NOW - began_ms
    return (
        VALUES[running.priority] < VALUES[preemptor.priority]
        and running.priority != "FIRM"
        and running.preemptions < policy.max_preemptions
        and max(ran_ms, NOW - preemptor.queued_ms) >= policy.preempt_exempt_s * 1000
    )


# --- The model ------------------------------------------------------------------------------------


def optimum(moment: Moment, top: int) -> Vector | None:
    """The least vector, by CP-SAT; None if that takes too long."""
    from ortools.sat.python import cp_model  # slow to import, and collecting tests needs none

    victims = moment.up_to(top)
    model = cp_model.CpModel()
    gone = [model.new_bool_var("") for _ in victims]
    workload = moment.workload
    replicas = {at: model.new_int_var(0, workload.replicas, "") for at in moment.free}
    model.add(sum(replicas.values()) == workload.replicas)
    for at, amount in moment.free.items():
        for dimension, want in enumerate(workload.request):
            freed = sum(
                yes * victim.request[dimension] * each.replicas
                for yes, victim in zip(gone, victims, strict=True)
                for each in victim.placement
                if each.node_id == at
            )
            if want:
                model.add(want * replicas[at] <= amount[dimension] + freed)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = 1.0
    for stage in _stages(moment, victims):
        target = sum(each * yes for each, yes in zip(stage, gone, strict=True))
        model.minimize(target)
        status = solver.solve(model)
        if status in (cp_model.FEASIBLE, cp_model.UNKNOWN):
            return None
        assert status == cp_model.OPTIMAL
        best = sum(e for e, yes in zip(stage, gone, strict=True) if solver.value(yes))
        model.add(target == best)
    return moment.vector([v for v, yes in zip(victims, gone, strict=True) if solver.value(yes)])


def _stages(moment: Moment, victims: Sequence[Running]) -> list[list[int]]:
    """Objectives in order of importance; neighbours are merged if the numbers stay exact."""
    values = sorted({VALUES[each.priority] for each in victims}, reverse=True)
    if moment.ratio:
        return _merged([[moment.weighed(v) for v in victims]])
    parts = [
        [moment.cost(v) if VALUES[v.priority] == value else 0 for v in victims] for value in values
    ]
    return _merged(parts)


def _merged(parts: Sequence[list[int]]) -> list[list[int]]:
    stages = [[1] * len(parts[0])]
    for part in reversed(parts):
        scale = gcd(*part) or 1
        above = [each // scale for each in part]
        below = sum(stages[0]) + 1
        if below * sum(above) < 2**50:
            stages[0] = [a * below + b for a, b in zip(above, stages[0], strict=True)]
        else:
            stages.insert(0, above)
    return stages


def brute_force(moment: Moment) -> Vector | None:
    """The least vector among all sets of victims."""
    sets = (
        chosen
        for number in range(len(moment.victims) + 1)
        for chosen in combinations(moment.victims, number)
    )
    enough = (each for each in sets if moment.fitting_without(each) >= moment.workload.replicas)
    return min((moment.vector(each) for each in enough if each), default=None)


def times_dearer(found: Vector, best: Vector) -> float:
    """The cost found as a multiple of the least, in the highest class in which they differ; in all
    classes together, where the least is nothing in that class."""
    assert found >= best, "the model missed a cheaper set"
    for ours, least in zip(found[1:-1], best[1:-1], strict=True):
        if ours != least:
            return ours / least if least else sum(found[1:-1]) / (sum(best[1:-1]) or 1)
    return 1.0
