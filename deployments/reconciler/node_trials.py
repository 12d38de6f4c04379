"""Lets one deployment through to a node on which starts have failed one after another.

The scheduler sees the node open for that, and may place several deployments there. The first one
that is to start becomes the node's probe, which closes it for all others; what else was placed
there has not begun yet, and goes back to the queue at its old position.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from clusters.models import Node
from clusters.nodes.failed_starts import FailedStarts
from clusters.services import failed_starts
from deployments.lifecycle.timeline import record
from deployments.models import Deployment, EventType, Status
from deployments.reasons.failed_starts import NODE_CORDONED, NODE_TRIED
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.reconciler.observation import Observation, Replica

Observed = tuple[Deployment, list[Replica]]


def open_due(observation: Observation, now: datetime) -> None:
    """Open the nodes whose pause is over, and those whose probe has left without an outcome. No
    query where no node is cordoned for failed starts, one where none is due."""
    records = [FailedStarts.read(node.failed_starts) for node in observation.nodes.values()]
    probes = [each.probe for each in records if each.probe is not None]
    if not probes and not any(each.is_due(now) for each in records):
        return
    starting = Deployment.objects.filter(pk__in=probes, status=Status.STARTING)
    still = [str(pk) for pk in starting.values_list("pk", flat=True)] if probes else []
    if failed_starts.open_due(observation.cluster.pk, observation.nodes, still, now):
        observation.read_nodes()


def admit(
    observation: Observation, waiting: Sequence[Observed], now: datetime
) -> tuple[list[Observed], list[tuple[Deployment, Assessment]]]:
    """Those of the rows that may start where they are placed; and the others, to be requeued. Two
    queries for each row that becomes a probe."""
    admitted: list[Observed] = []
    refused: list[tuple[Deployment, Assessment]] = []
    for row, replicas in waiting:
        node = _closed_to(observation, row, replicas, now)
        if node is None:
            admitted.append((row, replicas))
        else:
            details = {"node": node.name}
            refused.append((row, Assessment(Outcome.REQUEUE, NODE_CORDONED, details)))
    return admitted, refused


def _closed_to(
    observation: Observation, row: Deployment, replicas: Sequence[Replica], now: datetime
) -> Node | None:
    """The node at which the row may not start; None where there is none, or it has begun already.
    It becomes the probe of those that await one."""
    if any(each.status for each in replicas):
        return None
    nodes = {each.node.pk: each.node for each in replicas if each.node is not None}
    records = {pk: FailedStarts.read(node.failed_starts) for pk, node in nodes.items()}
    for pk, found in records.items():
        if found.is_closed and found.probe != str(row.pk):
            return nodes[pk]
    for pk, found in records.items():
        if found.awaits_probe:
            details = {"code": NODE_TRIED, "node": nodes[pk].name}
            with transaction.atomic():
                if not failed_starts.take_probe(observation.cluster.pk, nodes[pk], str(row.pk)):
                    return nodes[pk]
                record(row.pk, EventType.NOTICE, at=now, details=details)
            observation.read_nodes()
    return None
