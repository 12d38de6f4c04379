"""Checks the invariants of the architecture on the tables and the queues."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, Sum

from clusters.models import Cluster, Node, NodeState
from clusters.nodes.failed_starts import FailedStarts
from deployments import redis_queues
from deployments.models import ALLOCATED, ENDED, PLACED, Deployment, PriorityClass, Status
from deployments.queries import placements
from deployments.services.drafting.dependencies import HOPELESS
from mlops_platform.api.resources import RESOURCES
from scheduler.store import see_one_moment
from scheduler.store.sql import (
    CLOSED_BY_NONE,
    IN_TWO_WINDOWS,
    INTERVALS_OFF,
    NODES_MISCOUNTED,
    PENDING_MISCOUNTED,
    PLACED_IN_PART,
)

MOST_SENTENCES = 100  # of one kind of breach


def breaches(*, queues_too: bool = False) -> list[str]:
    """A sentence for each breach; an empty list if every invariant holds. Reads the tables at one
    moment, so changes at the same time do no harm.

    The Redis queues may lag behind the tables for a moment. So they are compared only with
    `queues_too`, which is meaningful while nothing changes, and reads all of them.
    """
    with transaction.atomic():
        see_one_moment()
        found = [*_overcommitted(), *_miscounted(), *_nodes_off(), *_cordons_off()]
        found += [*_half_states(), *_in_part(), *_out_of_turn()]
        found += _intervals_off()
        found += _windows_off()
        if queues_too:
            found += _queues_off()
    return found


def _overcommitted() -> Iterator[str]:
    """0 <= allocated <= capacity, on every cluster and node."""
    for resource in RESOURCES:
        for cluster in Cluster.objects.filter(_outside(resource, f"total_{resource}")):
            yield f"cluster {cluster.pk} ({cluster.name}): allocated {resource} is out of bounds"
        for node in Node.objects.filter(_outside(resource, resource)):
            yield f"node {node.pk} ({node.name}): allocated {resource} is out of bounds"


def _outside(resource: str, capacity: str) -> Q:
    allocated = f"allocated_{resource}"
    return Q(**{f"{allocated}__lt": 0}) | Q(**{f"{allocated}__gt": F(capacity)})


def _miscounted() -> Iterator[str]:
    """The counters equal the sum over the deployments with an allocation."""
    sums: dict[UUID, dict[str, Any]] = {
        row["cluster"]: dict(row)
        for row in Deployment.objects.filter(ALLOCATED)
        .order_by()
        .values("cluster")
        .annotate(**{name: Sum(F(name) * F("replicas")) for name in RESOURCES})
    }
    for cluster in Cluster.objects.all():
        summed = sums.get(cluster.pk)
        for name in RESOURCES:
            counted, amount = getattr(cluster, f"allocated_{name}"), summed[name] if summed else 0
            if counted != amount:
                yield f"cluster {cluster.pk}: {name} counter {counted}, but the sum is {amount}"
    with connection.cursor() as cursor:
        cursor.execute(NODES_MISCOUNTED)
        for key, name in cursor.fetchall():
            yield f"node {key} ({name}): the counters are not the sum of what is placed there"


def _intervals_off() -> Iterator[str]:
    """What is allocated to each deployment on each node is what its open intervals say."""
    with connection.cursor() as cursor:
        cursor.execute(INTERVALS_OFF, [MOST_SENTENCES])
        for key, node in cursor.fetchall():
            place = f"on node {node}" if node else "in its pool"
            yield f"deployment {key}: what it has allocated {place} is not in its open intervals"


def _half_states() -> Iterator[str]:
    """Every deployment is wholly in one state."""
    rules = {
        "has capacity allocated but is placed nowhere": Q(status__in=PLACED, placement=[]),
        "runs but never started": Q(status=Status.RUNNING, started_at=None),
        "is placed but has nothing allocated": ~Q(status__in=PLACED) & ~Q(placement=[]),
        "has ended but not when": Q(status__in=ENDED, finished_at=None),
        "has an end but goes on": ~Q(status__in=ENDED) & ~Q(finished_at=None),
        "is to be tried again, but neither waits nor leaves": Q(retry_at__isnull=False)
        & ~Q(status__in=(Status.QUEUED, Status.STOPPING)),
        "waits but has started": Q(status=Status.QUEUED) & ~Q(started_at=None),
        "is due but has nothing allocated": ~Q(status__in=PLACED) & ~Q(due_at=None),
    }
    for sentence, rule in rules.items():
        for key in Deployment.objects.filter(rule).values_list("pk", flat=True)[:MOST_SENTENCES]:
            yield f"deployment {key} {sentence}"


def _in_part() -> Iterator[str]:
    """A gang is placed whole or not at all."""
    with connection.cursor() as cursor:
        cursor.execute(PLACED_IN_PART, [MOST_SENTENCES])
        for (key,) in cursor.fetchall():
            yield f"deployment {key} is placed in part"


def _out_of_turn() -> Iterator[str]:
    """A deployment starts after all its dependencies have completed, and fails with any of them."""
    with connection.cursor() as cursor:
        cursor.execute(PENDING_MISCOUNTED, [MOST_SENTENCES])
        for key, counted, truth in cursor.fetchall():
            yield f"deployment {key} counts {counted} pending dependencies, but there are {truth}"
    unmet = Exists(
        Deployment.objects.filter(dependents=OuterRef("pk")).exclude(status=Status.COMPLETED)
    )
    hopeless = Exists(Deployment.objects.filter(dependents=OuterRef("pk"), status__in=HOPELESS))
    elsewhere = Exists(
        Deployment.objects.filter(dependents=OuterRef("pk")).exclude(cluster=OuterRef("cluster"))
    )
    rules = {
        "started before what it depends on had completed": Q(
            unmet, status__in=(*PLACED, Status.COMPLETED)
        ),
        "waits for what will never complete": Q(hopeless, status=Status.QUEUED),
        "depends on a deployment of another cluster": Q(elsewhere),
    }
    for sentence, rule in rules.items():
        for key in Deployment.objects.filter(rule).values_list("pk", flat=True)[:MOST_SENTENCES]:
            yield f"deployment {key} {sentence}"


def _nodes_off() -> Iterator[str]:
    """A cluster's totals are the sum of its nodes, and no empty node waits to become empty."""
    totals = [f"cluster__total_{name}" for name in RESOURCES]
    clusters = Node.objects.order_by().values("cluster", *totals)
    for row in clusters.annotate(**{f"sum_{name}": Sum(name) for name in RESOURCES}):
        if any(row[f"cluster__total_{name}"] != row[f"sum_{name}"] for name in RESOURCES):
            yield f"cluster {row['cluster']}: the totals are not the sum of its nodes"
    empty = {f"allocated_{name}": 0 for name in RESOURCES}
    for node in Node.objects.filter(pending__isnull=False, **empty):
        if node.pk in placements.terminating_nodes(node.cluster_id):
            continue
        yield f"node {node.pk} ({node.name}) is empty, and what waited for that was not done"


