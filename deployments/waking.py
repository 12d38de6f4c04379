"""Waking the runtimes' worker for a cluster, and telling it where to look."""

import logging
from collections.abc import Iterable
from uuid import UUID

from redis.exceptions import RedisError

from mlops_platform.api import waking
from mlops_platform.api.redis import redis_client

logger = logging.getLogger(__name__)

EVERYTHING = "*"
WORD = "LOOK"  # a flag needs some word; what changed stands in a set of its own


STALE_S = 60  # a message that nobody took for so long: another has been sent since


def enqueue(cluster_id: UUID) -> None:
    from deployments.tasks import reconcile  # the task rings this bell too

    reconcile.apply_async((str(cluster_id),), expires=STALE_S)


bell = waking.Bell("cluster:{}:runtime", enqueue)


def request(cluster_id: UUID, looks: Iterable[str] = (), *, again: bool = False) -> None:
    """Ask for a pass over what starts and stops, and over those deployments, or EVERYTHING.

    Never raises for want of Redis: the next full pass finds it all.
    """
    looks = list(looks)
    try:
        if looks:
            redis_client().sadd(_looks(cluster_id), *looks)
    except RedisError as error:
        logger.warning("runtime not woken: redis is away", extra={"error": str(error)})
        return
    bell.request(cluster_id, WORD, again=again)


def asked_for(cluster_id: UUID) -> set[str]:
    """The looks that were asked for since the last time; they are forgotten with the answer."""
    with redis_client().pipeline() as pipe:
        pipe.smembers(_looks(cluster_id))
        pipe.delete(_looks(cluster_id))
        return {str(look) for look in pipe.execute()[0]}


def _looks(cluster_id: UUID) -> str:
    return f"cluster:{cluster_id}:looks"
