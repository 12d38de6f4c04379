"""Makes the forecasts of clusters, some after each other, on a worker that has time.

A cycle only notes that its cluster wants a forecast (metrics.py). Each cluster gets one in
FORECASTS_EVERY_S at most; the next is of the organization whose last turn is longest ago, so the
clusters of one delay no other's by more than one forecast.
"""

import logging
import time
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from clusters.models import Cluster
from deployments.models import Deployment, Status
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from scheduler import store
from scheduler.forecast import Basis, Budget, Eta, Forecast, forecast
from scheduler.start_times import inputs, kept, records

logger = logging.getLogger(__name__)

TASK = "scheduler.tasks.forecast_starts"
LOCK = "forecasts:lock"
WANTED = "forecasts:wanted"  # a sorted set of clusters, by the time from which on they may have one
TURNS = "forecasts:turns"  # a hash: by organization, the time of its last turn
TURN_S = 2.0  # in 5: the workers have runtimes to look after
CPU_S = 2.0  # of one cluster's forecast
MOST_TARGETS = 200  # the first in line
KEPT_S = 86_400


def request() -> None:
    """Ask a worker for a turn, if any cluster wants one."""
    try:
        if _due(time.time()):
            current_app.send_task(TASK)
    except (RedisError, OperationalError, OSError) as error:
        logger.warning("forecasts not requested: redis is away", extra={"error": str(error)})


def take_turn() -> None:
    """Forecast clusters for some seconds, unless another worker does."""
    until_s = time.monotonic() + TURN_S
    with try_lock(LOCK) as locked:
        while locked and time.monotonic() < until_s:
            cluster = _next()
            if cluster is None:
                return
            try:
                forecast_cluster(cluster.pk)
            except (DatabaseError, Cluster.DoesNotExist) as error:
                logger.warning(
                    "no forecast", extra={"cluster_id": str(cluster.pk), "error": str(error)}
                )


def forecast_cluster(cluster_id: UUID) -> Forecast | None:
    """Forecast the first in line, keep that for rows, and record it. None where none waits. The
    tables are read in one moment, and nothing is locked while the planner runs forward."""
    records.settle(cluster_id)
    if not Deployment.objects.filter(cluster=cluster_id, status=Status.QUEUED).exists():
        return None
    with transaction.atomic():
        store.see_one_moment()
        reader = store.part_reader(cluster_id)
        read = inputs.read(reader)
        now_ms = reader.now_ms
    made = Forecast(now_ms, 0)
    if read is not None:
        targets = [each.id for each in read.snapshot.queued]
        made = forecast(
            read.snapshot,
            targets[:MOST_TARGETS],
            read.expected,
            read.history,
            correction=read.correction,
            budget=Budget(CPU_S, time.thread_time),
        )
        behind = dict.fromkeys(targets[MOST_TARGETS:], Eta(Basis.TOO_LARGE))
        made = Forecast(made.now_ms, made.futures, {**made.etas, **behind})
    kept.keep(cluster_id, made)
    records.record(cluster_id, made)
    return made


def _due(now_s: float) -> list[str]:
    return [str(each) for each in redis_client().zrangebyscore(WANTED, 0, now_s)]


def _next() -> Cluster | None:
    """The cluster whose turn is next, which has another one in FORECASTS_EVERY_S at the earliest if
    it still wants one then. None where none is due."""
    redis, now_s = redis_client(), time.time()
    ids = _due(now_s)
    found = {
        str(each.pk): each
        for each in Cluster.objects.filter(pk__in=map(UUID, ids), deleted_at=None)
    }
    if gone := [each for each in ids if each not in found]:
        redis.zrem(WANTED, *gone)
    if not found:
        return None
    organizations = list({str(each.organization_id) for each in found.values()})
    turns = redis.hmget(TURNS, organizations)
    last = {org: float(at or 0) for org, at in zip(organizations, turns, strict=True)}
    first = min(found.values(), key=lambda each: (last[str(each.organization_id)], each.pk))
    redis.hset(TURNS, str(first.organization_id), str(now_s))
    redis.expire(TURNS, KEPT_S)
    _pause(first, now_s)
    return first


def _pause(cluster: Cluster, now_s: float) -> None:
    """It has had its turn. While something waits there it wants another one later, as time alone
    changes forecasts; a later cycle asks for one otherwise."""
    waits = Deployment.objects.filter(cluster=cluster, status=Status.QUEUED).exists()
    if waits:
        redis_client().zadd(WANTED, {str(cluster.pk): now_s + settings.FORECASTS_EVERY_S})
    else:
        redis_client().zrem(WANTED, str(cluster.pk))
