"""A cluster at a glance: capacity, queues, and what the scheduler last did."""

from typing import Any

from clusters.models import Cluster
from mlops_platform.api.fields import cores
from scheduler import queries


def status_of(cluster: Cluster) -> dict[str, Any]:
    """The values of StatusSerializer. Four queries and one round trip to Redis."""
    total = (cluster.total_cpu_milli, cluster.total_ram_mib, cluster.total_gpu)
    allocated = (cluster.allocated_cpu_milli, cluster.allocated_ram_mib, cluster.allocated_gpu)
    available = tuple(whole - part for whole, part in zip(total, allocated, strict=True))
    shares = [
        round(part / whole, 4) if whole else 0 for part, whole in zip(allocated, total, strict=True)
    ]
    return {
        "id": cluster.pk,
        "name": cluster.name,
        "state": cluster.state,
        "total": _amounts(*total),
        "allocated": _amounts(*allocated),
        "available": _amounts(*available),
        "utilisation": dict(zip(("cpu", "ram", "gpu"), shares, strict=True)),
        "queued": queries.queue_lengths(cluster),
        "running": queries.running_count(cluster),
        "nodes": cluster.nodes.count(),
        "last_cycle": queries.cycles_of(cluster).first(),
        "evaluated_at": cluster.evaluated_at,
    }


def _amounts(cpu_milli: int, ram_mib: int, gpu: int) -> dict[str, int | float]:
    return {"cpu": cores(cpu_milli), "ram": ram_mib, "gpu": gpu}
