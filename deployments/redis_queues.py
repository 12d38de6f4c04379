"""Each cluster's queues in Redis: one sorted set of deployment ids per priority class.

The queues give lengths and positions in O(log n). The table is the truth: a cycle that finds a
queue wrong rebuilds it from the table. Redis orders by the policy's score, larger first (stored
negated), and equal scores by id, which as a UUIDv7 is the order of submit. Scores below zero are of
what the whole cluster could not run (NEVER): whatever their class, these stand at the end of the
line.

Writes raise RedisError for the caller to handle. Reads never raise: they return None while Redis is
away.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError

from mlops_platform.coordination.redis import redis_client

logger = logging.getLogger(__name__)

CHUNK = 1000  # members per command
NEVER = -1  # the score of what asks for more than the cluster has


def queue_key(cluster_id: UUID, class_name: str) -> str:
    return f"cluster:{cluster_id}:queue:{class_name.lower()}"


def enter(cluster_id: UUID, entries: Iterable[tuple[str, UUID, int]]) -> None:
    """Add (class name, deployment id, policy score), or set the score of a queued deployment."""
    members: dict[str, dict[str, int]] = {}
    for class_name, deployment_id, score in entries:
        members.setdefault(class_name, {})[str(deployment_id)] = -score
    if not members:
        return
    with redis_client().pipeline(transaction=False) as pipe:
        for class_name, negated in members.items():
            pipe.zadd(queue_key(cluster_id, class_name), negated)
        pipe.execute()


def leave(cluster_id: UUID, entries: Iterable[tuple[str, UUID]]) -> None:
    """Remove (class name, deployment id); a deployment that is not queued is no error."""
    members: dict[str, list[str]] = {}
    for class_name, deployment_id in entries:
        members.setdefault(class_name, []).append(str(deployment_id))
    if not members:
        return
    with redis_client().pipeline(transaction=False) as pipe:
        for class_name, ids in members.items():
            for start in range(0, len(ids), CHUNK):
                pipe.zrem(queue_key(cluster_id, class_name), *ids[start : start + CHUNK])
        pipe.execute()


def rebuild(
    cluster_id: UUID,
    class_names: Sequence[str],
    read: Callable[[], Mapping[str, Sequence[tuple[UUID, int]]]],
    signature: str,
) -> bool:
    """Replace the cluster's queues by what `read` returns, in one step.

    `class_names` are every class, so that queues of classes without waiting deployments are
    emptied. `signature` names the ordering and totals of the scores. False, and nothing changed,
    where a queue was written to since before the read: what was read may be older than that.
    """
    keys = {class_name: queue_key(cluster_id, class_name) for class_name in class_names}
    with redis_client().pipeline(transaction=True) as pipe:
        if keys:
            pipe.watch(*keys.values())  # type: ignore[no-untyped-call]  # redis-py's stubs
        found = read()
        pipe.multi()
        for class_name, key in keys.items():
            pipe.delete(key)
            _add(pipe, key, found.get(class_name, ()))
        pipe.set(_signature_key(cluster_id), signature)
        try:
            pipe.execute()
        except WatchError:
            return False
    return True


def forget(cluster_id: UUID, class_names: Iterable[str]) -> None:
    """Delete the queues of a deleted cluster."""
    keys = [queue_key(cluster_id, class_name) for class_name in class_names]
    redis_client().delete(_signature_key(cluster_id), *keys)


def signature(cluster_id: UUID) -> str | None:
    """The signature of the last rebuild; None without one, or while Redis is away."""
    try:
        stored = redis_client().get(_signature_key(cluster_id))
    except RedisError as error:
        _log_away(error)
        return None
    return None if stored is None else str(stored)


def lengths(cluster_id: UUID, class_names: Sequence[str]) -> dict[str, int] | None:
    """How many deployments wait in each class; None while Redis is away."""
    return lengths_of([cluster_id], class_names).get(cluster_id)


def lengths_of(
    cluster_ids: Sequence[UUID], class_names: Sequence[str]
) -> dict[UUID, dict[str, int]]:
    """`lengths` of many clusters in one round trip; empty while Redis is away."""
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for cluster_id in cluster_ids:
                for class_name in class_names:
                    pipe.zcard(queue_key(cluster_id, class_name))
            sizes = iter(pipe.execute())
    except RedisError as error:
        _log_away(error)
        return {}
    return {
        cluster_id: {class_name: next(sizes) for class_name in class_names}
        for cluster_id in cluster_ids
    }


def next_position(
    cluster_id: UUID, class_name: str, score: int, class_names: Sequence[str]
) -> int | None:
    """The position of a new deployment, behind its equals; None while Redis is away.

    `class_names` are every class, most urgent first.
    """
    urgent = class_names[: class_names.index(class_name)]
    is_last = score <= NEVER
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for name in class_names if is_last else urgent:
                pipe.zcount(queue_key(cluster_id, name), "-inf", 0)
            for name in (*urgent, class_name) if is_last else ():
                pipe.zcount(queue_key(cluster_id, name), "(0", "+inf")
            if not is_last:
                pipe.zcount(queue_key(cluster_id, class_name), "-inf", -score)
            return sum(pipe.execute()) + 1
    except RedisError as error:
        _log_away(error)
        return None


def claim_check(cluster_id: UUID, *, every_s: int) -> bool:
    """True for the first caller in so many seconds; always where `every_s` is below one."""
    if every_s < 1:
        return True
    key = f"{_signature_key(cluster_id)}:looked"
    return bool(redis_client().set(key, "1", nx=True, ex=every_s))


def members(cluster_id: UUID, class_names: Sequence[str]) -> dict[str, set[str]] | None:
    """Every waiting id by class, for an audit; None while Redis is away."""
    try:
        with redis_client().pipeline(transaction=True) as pipe:
            for class_name in class_names:
                pipe.zrange(queue_key(cluster_id, class_name), 0, -1)
            found = pipe.execute()
    except RedisError as error:
        _log_away(error)
        return None
    return {name: set(ids) for name, ids in zip(class_names, found, strict=True)}


def positions(
    entries: Sequence[tuple[UUID, str, UUID]], class_names: Sequence[str]
) -> list[int | None]:
    """The 1-based position of each (cluster id, class name, deployment id) in its cluster's queues.

    Counts across classes: all deployments of the more urgent classes come first, and last of all
    those that never start. `class_names` are every class, most urgent first. One round trip for any
    number of entries and clusters; None for a deployment that is in no queue, and for all while
    Redis is away.
    """
    if not entries:
        return []
    clusters = list(dict.fromkeys(cluster_id for cluster_id, _, _ in entries))
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for cluster_id in clusters:
                for class_name in class_names:
                    pipe.zcount(queue_key(cluster_id, class_name), "-inf", 0)
                    pipe.zcard(queue_key(cluster_id, class_name))
            for cluster_id, class_name, deployment_id in entries:
                pipe.zrank(queue_key(cluster_id, class_name), str(deployment_id))
            answers = iter(pipe.execute())
    except RedisError as error:
        _log_away(error)
        return [None] * len(entries)
    # By queue: how many in it may start, and what precedes its first, and its first that never
    # starts.
    before: dict[tuple[UUID, str], tuple[int, int, int]] = {}
    for cluster_id in clusters:
        lengths = [(next(answers), next(answers)) for _ in class_names]
        ahead, last = 0, sum(possible for possible, _ in lengths)
        for class_name, (possible, length) in zip(class_names, lengths, strict=True):
            before[cluster_id, class_name] = (possible, ahead, last)
            ahead, last = ahead + possible, last + length - possible
    found: list[int | None] = []
    for (cluster_id, class_name, _), rank in zip(entries, answers, strict=True):
        possible, ahead, last = before.get((cluster_id, class_name), (0, 0, 0))
        if rank is None:
            found.append(None)
        else:
            found.append(1 + (ahead + rank if rank < possible else last + rank - possible))
    return found


def _add(pipe: Pipeline, key: str, scored: Sequence[tuple[UUID, int]]) -> None:
    for start in range(0, len(scored), CHUNK):
        chunk = scored[start : start + CHUNK]
        pipe.zadd(key, {str(deployment_id): -score for deployment_id, score in chunk})


def _signature_key(cluster_id: UUID) -> str:
    return f"cluster:{cluster_id}:queues"


def _log_away(error: RedisError) -> None:
    logger.warning("queues unread: redis is away", extra={"error": str(error)})