def _cordons_off() -> Iterator[str]:
    """A node is cordoned for failed starts where its record says so, and only there; it has a time
    of the next try or a probe."""
    for node in Node.objects.exclude(failed_starts__isnull=True, judged=NodeState.READY):
        found = FailedStarts.read(node.failed_starts)
        expected = NodeState.CORDONED if found.is_closed else NodeState.READY
        if node.judged != expected:
            yield f"node {node.pk} ({node.name}) is {node.judged}, and its failed starts say other"
        if found.since is None and (found.next_try_at or found.probe):
            yield f"node {node.pk} ({node.name}) is open, and waits to be tried"
        if found.next_try_at and found.probe:
            yield f"node {node.pk} ({node.name}) has a probe before its next try"


def _windows_off() -> Iterator[str]:
    """A maintenance window closes nodes only while it is open, and none is in two at once."""
    with connection.cursor() as cursor:
        cursor.execute(CLOSED_BY_NONE, [MOST_SENTENCES])
        for key, name in cursor.fetchall():
            yield f"node {key} ({name}) is closed by a window that is not open"
        cursor.execute(IN_TWO_WINDOWS, [MOST_SENTENCES])
        for key, name in cursor.fetchall():
            yield f"node {key} ({name}) is in two windows at once"


def _queues_off() -> Iterator[str]:
    """Each Redis queue has exactly the waiting deployments of its class."""
    names = list(PriorityClass.objects.values_list("name", flat=True))
    waiting: dict[tuple[UUID, str], set[str]] = defaultdict(set)
    rows = Deployment.objects.filter(status=Status.QUEUED)
    for cluster, name, key in rows.values_list("cluster", "priority_class__name", "pk").iterator():
        waiting[cluster, name].add(str(key))
    for cluster in Cluster.objects.values_list("pk", flat=True):
        members = redis_queues.members(cluster, names)
        if members is None:
            yield f"cluster {cluster}: the queues cannot be read"
            continue
        for name in names:
            lost = len(waiting[cluster, name] - members[name])
            stray = len(members[name] - waiting[cluster, name])
            if lost or stray:
                yield f"cluster {cluster}: queue {name} lacks {lost} and has {stray} too many"
