"""Wakes the runtimes' worker for a cluster, and says which deployments it is to look at."""

import logging
from collections.abc import Callable, Iterable
from uuid import UUID

from redis.exceptions import RedisError

from mlops_platform.api.redis import redis_client
from mlops_platform.api.wakeup import Wakeup, try_lock

logger = logging.getLogger(__name__)

EVERYTHING = "*"
WORD = "LOOK"  # a flag needs a word; the deployments to look at stand in a set of their own
STALE_S = 60  # another message has been sent since one that no worker took for so long
PASS_TIMEOUT_S = 10  # a killed worker's lock keeps other workers away for so long

_wakeup = Wakeup("cluster:{}:runtime", "deployments.tasks.reconcile", expires_s=STALE_S)
enqueue, is_flag_set, clear_flag = _wakeup.enqueue, _wakeup.is_flag_set, _wakeup.clear_flag


def request(cluster_id: UUID, looks: Iterable[str] = (), *, again: bool = False) -> None:
    """Ask for a pass over what starts and stops, and over these deployments, or EVERYTHING.

    Never raises for want of Redis: the next full pass finds it all.
    """
    looks = list(looks)
    try:
        if looks:
            redis_client().sadd(_looks(cluster_id), *looks)
    except RedisError as error:
        logger.warning("runtime not woken: redis is away", extra={"error": str(error)})
        return
    _wakeup.request(cluster_id, WORD, again=again)


def set_flag(cluster_id: UUID) -> None:
    """Have another pass follow the one that is under way."""
    _wakeup.set_flag(cluster_id, WORD)


def run(cluster_id: UUID, run_pass: Callable[[str], None]) -> None:
    """One pass, unless another worker is at work or has answered already."""
    lock = try_lock(f"cluster:{cluster_id}:reconciling", PASS_TIMEOUT_S, renew=True)
    _wakeup.run(cluster_id, lock, run_pass)


def take_looks(cluster_id: UUID) -> set[str]:
    """The deployments to look at, as requested since the last call; the set is emptied."""
    with redis_client().pipeline() as pipe:
        pipe.smembers(_looks(cluster_id))
        pipe.delete(_looks(cluster_id))
        return {str(look) for look in pipe.execute()[0]}


def _looks(cluster_id: UUID) -> str:
    return f"cluster:{cluster_id}:looks"
