"""The activity of a cluster: utilisation, queue lengths, nodes, and the last cycle."""

from typing import Any

from django.db.models import Count, Q

from clusters.models import Cluster, Node, NodeState
from clusters.queries import effective_state
from scheduler import queries
from scheduler.start_times import records


def status_of(cluster: Cluster) -> dict[str, Any]:
    """The values of ActivitySerializer. Five queries, one round trip to Redis."""
    return {
        "utilisation": {
            "cpu": _share(cluster.allocated_cpu_milli, cluster.total_cpu_milli),
            "ram": _share(cluster.allocated_ram_mib, cluster.total_ram_mib),
            "gpu": _share(cluster.allocated_gpu, cluster.total_gpu),
        },
        "queue_lengths": queries.queue_lengths(cluster),
        "running": queries.running_count(cluster),
        "nodes": _nodes(cluster),
        "last_cycle": queries.cycles_of(cluster).first(),
        "evaluated_at": cluster.evaluated_at,
        "forecasts": records.calibration_of(cluster.pk),
    }


def _nodes(cluster: Cluster) -> dict[str, int]:
    """The number of nodes, in all and by state. One query."""
    states = {state.lower(): Count("pk", filter=Q(now=state)) for state in NodeState.values}
    nodes = Node.objects.filter(cluster=cluster).annotate(now=effective_state())
    return nodes.aggregate(total=Count("pk"), **states)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
