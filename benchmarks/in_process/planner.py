"""The planner and its store with very many waiting, on 1,000 nodes, and in a preemption storm.

In one process with its own embedded PostgreSQL and Redis: no web server, no worker.
"""

import time
from typing import Any

from benchmarks.in_process.tables import (
    NODES,
    PER_NODE,
    fill,
    make_cluster,
    make_nodes,
    owner_named,
)
from benchmarks.report import Result
from benchmarks.servers import platform

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
REQUESTS = {"100 requests": 100, "all different": None}  # how many different ones


def measure(rounds: int) -> Result:
    result = Result(
        "planner",
        "Planning with very many waiting",
        notes=[
            "So many wait in a full pool, none of which can start, with 100 different requests or "
            "all of them different.",
            "Quotas: so many wait in an empty pool, of ten owners whose quotas are used up, and "
            "for longer than reserve_after_s; of each 1,000 different requests.",
            "Admission: 100,000 of 20 requests wait for 1,000 nodes of 8 GPUs, 1,000 start in one "
            "cycle. The reference reads the rows of those thousand with one plain SELECT and "
            "writes them with one plain UPDATE.",
            "Many requests: the same of 1,000 requests, of these by ten owners with fair shares, "
            "and of 100,000 different ones; each cycle is rolled back.",
            "Storm: 1,000 nodes full of 4,000 LOW of 2 GPUs, 1,000 HIGH of 1, 2 or 4 GPUs arrive "
            "at once.",
            "Hard plans: processor time of one make_plan of each snapshot of hard_plans.py; proved "
            "is the share of its preemptions whose victims are proved to be the cheapest.",
        ],
    )
    _hard_plans(result, rounds)
    with platform():
        _lengths(result, rounds)
        _quotas(result, rounds)
        _admission(result, rounds)
        _many_requests(result, rounds)
        _storm(result, rounds)
        _questions(result, rounds)
    return result


def _lengths(result: Result, rounds: int) -> None:
    for label, requests in REQUESTS.items():
        medians: dict[int, list[float]] = {}
        for length in LENGTHS:
            cluster = make_cluster("full", cpu=64_000, ram=10**6, gpu=8, allocated=True)
            different = requests or length
            fill(cluster, length, different, status="QUEUED", gpu_of=lambda n: 1 + n % 8)
            medians[length] = _nothing_starts(cluster, rounds)
            result.add(f"load and plan, {length:,} waiting, {label}", "ms", medians[length])
        ratios = [b / a for a, b in zip(medians[10_000], medians[1_000_000], strict=True)]
        result.add(f"1,000,000 beside 10,000, {label}", "x", ratios)


def _nothing_starts(cluster: Any, rounds: int) -> list[float]:
    """Measure the ms to load and plan while no workload can start."""
    from django.db import transaction

    from scheduler.store import read_and_decide

    times = []
    for number in range(1 + max(rounds, 9)):
        began = time.perf_counter()
        with transaction.atomic():
            plan = read_and_decide(cluster.pk).plan()
        if number:  # the first after a million writes pays for these
            times.append((time.perf_counter() - began) * 1000)
        if plan.starts:
            raise AssertionError("nothing can start here")
    return times


def _quotas(result: Result, rounds: int) -> None:
    from django.utils import timezone

    from clusters.models import Quota

    medians: dict[int, list[float]] = {}
    for length in LENGTHS[1:]:
        cluster = make_cluster("quotas", cpu=10**9, ram=10**12, gpu=10**6)
        cluster.has_quotas, cluster.reserve_after_s = True, 0
        cluster.evaluated_at = timezone.now()
        cluster.save()
        Quota.objects.create(cluster=cluster, max_gpu=4)
        for user in (owners := [owner_named(f"bench{n}") for n in range(10)]):
            fill(cluster, 1, 1, status="RUNNING", gpu_of=lambda n: 4, owners=[user])
        fill(cluster, length, 1_000, status="QUEUED", gpu_of=lambda n: 1 + n % 8, owners=owners)
        medians[length] = _nothing_starts(cluster, rounds)
        label = f"load and plan, {length:,} waiting, over their owners' quotas"
        result.add(label, "ms", medians[length])
    ratios = [b / a for a, b in zip(medians[10_000], medians[1_000_000], strict=True)]
    result.add("1,000,000 beside 10,000, over their owners' quotas", "x", ratios)


def _admission(result: Result, rounds: int) -> None:
    from django.db import connection

    from deployments.models import Deployment
    from scheduler import cycle
    from scheduler.engine import make_plan
    from scheduler.engine.invariants import verify
    from scheduler.models import Trigger
    from scheduler.store import read_and_decide

    whole, plain, planning, judged = [], [], [], []
    for _ in range(max(rounds, 5)):
        cluster = make_cluster("nodes", cpu=0, ram=0, gpu=0)
        make_nodes(cluster)
        fill(cluster, 100_000, 20, status="QUEUED", gpu_of=lambda n: n % 8)
        from django.db import transaction

        with transaction.atomic():
            snapshot = read_and_decide(cluster.pk).snapshot
        began = time.perf_counter()
        plan = make_plan(snapshot)
        planning.append(1000 / (time.perf_counter() - began))
        began = time.perf_counter()
        verify(snapshot, plan)
        judged.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        outcome = cycle.run(cluster.pk, Trigger.SUBMITTED)
        whole.append((time.perf_counter() - began) * 1000)
        if outcome is None or len(outcome.plan.starts) != 1000:
            raise AssertionError("a thousand were to start")
        ids = [start.workload_id for start in outcome.plan.starts]
        began = time.perf_counter()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM deployments_deployment WHERE id = ANY(%s::uuid[])", [ids])
            cursor.fetchall()
            cursor.execute(
                "UPDATE deployments_deployment SET started_at = now() WHERE id = ANY(%s::uuid[])",
                [ids],
            )
        plain.append((time.perf_counter() - began) * 1000)
        Deployment.objects.filter(cluster=cluster, status="RUNNING").update(status="STOPPED")
    result.add("cycle that admits 1,000 of 100,000", "ms", whole)
    result.add("admissions a second within make_plan", "1/s", planning)
    result.add("checking that plan", "ms", judged)
    result.add("plain SELECT and UPDATE of the rows", "ms", plain, reference=True)


