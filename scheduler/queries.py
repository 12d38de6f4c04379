"""The database queries of the scheduler's API, admin pages and sweep."""

from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models import (
    BigIntegerField,
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from accounts.models import User
from clusters.models import Cluster, Node, NodeState, Ordering, State
from clusters.queries import effective_state
from deployments import redis_queues
from deployments.models import ALLOCATED, PLACED, Deployment, PriorityClass, Status
from mlops_platform.api.ids import first_uuid_at
from mlops_platform.database.clock import database_now
from organizations.access import organizations_of
from scheduler.models import SchedulingCycle
from scheduler.store.queue.score import request_sql, score_sql

CLUSTER_NAME = Prefetch("cluster", Cluster.with_deleted.only("name"))

# A submit's timestamp is older than its commit: a cycle may have read the queue between the two.
COMMIT_MARGIN = timedelta(seconds=30)
# Some changes leave no trace that a query could find: a blocked head has left, a queue in Redis is
# lost. So a cluster with a queue gets a cycle this often. What becomes possible at a known moment
# does not wait for it (store/next_cycle.py).
LOOK_AGAIN = timedelta(seconds=60)


def overlooked_clusters() -> list[UUID]:
    """Clusters in which something has or may have changed since their last cycle. One query."""
    queued = Deployment.objects.filter(cluster=OuterRef("pk"), status=Status.QUEUED)
    fresh = queued.filter(queued_at__gt=OuterRef("evaluated_at") - COMMIT_MARGIN)
    allocated = Deployment.objects.filter(cluster=OuterRef("pk"), status__in=PLACED)
    allocated_nodes = Node.objects.filter(cluster=OuterRef("pk"), allocated_cpu_milli__gt=0)
    stale = (
        Q(evaluated_at=None)
        | Q(changed_at__gt=F("evaluated_at") - COMMIT_MARGIN)
        | Q(evaluated_at__lt=Now() - LOOK_AGAIN)
        | Q(evaluated_at__gt=Now())  # the database's clock has been put back since
    )
    return list(
        Cluster.objects.filter(
            Q(Exists(fresh))
            | (Q(Exists(queued)) & stale)
            | (Q(Exists(allocated)) & Q(state=State.DRAINING))
            | Q(
                Exists(
                    allocated_nodes.annotate(now=effective_state()).filter(now=NodeState.DRAINING)
                )
            )
        ).values_list("pk", flat=True)
    )


# Each part reads little where nothing is found: ids are in the order of the submits, and a table of
# clusters is short. What is younger than a second has a cycle on its way.
_UNANSWERED = """
SELECT c.id
  FROM deployments_deployment d JOIN clusters_cluster c ON c.id = d.cluster_id
 WHERE d.id > %(since)s AND d.status = 'QUEUED' AND d.queued_at < now() - interval '1 second'
   AND (c.evaluated_at IS NULL OR d.queued_at > c.evaluated_at) AND c.deleted_at IS NULL
 UNION
SELECT c.id
  FROM clusters_cluster c
 WHERE c.changed_at BETWEEN now() - %(back)s * interval '1 second' AND now() - interval '1 second'
   AND (c.evaluated_at IS NULL OR c.changed_at > c.evaluated_at) AND c.deleted_at IS NULL
   AND EXISTS (SELECT FROM deployments_deployment d
                WHERE d.cluster_id = c.id AND d.status = 'QUEUED')
"""
UNANSWERED_BACK_S = 90  # what is older is left to the sweep


def unanswered_clusters() -> list[UUID]:
    """Clusters in which no cycle has followed a submit or a change of the last minute and a half:
    Redis has lost the wake-up, or the process before it sent it. One query, cheap enough for every
    other second, and one for the time; the sweep finds what this leaves."""
    since = first_uuid_at(database_now() - timedelta(seconds=UNANSWERED_BACK_S))
    with connection.cursor() as cursor:
        cursor.execute(_UNANSWERED, {"since": since, "back": UNANSWERED_BACK_S})
        return [cluster_id for (cluster_id,) in cursor.fetchall()]


def queue_of(cluster: Cluster) -> QuerySet[Deployment]:
    """The queued deployments in the engine's order (engine/order.py): class, policy, submit time,
    id. At the end of the line stand those that ask for more than the cluster has, by class, submit
    time, id."""
    return (
        Deployment.objects.filter(cluster=cluster, status=Status.QUEUED)
        .select_related("priority_class")
        .prefetch_related(Prefetch("owner", User.objects.only("username")))
        .annotate(
            never=_never(cluster),
            score=Case(
                When(never=True, then=Value(0, BigIntegerField())),
                default=_score(cluster),
                output_field=BigIntegerField(),
            ),
        )
        .order_by("never", "-priority_class__value", "-score", "created_at", "id")
    )


def _never(cluster: Cluster) -> RawSQL:
    """Whether it asks for more than the cluster has."""
    totals = {
        "cpu_milli": cluster.total_cpu_milli,
        "ram_mib": cluster.total_ram_mib,
        "gpu": cluster.total_gpu,
    }
    row = Deployment._meta.db_table
    larger = " OR ".join(f"{request_sql(name, row)} > {total}" for name, total in totals.items())
    return RawSQL(f"({larger})", (), BooleanField())  # noqa: S611  # of columns and integers alone


def _score(cluster: Cluster) -> Value | RawSQL:
    if cluster.ordering != Ordering.GPU_WEIGHTED:
        return Value(0, BigIntegerField())
    totals = map(str, (cluster.total_gpu, cluster.total_cpu_milli, cluster.total_ram_mib))
    score = score_sql(*totals, row=Deployment._meta.db_table)
    return RawSQL(score, (), BigIntegerField())  # noqa: S611  # of columns and integers alone


def queue_lengths(cluster: Cluster) -> dict[str, int]:
    """The number of queued deployments by priority class, most urgent first. From the table if
    Redis cannot be reached, or all its queues are empty."""
    names = list(PriorityClass.objects.order_by("-value").values_list("name", flat=True))
    lengths = redis_queues.lengths(cluster.pk, names)
    if not lengths or not any(lengths.values()):
        return waiting_by_class(cluster, names)
    return lengths


def waiting_by_class(cluster: Cluster, names: list[str]) -> dict[str, int]:
    counted = (
        Deployment.objects.filter(cluster=cluster, status=Status.QUEUED)
        .order_by()
        .values_list("priority_class__name")
        .annotate(Count("id"))
    )
    return dict.fromkeys(names, 0) | dict(counted)


def running_count(cluster: Cluster) -> int:
    """The number of deployments with an allocation."""
    return Deployment.objects.filter(ALLOCATED, cluster=cluster).count()


def cycles_of(cluster: Cluster) -> QuerySet[SchedulingCycle]:
    """The cluster's rows of the ledger, newest first, without the two large columns; each knows its
    cluster without a query."""
    return cluster.cycles.defer("snapshot", "plan").order_by("-started_at", "-id")


def cycles_visible_to(user: User) -> QuerySet[SchedulingCycle]:
    """The ledger's rows of the user's organizations, each with its plan."""
    visible = SchedulingCycle.objects.filter(
        cluster__organization__in=organizations_of(user), cluster__deleted_at=None
    )
    return visible.prefetch_related(CLUSTER_NAME).defer("snapshot")
