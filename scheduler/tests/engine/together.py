"""Clusters whose preemptors could share victims, and the least that these could cost in all."""

from random import Random
from typing import Any
from unittest.mock import patch

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.preemption.costs import cost
from scheduler.engine.resources import Resources
from scheduler.tests.engine.build import job, node, pool, rack, run

BINS = (0, 1, 2, 3, 4)  # nodes; 0: a pool


def crowd(seed: int) -> Snapshot:
    """Full nodes, or a pool, of LOW of all sizes, and two to eight HIGH."""
    random = Random(seed)
    names = [f"n{number}" for number in range(random.choice(BINS))]
    sizes = random.choice([[1, 1, 1, 8], [1, 2, 4, 8], [1, 2, 3], [2, 5]])
    bins: list[str | None] = [*names] or [None]
    running = []
    for name in bins:
        left = random.choice([8, 12, 16])
        while left:
            gpus = min(random.choice(sizes), left)
            left -= gpus
            running.append(
                run(gpus, random.randint(1, 8), gpus, on=name, ran_s=random.choice([0, 60, 600]))
            )
    alike = random.random() < 0.4
    shape = (random.choice([1, 2]), random.randint(1, 6))
    queued = []
    for _ in range(random.randint(2, 8)):
        gpus, cores = shape if alike else (random.choice([0, 1, 1, 2, 4]), random.randint(1, 6))
        replicas = random.choice([1, 1, 1, 2]) if len(names) > 1 else 1
        queued.append(job(gpus, cores, 1, high=True, replicas=replicas))
    spare = random.randint(0, 2)
    if not names:
        gpu, cpu, ram = (
            sum(each.request[dim] * each.replicas for each in running) for dim in (2, 0, 1)
        )
        return pool(gpu + spare, cpu // 1000 + 1, ram // 1024 + 8, running=running, queued=queued)
    empty = [
        node(
            name,
            gpu=sum(each.request.gpu for each in running if each.placement[0].node_id == name)
            + spare,
            cpu=sum(each.request.cpu_milli for each in running if each.placement[0].node_id == name)
            // 1000
            + 1,
        )
        for name in names
    ]
    return rack(empty, running=running, queued=queued)


def one_after_another(snapshot: Snapshot) -> Plan:
    """The plan without a second look."""
    with patch("scheduler.engine.decision.look_again", lambda state, _: state):
        return make_plan(snapshot)


def cost_of(plan: Plan) -> int:
    return sum(each.cost for each in plan.evictions)


def least_cost(snapshot: Snapshot, plan: Plan) -> int | None:
    """The least cost of victims that let all that the plan starts start, by CP-SAT; None if that
    takes too long."""
    from ortools.sat.python import cp_model  # slow to import, and collecting tests needs none

    costs = {each.id: cost(each, snapshot.total, snapshot.now_ms) for each in snapshot.running}
    started = {start.workload_id for start in plan.starts}
    model = cp_model.CpModel()
    gone = {each.id: model.new_bool_var("") for each in snapshot.running}
    free: dict[str | None, Resources] = {
        each.id: each.capacity.minus(each.allocated) for each in snapshot.nodes
    } or {None: snapshot.total.minus(snapshot.allocated)}
    taken: dict[str | None, list[tuple[Resources, Any]]] = {at: [] for at in free}
    for workload in snapshot.queued:
        if workload.id in started:
            counts = {at: model.new_int_var(0, workload.replicas, "") for at in free}
            model.add(sum(counts.values()) == workload.replicas)
            for at, count in counts.items():
                taken[at].append((workload.request, count))
    for at, amount in free.items():
        for dim in range(3):
            freed = sum(
                gone[each.id] * each.request[dim] * place.replicas
                for each in snapshot.running
                for place in each.placement
                if place.node_id == at
            )
            model.add(sum(r[dim] * n for r, n in taken[at]) <= amount[dim] + freed)
    model.minimize(sum(costs[id_] * yes for id_, yes in gone.items()))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = 1.0
    if solver.solve(model) != cp_model.OPTIMAL:
        return None
    return sum(costs[id_] for id_, yes in gone.items() if solver.value(yes))
