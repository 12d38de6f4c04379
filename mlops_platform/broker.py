"""Celery's transport to Redis, for which any error reply of Redis means that Redis is away.

Kombu reconnects after a lost connection. An error reply it takes for a programming error, which
ends the worker: READONLY of a master that became a replica, MISCONF of a full disk, OOM, NOAUTH,
UNBLOCKED of a failover. All of them pass, so here a process reconnects after each, with short
pauses, and a connection counts as made only once Redis has taken a write on it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partialmethod
from json import JSONDecodeError
from typing import Any

from celery import bootsteps
from celery.app import amqp
from kombu.connection import Connection as KombuConnection
from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import RedisError, ResponseError

from mlops_platform.coordination import presence
from mlops_platform.environment.redis_address import SentinelConnection
from mlops_platform.processes import heartbeat

logger = logging.getLogger(__name__)

PARTS = {"body", "headers", "properties"}  # of every message

PROBE = "broker:probe"  # a key that each new connection writes
PROBE_TTL_S = 10
# Between two attempts to connect, in seconds. Kombu's own 30 would delay what was submitted
# meanwhile by as much.
FIRST_PAUSE_S, PAUSE_STEP_S, LONGEST_PAUSE_S = 0.5, 0.5, 3.0

TAKES_CYCLES = "scheduler"  # the queue whose workers look for what Redis has lost
LOST_AND_FOUND = ("scheduler.tasks.sweep", "deployments.tasks.look_everywhere")


class QoS(kombu_redis.QoS):
    """How many messages a worker may have at once.

    A message that cannot be acknowledged, since Redis takes no writes, makes room nevertheless: a
    worker that was busy with all that it may have would take no message ever again. Redis gives
    such a message again after a while, and its task then finds nothing to do.
    """

    def ack(self, delivery_tag: str) -> None:
        with self._made_room_for_another(delivery_tag):
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu has no types

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        with self._made_room_for_another(delivery_tag):
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]  # as above

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what is unacknowledged, unless the connection is closed already: a worker that
        loses Redis closes it twice. What is not given back is asked for again within seconds."""
        if self.channel.connection.client is None:
            self._delivered.clear()
        else:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]  # as above

    @contextmanager
    def _made_room_for_another(self, delivery_tag: str) -> Iterator[None]:
        try:
            yield
        except RedisError:
            self._quick_ack(delivery_tag)
            raise


class _Channel:
    """To be mixed into a channel of kombu's."""

    QoS = QoS
    pool: Any

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """A client for commands. An error reply closes the idle connections: after a failover the
        same address may lead to another server."""
        try:
            with super().conn_or_acquire(client) as connected:  # type: ignore[misc]  # kombu's
                yield connected
        except ResponseError:
            self.pool.disconnect(inuse_connections=False)
            raise

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # kombu's
        except JSONDecodeError:
            logger.exception("a message that is none was dropped")
            return True


class _Transport:
    """To be mixed into a transport of kombu's."""

    connection_errors = (*kombu_redis.Transport.connection_errors, RedisError)
    _avail_channels: list[Any]

    def _deliver(self, message: Any, queue: str) -> None:
        """Drop what is no message, which would end the worker, and the next one that gets it."""
        if isinstance(message, dict) and message.keys() >= PARTS:
            super()._deliver(message, queue)  # type: ignore[misc]  # kombu's
        else:
            logger.error("a message that is none was dropped")

    def establish_connection(self) -> Any:
        """Raises the RedisError of a Redis that answers but takes no writes."""
        connection = super().establish_connection()  # type: ignore[misc]  # kombu's
        try:
            with self._avail_channels[-1].conn_or_acquire() as client:
                client.set(PROBE, "1", ex=PROBE_TTL_S)
        except BaseException:
            self.close_connection(connection)  # type: ignore[attr-defined]  # kombu's
            raise
        return connection


class Channel(_Channel, kombu_redis.Channel):
    """Of one server."""


class Transport(_Transport, kombu_redis.Transport):
    Channel = Channel


class SentinelChannel(_Channel, kombu_redis.SentinelChannel):
    """Of the primary that Sentinels name."""

    connection_class = SentinelConnection


class SentinelTransport(_Transport, kombu_redis.SentinelTransport):
    Channel = SentinelChannel


class Connection(KombuConnection):
    """A connection that is tried again soon, however long Redis has been away."""

    _ensure_connection = partialmethod(
        KombuConnection._ensure_connection,
        interval_start=FIRST_PAUSE_S,
        interval_step=PAUSE_STEP_S,
        interval_max=LONGEST_PAUSE_S,
    )


class AMQP(amqp.AMQP):
    Connection = Connection
    BrokerConnection = Connection


class LookForLost(bootsteps.StartStopStep):
    """Whenever a worker has connected, it asks for what Redis may have lost meanwhile, rather than
    leave this to the next sweep."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        app = consumer.app
        if TAKES_CYCLES not in app.amqp.queues.consume_from:
            return
        send: Callable[..., Any] = app.send_task
        try:
            for task in LOST_AND_FOUND:
                send(task)
        except (KombuError, RedisError, OSError) as error:
            logger.warning("not asked for: redis is away", extra={"error": str(error)})


class Beat(bootsteps.StartStopStep):
    """While a worker is connected and its loop turns, it shows that it takes tasks: to this machine
    by a file, and to the platform in Redis."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    timer: Any = None

    def start(self, consumer: Any) -> None:
        queues = tuple(consumer.app.amqp.queues.consume_from)
        arguments = (consumer.hostname, queues)
        beat(*arguments)
        self.timer = consumer.timer.call_repeatedly(heartbeat.BEAT_S, beat, arguments)

    def stop(self, consumer: Any) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    shutdown = stop


def beat(name: str, queues: tuple[str, ...]) -> None:
    """`name` as Celery has it, with the host. Never raises: without Redis a worker goes on."""
    heartbeat.beat(name.partition("@")[0])
    with suppress(RedisError):
        presence.beat(name, queues)


def use() -> None:
    """Have all Redis URLs of this process lead to this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