def _many_requests(result: Result, rounds: int) -> None:
    from django.db import transaction
    from django.utils import timezone

    from deployments.scheduling_key import follow_policy
    from scheduler import cycle
    from scheduler.models import Trigger

    for label, ordering, requests in (
        ("1,000 requests", "gpu_weighted", 1_000),
        ("1,000 requests, fair shares of 10", "fair_share", 1_000),
        ("all different", "gpu_weighted", 100_000),
    ):
        cluster = make_cluster("requests", cpu=0, ram=0, gpu=0)
        make_nodes(cluster)
        owners = [owner_named(f"bench{n}") for n in range(10)]
        fill(cluster, 100_000, requests, status="QUEUED", gpu_of=lambda n: n % 8, owners=owners)
        cluster.ordering, cluster.evaluated_at = ordering, timezone.now()
        cluster.save()
        if cluster.by_owner:
            follow_policy(cluster)
        times = []
        for number in range(1 + max(rounds, 5)):
            with transaction.atomic():
                began = time.perf_counter()
                outcome = cycle.run(cluster.pk, Trigger.SUBMITTED)
                if number:  # the first pays for the writes before it
                    times.append((time.perf_counter() - began) * 1000)
                if outcome is None or len(outcome.plan.starts) != 1000:
                    raise AssertionError("a thousand were to start")
                transaction.set_rollback(True)
        result.add(f"cycle that admits 1,000 of 100,000, {label}", "ms", times)


def _storm(result: Result, rounds: int) -> None:
    from deployments.models import Deployment
    from scheduler import cycle
    from scheduler.engine.invariants import check
    from scheduler.models import Trigger

    seconds, useless, evicted = [], [], []
    for _ in range(max(rounds, 5)):
        cluster = make_cluster("storm", cpu=0, ram=0, gpu=0)
        nodes = make_nodes(cluster)
        fill(cluster, NODES * PER_NODE, 1, status="RUNNING", gpu_of=lambda n: 2, nodes=nodes)
        fill(cluster, 1_000, 3, status="QUEUED", gpu_of=lambda n: (1, 2, 4)[n % 3], high=True)
        began = time.perf_counter()
        faults, gone = 0, 0
        for _ in range(20):
            outcome = cycle.run(cluster.pk, Trigger.SUBMITTED)
            if outcome is None or not outcome.plan.starts:
                break
            gone += len(outcome.plan.evictions)
            took = time.perf_counter() - began
            faults += sum("not needed" in each for each in check(outcome.snapshot, outcome.plan))
        waiting = Deployment.objects.filter(
            cluster=cluster, status="QUEUED", priority_class__name="HIGH"
        )
        if waiting.exists():
            raise AssertionError("every HIGH was to be allocated")
        seconds.append(took)
        useless.append(float(faults))
        evicted.append(float(gone))
    result.add("storm: until 1,000 HIGH are allocated", "s", seconds)
    result.add("storm: evicted", "", evicted)
    result.add("storm: useless victims", "", useless)


def _hard_plans(result: Result, rounds: int) -> None:
    from benchmarks.in_process.hard_plans import CASES
    from scheduler.engine import make_plan

    for label, case in CASES.items():
        snapshot, seconds, proved = case(), [], []
        for _ in range(max(rounds, 3)):
            began = time.process_time()
            plan = make_plan(snapshot)
            seconds.append(time.process_time() - began)
            preempting = [start for start in plan.starts if start.victims]
            proved.append(100 * sum(start.proved for start in preempting) / len(preempting))
        result.add(f"make_plan: {label}", "s", seconds)
        result.add(f"make_plan: {label}, proved", "%", proved)


def _questions(result: Result, rounds: int) -> None:
    from deployments.models import Deployment
    from deployments.services.drafting.drafts import draft_deployment
    from organizations.models import Membership
    from scheduler.answers import explain, quotes

    amounts = {"image": "bench", "cpu_milli": 1000, "ram_mib": 1024, "gpu": 4}
    for length in LENGTHS[1:3]:
        cluster = make_cluster("questions", cpu=0, ram=0, gpu=0)
        running = {"status": "RUNNING", "nodes": make_nodes(cluster)}
        fill(cluster, NODES * PER_NODE, 1, gpu_of=lambda n: 2, **running)
        fill(cluster, length, 100, status="QUEUED", gpu_of=lambda n: 1 + n % 8)
        owner = owner_named()
        Membership.objects.create(user=owner, organization=cluster.organization, role="DEVELOPER")
        waiting = Deployment.objects.select_related("priority_class", "cluster")
        last = waiting.filter(cluster=cluster, status="QUEUED").latest("id")
        quoted, explained = [], []
        for _ in range(max(rounds, 5)):
            draft = draft_deployment(owner, cluster.pk, amounts, priority="HIGH")
            began = time.perf_counter()
            quotes.quote(owner, draft.deployment, draft.digest, [])
            quoted.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            explain.explain(last)
            explained.append((time.perf_counter() - began) * 1000)
        result.add(f"quote, {length:,} waiting for 1,000 nodes", "ms", quoted)
        result.add(f"explain the last of {length:,} waiting for 1,000 nodes", "ms", explained)


if __name__ == "__main__":
    import sys

    from benchmarks import report

    print(report.table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
