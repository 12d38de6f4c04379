"""Finds deployments by the code of their reason, as reader.py shows it."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from clusters.models import Cluster, Node, NodeState
from clusters.queries import silent_api_server
from deployments import hooks
from deployments.models import Deployment, Status, WaitReason
from deployments.queries.conditions import Condition
from deployments.reasons import codes

MOST_KEYS = 1000
"""Requests that differ among those that no cycle has read, for which a reason is derived."""

_READY = "d.status = 'QUEUED' AND d.pending_dependencies = 0 AND d.retry_at IS NULL"
_HAS_OWN = """EXISTS (SELECT FROM deployments_waitreason own WHERE own.deployment_id = d.id)"""
_OF_KEY = """SELECT of_key.cluster_id, of_key.scheduling_key FROM deployments_waitreason of_key
              WHERE of_key.deployment_id IS NULL"""
_WAITS = f"""{_READY} AND (
    d.id IN (SELECT own.deployment_id FROM deployments_waitreason own WHERE own.code = %s)
    OR NOT {_HAS_OWN} AND (d.cluster_id, d.scheduling_key) IN ({_OF_KEY} AND of_key.code = %s)
    OR NOT {_HAS_OWN} AND (d.cluster_id, d.scheduling_key) IN
       (SELECT * FROM unnest(%s::uuid[], %s::text[]))
       AND d.queued_at <= (SELECT c.evaluated_at FROM clusters_cluster c WHERE c.id = d.cluster_id)
)"""  # noqa: S608  # of constants alone
_NOT_LOOKED_AT = f"""{_READY} AND NOT {_HAS_OWN}
    AND (d.cluster_id, d.scheduling_key) NOT IN ({_OF_KEY})
    AND coalesce(d.queued_at > (SELECT c.evaluated_at FROM clusters_cluster c
                                 WHERE c.id = d.cluster_id), true)"""  # noqa: S608  # as there


def has_reason(code: str, clusters: QuerySet[Cluster]) -> Condition:
    """Whose reason, or what it waits for beside that, has the code, among those of `clusters`.

    Two queries and those of derive_wait_reasons, one for a node that is away, else none.
    """
    if code in (codes.NODE_AWAY, codes.API_AWAY):
        now = _on_nodes(_nodes_away(clusters, of_api_server=code == codes.API_AWAY))
    elif code == codes.WAITING_FOR_DEPENDENCIES:
        now = Condition("d.status = 'QUEUED' AND d.pending_dependencies > 0", [])
    elif code == codes.BACKOFF:
        waits = "d.status = 'QUEUED' AND d.pending_dependencies = 0 AND d.retry_at IS NOT NULL"
        now = Condition(waits, [])
    elif code == codes.NOT_YET_EVALUATED:
        now = Condition(_NOT_LOOKED_AT, [])
    else:
        derived = _derived(code, clusters)
        keys = [list(column) for column in zip(*derived, strict=True)] or [[], []]
        now = Condition(_WAITS, [code, code, *keys])
    past = "d.reason_code = %s AND d.reason_code > ''"  # as the index has it
    return Condition(f"({past} OR {now.sql})", [code, *now.params])


def _derived(code: str, clusters: QuerySet[Cluster]) -> list[tuple[UUID, str]]:
    """The clusters and scheduling keys of ready deployments for which no cycle has stored a reason,
    where the one that is derived has the code."""
    stored = WaitReason.objects.filter(
        cluster=OuterRef("cluster"), scheduling_key=OuterRef("scheduling_key"), deployment=None
    )
    ready = Deployment.objects.filter(
        ~Exists(stored),
        cluster__in=clusters.order_by(),
        status=Status.QUEUED,
        pending_dependencies=0,
        retry_at=None,
    )
    oldest = ready.order_by("cluster", "scheduling_key", "queued_at")
    chosen = oldest.distinct("cluster", "scheduling_key").select_related("priority_class")
    rows = list(chosen[:MOST_KEYS])
    found = hooks.derive_wait_reasons(rows) if rows else {}
    return [
        (row.cluster_id, row.scheduling_key)
        for row in rows
        if row.pk in found and found[row.pk][0] == code
    ]


def _nodes_away(clusters: QuerySet[Cluster], *, of_api_server: bool) -> list[UUID]:
    away = Node.objects.filter(cluster__in=clusters.order_by(), observed=NodeState.NOT_READY)
    nodes = away.select_related("endpoint").defer("endpoint__secrets")
    return [each.pk for each in nodes if bool(silent_api_server(each)) == of_api_server]


def _on_nodes(nodes: Iterable[UUID]) -> Condition:
    on = [f'[{{"node_id": "{each}"}}]' for each in nodes]
    running = "d.status IN ('RUNNING', 'STOPPING') AND d.placement @> ANY (%s::jsonb[])"
    return Condition(running, [on])
