"""The planner and its store with very many waiting, on 1,000 nodes, and in a preemption storm.

In one process with its own embedded PostgreSQL and Redis: no web server, no worker.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import Result

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
REQUESTS = {"100 requests": 100, "all different": None}  # how many different ones
NODES, PER_NODE = 1_000, 4
NODE = (64_000, 1_048_576, 8)  # millicores, MiB, GPUs


def measure(rounds: int) -> Result:
    result = Result(
        "planner",
        "Planning with very many waiting",
        notes=[
            "So many wait in a full pool, none of which can start, with 100 different requests or "
            "all of them different.",
            "Quotas: so many wait in an empty pool, of ten owners who have used up what they may "
            "hold, and longer than reserve_after_s; of each 1,000 different requests.",
            "Admission: 100,000 of 20 requests wait for 1,000 nodes of 8 GPUs, 1,000 start in one "
            "cycle. The reference reads the rows of those thousand with one plain SELECT and "
            "writes them with one plain UPDATE.",
            "Storm: 1,000 nodes full of 4,000 LOW of 2 GPUs, 1,000 HIGH of 1, 2 or 4 GPUs arrive "
            "at once.",
        ],
    )
    with _platform():
        _lengths(result, rounds)
        _quotas(result, rounds)
        _admission(result, rounds)
        _storm(result, rounds)
    return result


@contextmanager
def _platform() -> Iterator[None]:
    """Django on embedded servers of its own, migrated."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder:
        os.environ["MLOPS_DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "mlops_platform.settings"
        os.environ["LOG_LEVEL"] = "ERROR"
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        from mlops_platform import embedded

        with embedded.services(Path(folder), postgres=True, redis=True):
            import django

            django.setup()
            from django.core.management import call_command
            from django.db import connection

            call_command("migrate", verbosity=0)
            yield
            connection.close()


def _lengths(result: Result, rounds: int) -> None:
    for label, requests in REQUESTS.items():
        medians: dict[int, list[float]] = {}
        for length in LENGTHS:
            cluster = _cluster("full", cpu=64_000, ram=10**6, gpu=8, allocated=True)
            different = requests or length
            _fill(cluster, length, different, status="QUEUED", gpu_of=lambda n: 1 + n % 8)
            medians[length] = _nothing_starts(cluster, rounds)
            result.add(f"load and plan, {length:,} waiting, {label}", "ms", medians[length])
        ratios = [b / a for a, b in zip(medians[10_000], medians[1_000_000], strict=True)]
        result.add(f"1,000,000 beside 10,000, {label}", "x", ratios)


def _nothing_starts(cluster: Any, rounds: int) -> list[float]:
    """Milliseconds to load and plan."""
    from django.db import transaction

    from scheduler.engine import make_plan
    from scheduler.store import load_snapshot

    times = []
    for number in range(1 + max(rounds, 9)):
        began = time.perf_counter()
        with transaction.atomic():
            plan = make_plan(load_snapshot(cluster.pk))
        if number:  # the first after a million writes pays for these
            times.append((time.perf_counter() - began) * 1000)
        if plan.starts:
            raise AssertionError("nothing can start here")
    return times


def _quotas(result: Result, rounds: int) -> None:
    from clusters.models import Quota

    medians: dict[int, list[float]] = {}
    for length in LENGTHS[1:]:
        cluster = _cluster("quotas", cpu=10**9, ram=10**12, gpu=10**6)
        cluster.has_quotas, cluster.reserve_after_s = True, 0
        cluster.save()
        Quota.objects.create(cluster=cluster, max_gpu=4)
        for user in (owners := [_owner(f"bench{n}") for n in range(10)]):
            _fill(cluster, 1, 1, status="RUNNING", gpu_of=lambda n: 4, owners=[user])
        _fill(cluster, length, 1_000, status="QUEUED", gpu_of=lambda n: 1 + n % 8, owners=owners)
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
    from scheduler.engine.check import verify
    from scheduler.models import Trigger
    from scheduler.store import load_snapshot

    whole, plain, planning, judged = [], [], [], []
    for _ in range(max(rounds, 5)):
        cluster = _cluster("nodes", cpu=0, ram=0, gpu=0)
        _nodes(cluster)
        _fill(cluster, 100_000, 20, status="QUEUED", gpu_of=lambda n: n % 8)
        from django.db import transaction

        with transaction.atomic():
            snapshot = load_snapshot(cluster.pk)
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


def _storm(result: Result, rounds: int) -> None:
    from deployments.models import Deployment
    from scheduler import cycle
    from scheduler.engine.check import check
    from scheduler.models import Trigger

    seconds, useless, evicted = [], [], []
    for _ in range(max(rounds, 5)):
        cluster = _cluster("storm", cpu=0, ram=0, gpu=0)
        nodes = _nodes(cluster)
        _fill(cluster, NODES * PER_NODE, 1, status="RUNNING", gpu_of=lambda n: 2, nodes=nodes)
        _fill(cluster, 1_000, 3, status="QUEUED", gpu_of=lambda n: (1, 2, 4)[n % 3], high=True)
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
            raise AssertionError("every HIGH was to hold capacity")
        seconds.append(took)
        useless.append(float(faults))
        evicted.append(float(gone))
    result.add("storm: until 1,000 HIGH hold capacity", "s", seconds)
    result.add("storm: evicted", "", evicted)
    result.add("storm: useless victims", "", useless)


# --- Tables ------------------------------------------------------------------------------------


def _owner(name: str = "bench") -> Any:
    from accounts.models import User

    return User.objects.filter(username=name).first() or User.objects.create_user(name)


def _cluster(name: str, *, cpu: int, ram: int, gpu: int, allocated: bool = False) -> Any:
    from clusters.models import Cluster
    from organizations.models import Organization

    organization = Organization.objects.create(name=name)
    held = (cpu, ram, gpu) if allocated else (0, 0, 0)
    return Cluster.objects.create(
        organization=organization,
        name=name,
        total_cpu_milli=cpu,
        total_ram_mib=ram,
        total_gpu=gpu,
        allocated_cpu_milli=held[0],
        allocated_ram_mib=held[1],
        allocated_gpu=held[2],
    )


def _nodes(cluster: Any) -> list[Any]:
    from clusters.models import Node

    cpu, ram, gpu = NODE
    nodes = Node.objects.bulk_create(
        Node(cluster=cluster, name=f"n{n:04}", cpu_milli=cpu, ram_mib=ram, gpu=gpu)
        for n in range(NODES)
    )
    cluster.total_cpu_milli, cluster.total_ram_mib = cpu * NODES, ram * NODES
    cluster.total_gpu = gpu * NODES
    cluster.save()
    return nodes


def _fill(
    cluster: Any,
    count: int,
    requests: int,
    *,
    status: str,
    gpu_of: Any,
    high: bool = False,
    nodes: list[Any] | None = None,
    owners: list[Any] | None = None,
) -> None:
    """Rows as submits, and the plan for those that run, would have left them."""
    import io
    import json
    from datetime import timedelta
    from uuid import UUID

    from django.db import connection
    from django.utils import timezone
    from uuid_utils.compat import uuid7

    from clusters.models import Cluster, Node
    from deployments.keys import key_of
    from deployments.models import Deployment, PriorityClass

    priority = PriorityClass.objects.get(name="HIGH" if high else "LOW")
    now = timezone.now()
    model = Deployment(
        cluster=cluster, owner=_owner(), name="bench", image="bench", priority_class=priority
    )
    columns = list(Deployment._meta.concrete_fields)
    lines = io.StringIO()
    for number in range(count):
        model.id = uuid7()
        if owners is not None:  # submitted before the last minute, which a cycle looks over
            model.id = UUID(int=model.id.int - (3_600_000 << 80))
            model.owner = owners[number // requests % len(owners)]
        model.cpu_milli, model.ram_mib = 1000, 1024 + number % requests
        model.gpu, model.status = gpu_of(number % requests), status
        if nodes is not None:
            node = nodes[number % len(nodes)]
            where = {"node_id": str(node.pk), "node": node.name, "replicas": 1}
            model.placement = [where]
            model.started_at = now - timedelta(seconds=number % 10_000)
        model.scheduling_key = key_of(model)
        values = []
        for field in columns:
            value = getattr(model, field.attname)
            if isinstance(value, dict | list):
                value = json.dumps(value)
            values.append("\\N" if value is None else str(value))
        lines.write("\t".join(values) + "\n")
    lines.seek(0)
    with connection.cursor() as cursor:
        names = [field.column for field in columns]
        cursor.copy_from(lines, "deployments_deployment", columns=names)
        cursor.execute("ANALYZE deployments_deployment")
    if nodes is not None:
        each = count // len(nodes)
        held = {"cpu_milli": 1000 * each, "ram_mib": 1024 * each, "gpu": gpu_of(0) * each}
        Node.objects.filter(cluster=cluster).update(
            **{f"allocated_{name}": amount for name, amount in held.items()}
        )
        Cluster.objects.filter(pk=cluster.pk).update(
            **{f"allocated_{name}": amount * len(nodes) for name, amount in held.items()}
        )


if __name__ == "__main__":
    import sys

    import report

    print(report.table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
