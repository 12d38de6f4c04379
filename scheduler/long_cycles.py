"""Turns of clusters whose cycles take long, so that they delay no other cluster.

A cycle that took longer than LONG_S marks its cluster for MARKED_S. Of the marked clusters only
SCHEDULER_LONG_CYCLES run a cycle at the same time; the worker's other processes serve the others. A
marked cluster that finds no turn waits in Redis and takes up no process. Each turn that ends wakes
the next: the cluster of the organization whose last turn is longest ago and, of its clusters, the
one that has waited longest.

Only time depends on this. Where Redis loses a message, the sweep asks again.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from django.conf import settings

from clusters.models import Cluster
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from scheduler import wakeup

LONG_S = 0.5
MARKED_S = 60
MARK = "cluster:{}:long"
WAITING = "scheduler:long:waiting"  # a sorted set: `organization/cluster` by the time since which
TURNS = "scheduler:long:turns"  # a hash: by organization, the time of its last turn


def mark(cluster_id: UUID, took_s: float) -> None:
    """Mark the cluster if its cycle took long. One query and one round trip if so."""
    if took_s < LONG_S:
        return
    organization = Cluster.objects.values_list("organization_id", flat=True).get(pk=cluster_id)
    redis_client().set(MARK.format(cluster_id), str(organization), ex=MARKED_S)


@contextmanager
def turn(cluster_id: UUID) -> Iterator[bool]:
    """Whether the cluster may run a cycle now. False: another task follows at its turn. One round
    trip for a cluster that is not marked."""
    marked = redis_client().get(MARK.format(cluster_id))
    if marked is None:
        yield True
        return
    organization = str(marked)
    own = f"{organization}/{cluster_id}"
    redis_client().zadd(WAITING, {own: _now()}, nx=True)
    redis_client().expire(WAITING, 10 * MARKED_S)
    with ExitStack() as slot:
        if (first := _next()) != own:
            _wake(first)  # the message that woke it may be lost
            yield False
            return
        if not _take_slot(slot):
            yield False
            return
        redis_client().zrem(WAITING, own)
        redis_client().hset(TURNS, organization, str(_now()))
        redis_client().expire(TURNS, 10 * MARKED_S)
        try:
            yield True
        finally:
            slot.close()
            _wake(_next())


def _take_slot(slot: ExitStack) -> bool:
    """Take one of the slots until `slot` closes; False where all are taken."""
    for number in range(settings.SCHEDULER_LONG_CYCLES):
        name = f"scheduler:long:slot:{number}"
        if slot.enter_context(try_lock(name)):
            return True
    return False


def _now() -> float:
    """Seconds by the clock of Redis, since hosts compare them."""
    seconds, microseconds = redis_client().time()
    return float(seconds) + float(microseconds) / 1e6


def _wake(waiting: str | None) -> None:
    if waiting is not None:
        wakeup.enqueue(UUID(waiting.partition("/")[2]))


def _next() -> str | None:
    """The waiting cluster whose turn is next; None where none waits."""
    waiting = _still_marked([str(each) for each in redis_client().zrange(WAITING, 0, -1)])
    if not waiting:
        return None
    organizations = [each.partition("/")[0] for each in waiting]
    turns = redis_client().hmget(TURNS, organizations)
    last = [float(at or 0) for at in turns]
    return waiting[last.index(min(last))]


def _still_marked(waiting: list[str]) -> list[str]:
    """Without the clusters whose mark has ended while they waited: they need no turn any more, so
    they are woken, and keep no other cluster from its turn. Keeps the order, longest wait first."""
    if not waiting:
        return []
    marks = redis_client().mget([MARK.format(each.partition("/")[2]) for each in waiting])
    ended = [each for each, mark in zip(waiting, marks, strict=True) if mark is None]
    if ended:
        redis_client().zrem(WAITING, *ended)
        for each in ended:
            _wake(each)
    return [each for each in waiting if each not in ended]
