"""Wakes the runtimes' worker for a cluster, and names the deployments that it has to look at."""

import logging
from collections.abc import Callable, Iterable
from uuid import UUID

from redis.exceptions import RedisError

from mlops_platform.coordination.locks import script
from mlops_platform.coordination.redis import redis_client
from mlops_platform.coordination.wakeup import NOW, Wakeup

logger = logging.getLogger(__name__)

EVERYTHING = "*"  # in place of a deployment's id: all that is at the cluster's endpoints
WORD = "LOOK"  # a flag needs a word; the ids are in a set of their own
STALE_S = 60  # a message that no worker has taken for so long has a successor

MOMENTS = "wakeups:deployments.tasks.reconcile:moments"
MOST_MOMENTS = 1000  # that are answered at once

# KEYS: the moments. ARGV: what is wanted then, and in how many milliseconds. The earliest counts.
_WAKE_LATER = f"""
{NOW}
redis.call('ZADD', KEYS[1], 'LT', now + ARGV[2], ARGV[1])
"""
# KEYS: the moments. Returns what is wanted by now, and forgets it.
_TAKE_MOMENTS = f"""
{NOW}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, {MOST_MOMENTS})
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return due
"""

_wakeup = Wakeup(
    "deployments.tasks.reconcile",
    flag="cluster:{}:runtime",
    lock="cluster:{}:reconciling",
    queue="runtimes",
    expires_s=STALE_S,
)
backlog = _wakeup.backlog
is_flag_set, clear_flag, enqueue = _wakeup.is_flag_set, _wakeup.clear_flag, _wakeup.enqueue


def request(cluster_id: UUID, deployment_ids: Iterable[str] = (), *, again: bool = False) -> None:
    """Request a pass over what starts and stops, and over these deployments, or EVERYTHING.

    Never raises for want of Redis: the next full pass finds it all.
    """
    deployment_ids = list(deployment_ids)
    try:
        if deployment_ids:
            redis_client().sadd(_ids_key(cluster_id), *deployment_ids)
    except RedisError as error:
        logger.warning("runtime not woken: redis is away", extra={"error": str(error)})
        return
    _wakeup.request(cluster_id, WORD, again=again)


def request_in(cluster_id: UUID, seconds: float, *, everything: bool = False) -> None:
    """Request a pass in so many seconds, over what starts and stops, or over EVERYTHING.

    Never raises for want of Redis: the full pass after that moment finds it.
    """
    wanted = f"{cluster_id} {EVERYTHING if everything else ''}"
    try:
        script(redis_client(), _WAKE_LATER)([MOMENTS], [wanted, max(round(seconds * 1000), 0)])
    except RedisError as error:
        logger.warning("no moment kept: redis is away", extra={"error": str(error)})


def request_due() -> None:
    """Request the passes whose moment has come. One round trip where none has. Raises RedisError
    while Redis is away."""
    for wanted in script(redis_client(), _TAKE_MOMENTS)([MOMENTS], []):
        cluster_id, _, ids = str(wanted).partition(" ")
        request(UUID(cluster_id), [ids] if ids else ())


def set_flag(cluster_id: UUID) -> None:
    """Have another pass follow the one that is under way."""
    _wakeup.set_flag(cluster_id, WORD)


def run(cluster_id: UUID, run_pass: Callable[[set[str]], None]) -> None:
    """Run one pass over the ids that were requested, unless another worker runs one or has answered
    the request. A pass that failed has taken its ids, so the next one covers everything."""

    def work(_: str, failures: int) -> None:
        run_pass(take_deployment_ids(cluster_id) | ({EVERYTHING} if failures else set()))

    _wakeup.run(cluster_id, work)


def ask_again() -> None:
    """Ask for the passes again that a killed or frozen worker has taken, or the broker has lost.

    With a worker the ids that it had taken are gone, so those passes cover everything.
    """
    _wakeup.ask_again(
        WORD, lambda cluster_id: redis_client().sadd(_ids_key(cluster_id), EVERYTHING)
    )


def take_deployment_ids(cluster_id: UUID) -> set[str]:
    """The ids that were requested since the last call; empties their set."""
    with redis_client().pipeline() as pipe:
        pipe.smembers(_ids_key(cluster_id))
        pipe.delete(_ids_key(cluster_id))
        return {str(each) for each in pipe.execute()[0]}


def _ids_key(cluster_id: UUID) -> str:
    return f"cluster:{cluster_id}:looks"
