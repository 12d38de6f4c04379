"""The latest forecasts of each cluster, in Redis, for rows and lists. Where Redis has lost them,
rows show none until the next turn."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError

from deployments.models import Deployment, Status
from mlops_platform.coordination.redis import redis_client
from scheduler.forecast import Basis, Eta, Forecast
from scheduler.start_times.shown import shown

KEY = "cluster:{}:etas"  # a hash: by deployment id, what is known of its start
KEPT_S = 900


def keep(cluster_id: UUID, made: Forecast) -> None:
    """Replace the cluster's forecasts. Raises RedisError."""
    key = KEY.format(cluster_id)
    with redis_client().pipeline(transaction=True) as pipe:
        pipe.delete(key)
        if made.etas:
            for id_, eta in made.etas.items():
                known = json.dumps([made.now_ms, eta.basis, eta.p50_ms, eta.p90_ms])
                pipe.hset(key, id_, known)
            pipe.expire(key, KEPT_S)
        pipe.execute()


def etas_of(deployments: Sequence[Deployment]) -> dict[UUID, dict[str, Any]]:
    """As EtaSerializer shows them, of those that wait and have one. One round trip where one waits;
    none while Redis is away."""
    waiting = [row for row in deployments if row.status == Status.QUEUED]
    if not waiting:
        return {}
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for row in waiting:
                pipe.hget(KEY.format(row.cluster_id), str(row.pk))
            answers = pipe.execute()
    except RedisError:
        return {}
    return {
        row.pk: _shown(answer)
        for row, answer in zip(waiting, answers, strict=True)
        if answer is not None
    }


def _shown(answer: str) -> dict[str, Any]:
    now_ms, basis, p50_ms, p90_ms = json.loads(answer)
    return shown(Eta(Basis(basis), p50_ms, p90_ms), now_ms)
