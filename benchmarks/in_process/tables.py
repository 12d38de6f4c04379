"""Rows as submits and cycles leave them, written straight into the tables."""

import io
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

NODES, PER_NODE = 1_000, 4
NODE = (64_000, 1_048_576, 8)  # millicores, MiB, GPUs


def owner_named(name: str = "bench") -> Any:
    from accounts.models import User

    return User.objects.filter(username=name).first() or User.objects.create_user(name)


def make_cluster(name: str, *, cpu: int, ram: int, gpu: int, allocated: bool = False) -> Any:
    from clusters.models import Cluster
    from organizations.models import Organization

    organization = Organization.objects.create(name=name)
    allocation = (cpu, ram, gpu) if allocated else (0, 0, 0)
    return Cluster.objects.create(
        organization=organization,
        name=name,
        total_cpu_milli=cpu,
        total_ram_mib=ram,
        total_gpu=gpu,
        allocated_cpu_milli=allocation[0],
        allocated_ram_mib=allocation[1],
        allocated_gpu=allocation[2],
    )


def make_nodes(cluster: Any) -> list[Any]:
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


def fill(
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
    """Insert rows as submits leave them, or for running ones as plans do."""
    from django.db import connection
    from django.utils import timezone
    from uuid_utils.compat import uuid7

    from clusters.models import Cluster, Node
    from deployments.models import Deployment, PriorityClass
    from deployments.scheduling_key import key_of

    priority = PriorityClass.objects.get(name="HIGH" if high else "LOW")
    now = timezone.now()
    model = Deployment(
        cluster=cluster, owner=owner_named(), name="bench", image="bench", priority_class=priority
    )
    columns = list(Deployment._meta.concrete_fields)
    lines = io.StringIO()
    for number in range(count):
        # Submitted before the last minute, which a cycle of owners looks over.
        model.id = UUID(int=uuid7().int - (3_600_000 << 80))
        if owners is not None:
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
        allocation = {"cpu_milli": 1000 * each, "ram_mib": 1024 * each, "gpu": gpu_of(0) * each}
        Node.objects.filter(cluster=cluster).update(
            **{f"allocated_{name}": amount for name, amount in allocation.items()}
        )
        Cluster.objects.filter(pk=cluster.pk).update(
            **{f"allocated_{name}": amount * len(nodes) for name, amount in allocation.items()}
        )
