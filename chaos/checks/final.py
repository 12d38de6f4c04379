"""The checks at the end, once the load has stopped and all has settled."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import redis

from chaos.checks import promises
from chaos.checks.findings import Breach, Finding
from chaos.load.journal import Journal
from chaos.platforms.platform import Platform

SETTLE_S = 120.0
POLL_S = 0.5
COMMAND_TIMEOUT_S = 1800.0


def check(platform: Platform, journal: Journal) -> Iterator[Finding]:
    """Promises, invariants, replay, queues. Waits until what has a run time has ended."""
    _wait(lambda: _settled(platform, journal))
    with closing(platform.sql()) as connection:
        yield from promises.broken(journal.submits, promises.read(connection, journal.prefix))
    _wait(lambda: not list(queues_off(platform)))
    yield from queues_off(platform)
    for breach, words in (
        (Breach.AUDIT, ("audit", "--queues")),
        (Breach.REPLAY, ("replay", "--all", "--strict")),
    ):
        done = platform.manage(*words, timeout_s=COMMAND_TIMEOUT_S)
        if done.returncode:
            yield Finding(breach, None, f"{done.stdout[-2000:]}{done.stderr[-2000:]}")


def cycles(platform: Platform) -> int:
    """How many the ledger has."""
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM scheduler_schedulingcycle")
        return int(cursor.fetchone()[0])


def queues_off(platform: Platform) -> Iterator[Finding]:
    """Where a Redis queue is not what the table says, one sentence for each cluster and class."""
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.id::text, lower(p.name),"
            "       array_remove(array_agg(d.id::text), NULL)"
            "  FROM clusters_cluster c CROSS JOIN deployments_priorityclass p"
            "  LEFT JOIN deployments_deployment d ON d.cluster_id = c.id"
            "       AND d.priority_class_id = p.id AND d.status = 'QUEUED'"
            " WHERE c.deleted_at IS NULL GROUP BY 1, 2"
        )
        rows = cursor.fetchall()
    with platform.redis() as client:
        for cluster_id, name, waiting in rows:
            key = f"cluster:{cluster_id}:queue:{name}"
            members = set(client.zrange(key, 0, -1))
            if missing := set(waiting) - members:
                yield Finding(Breach.QUEUES, None, f"{key} lacks {len(missing)}")
            if stray := members - set(waiting):
                yield Finding(Breach.QUEUES, None, f"{key} has {len(stray)} too many")


def _settled(platform: Platform, journal: Journal) -> bool:
    with closing(platform.sql()) as connection:
        return promises.unsettled(connection, journal.prefix) == 0


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        try:
            if until():
                return
        except (psycopg2.Error, redis.RedisError):
            pass  # it recovers
        time.sleep(POLL_S)
