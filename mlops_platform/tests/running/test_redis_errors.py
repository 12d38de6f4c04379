"""Error replies of Redis: workers wait for its return, and find what was submitted meanwhile."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from celery import current_app
from django.test import Client
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.message import Message
from kombu.messaging import Consumer
from redis import Redis
from redis.exceptions import RedisError

from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.services.submit import create_deployment
from mlops_platform.coordination.redis import redis_client
from mlops_platform.tests.equipment.own_redis import OwnRedis
from organizations.services import create_organization
from organizations.tests.people import make_user

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]
AWAY_S, RECOVERY_S = 2.0, 10.0
SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}


@contextmanager
def a_replica(redis: Redis) -> Iterator[None]:
    """READONLY, and UNBLOCKED for the workers that wait for messages."""
    redis.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")


@contextmanager
def out_of_memory(redis: Redis) -> Iterator[None]:
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@contextmanager
def without_the_right_to_write(redis: Redis) -> Iterator[None]:
    redis.execute_command("ACL", "SETUSER", "default", "-@write")
    try:
        yield
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+@all")


@pytest.mark.parametrize("fault", [a_replica, out_of_memory, without_the_right_to_write])
def test_workers_outlive_it_and_start_what_came_meanwhile(
    fault: Callable[[Redis], AbstractContextManager[None]],
    start_worker: Callable[..., "subprocess.Popen[bytes]"],
    client: Client,
) -> None:
    ada = make_user("ada")
    cluster = make_cluster(create_organization(ada, "Engines"))
    workers = [start_worker(), start_worker(queues="runtimes", pool="threads", concurrency=1)]
    with fault(redis_client()):
        submitted = create_deployment(ada, cluster.pk, SPEC).deployment
        assert client.get("/readyz").json()["checks"]["redis"] == "away"
        time.sleep(AWAY_S)
    current_app.send_task("scheduler.tasks.sweep")  # as the timer does every 10 s
    deadline = time.monotonic() + RECOVERY_S
    while Deployment.objects.get(pk=submitted.pk).status != Status.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [worker.poll() for worker in workers] == [None, None]


@contextmanager
def consumer(
    connection: Connection, taken: list[Message], prefetch_count: int = 1
) -> Iterator[Callable[[str], None]]:
    """Takes so many messages at a time; the function sends one to it. Like a worker, it listens to
    commands too."""
    channel = connection.default_channel
    commands = Queue("commands", Exchange("commands", type="fanout"), auto_delete=True)
    queues = [Queue("busy", routing_key="busy"), commands]
    Consumer(channel, queues, on_message=taken.append, prefetch_count=prefetch_count).consume()
    yield lambda body: channel.basic_publish(channel.prepare_message(body), "", "busy")


@pytest.mark.parametrize("fault", [a_replica, without_the_right_to_write])
@pytest.mark.parametrize("settle", [Message.ack, Message.reject, Message.requeue])
def test_a_message_that_cannot_be_settled_makes_room_for_the_next(
    settle: Callable[[Message], None], fault: Callable[[Redis], AbstractContextManager[None]]
) -> None:
    """Else a worker that was busy with as many messages as it may take takes no other for ever."""
    taken: list[Message] = []
    with current_app.connection_for_read() as connection, consumer(connection, taken) as send:
        send("0")
        send("1")
        connection.drain_events(timeout=RECOVERY_S)
        with fault(redis_client()), pytest.raises(RedisError):
            settle(taken[0])
        while len(taken) < 2:
            connection.drain_events(timeout=RECOVERY_S)
        assert [message.body for message in taken] == [b"0", b"1"]


@pytest.mark.parametrize("garbage", ["{", "", "null", "[]", '"text"', "{}", '{"body": ""}'])
def test_a_message_that_is_none_ends_no_consumer(garbage: str) -> None:
    taken: list[Message] = []
    with current_app.connection_for_read() as connection, consumer(connection, taken) as send:
        redis_client().lpush("busy", garbage)
        send("1")
        while not taken:
            connection.drain_events(timeout=RECOVERY_S)
        assert [message.body for message in taken] == [b"1"]


def test_a_connection_to_a_redis_that_is_gone_is_closed_though_a_message_is_unacknowledged(
    tmp_path: Path,
) -> None:
    """As a worker does before it connects again; an error would end the worker."""
    own = OwnRedis(tmp_path)
    own.start()
    path, _, db = own.url.removeprefix("unix://").partition("?db=")
    url, taken = f"redis+socket://{path}?virtual_host={db}", list[Message]()
    with (
        current_app.connection_for_read(url) as connection,
        consumer(connection, taken, prefetch_count=2) as send,
    ):
        send("0")
        while not taken:
            connection.drain_events(timeout=RECOVERY_S)
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.1)  # it asks for the next one
        own.stop()
        connection.collect()
        connection.close()
    assert [message.body for message in taken] == [b"0"]
