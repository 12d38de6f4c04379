"""Each fault of Redis is one while it lasts, and none afterwards."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
import redis

from chaos.faults import redis_data, redis_server
from chaos.faults.kind import Kind
from chaos.tests.servers import Servers, servers_for
from mlops_platform.embedded.redis import Redis as Server

REFUSES_WRITES = {
    "Redis: a read-only replica": "read only",
    "Redis: out of memory": "OOM|used memory",
    "Redis: too few replicas": "NOREPLICAS|Not enough good replicas",
    "Redis: another password": "authenticated",
    "Redis: connections used up": "max number of clients",
    "Redis: busy with a script": "BUSY|busy",
    "Redis: full disk": "MISCONF|RDB",
    "Redis: frozen": "Timeout",
    "Redis: paused": "Timeout",
}
LASTS_S, WAIT_S = 1.5, 20.0
CLUSTER = str(uuid4())


@pytest.fixture(scope="module")
def platform() -> Iterator[Servers]:
    with servers_for(redis=True) as platform:
        yield platform


@pytest.fixture
def client(platform: Servers) -> Iterator["redis.Redis"]:
    """Each command on a connection of its own, as the fault may have ended the last one."""
    with platform.redis() as client:
        client.flushall()
        yield client
        client.flushall()


def kind(name: str) -> Kind:
    [found] = [each for each in (*redis_server.KINDS, *redis_data.KINDS) if each.name == name]
    return found


def inject(platform: Servers, name: str, lasts_s: float = 0.0) -> None:
    kind(name).inject(platform, Random(1), lasts_s)


@pytest.mark.parametrize(("name", "error"), REFUSES_WRITES.items())
def test_redis_takes_no_write_while_the_fault_lasts_and_does_afterwards(
    platform: Servers, name: str, error: str
) -> None:
    said: list[str] = []
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            with platform.redis() as client:
                client.connection_pool.connection_kwargs["socket_timeout"] = 0.4
                try:
                    client.set("key", "value")
                except redis.RedisError as refused:
                    said.append(str(refused))
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    inject(platform, name, LASTS_S)
    over.set()
    writer.join()
    assert any(word in each for each in said for word in error.split("|")), said
    with platform.redis() as client:
        assert client.set("key", "value")
        assert client.info("replication")["role"] == "master"


def test_no_kind_that_refuses_writes_is_without_its_test() -> None:
    lasting = {each.name for each in redis_server.KINDS if each.lasts_s != (0.0, 0.0)}
    assert lasting == set(REFUSES_WRITES)


def test_an_emptied_redis_is_empty(platform: Servers, client: "redis.Redis") -> None:
    client.set("key", "value")
    inject(platform, "Redis: emptied")
    assert client.dbsize() == 0


def test_connections_are_ended_and_waiting_clients_unblocked(
    platform: Servers, client: "redis.Redis"
) -> None:
    for name in (
        "Redis: all connections ended",
        "Redis: waiting clients unblocked with an error",
    ):
        said: list[Exception] = []

        def wait(said: list[Exception] = said) -> None:
            with platform.redis() as waiting, suppress(TimeoutError):
                try:
                    waiting.blpop(["nothing"], timeout=5)
                except redis.RedisError as error:
                    said.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + WAIT_S
        while not any(each["cmd"] == "blpop" for each in client.client_list()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        inject(platform, name)
        thread.join()
        assert said, name


def queue(name: str) -> str:
    return f"cluster:{CLUSTER}:queue:{name}"


def test_queues_lose_members_and_get_ghosts(platform: Servers, client: "redis.Redis") -> None:
    members = {str(uuid4()): 0 for _ in range(20)}
    client.set(f"cluster:{CLUSTER}:queues", "signature")
    client.zadd(queue("low"), members)
    inject(platform, "Redis: half of each queue lost")
    left = client.zrange(queue("low"), 0, -1)
    assert 0 < len(left) < len(members)
    inject(platform, "Redis: ghosts in the queues")
    ghosts = set(client.zrange(queue("low"), 0, -1)) | set(client.zrange(queue("high"), 0, -1))
    assert len(ghosts - set(members)) == redis_data.GHOSTS
    inject(platform, "Redis: queues deleted")
    assert client.keys("cluster:*:queue:*") == []
    assert client.get(f"cluster:{CLUSTER}:queues") == "signature"


def test_flags_are_set_and_deleted(platform: Servers, client: "redis.Redis") -> None:
    client.set(f"cluster:{CLUSTER}:queues", "signature")
    inject(platform, "Redis: flags set without a message")
    assert client.get(f"cluster:{CLUSTER}:dirty") == "SUBMITTED"
    inject(platform, "Redis: flags deleted", 0.05)
    assert client.keys("cluster:*:dirty") == []


def test_locks_are_stolen_for_the_time_that_was_left_and_deleted(
    platform: Servers, client: "redis.Redis"
) -> None:
    lock = f"cluster:{CLUSTER}:lock"
    client.set(lock, "its owner's", px=60_000)
    inject(platform, "Redis: a lock stolen")
    assert client.get(lock) != "its owner's"
    assert 0 < client.pttl(lock) <= 60_000
    inject(platform, "Redis: locks deleted", 0.05)
    assert not client.exists(lock)


def test_messages_are_lost_doubled_and_none(platform: Servers, client: "redis.Redis") -> None:
    client.rpush("scheduler", "one", "two")
    inject(platform, "Redis: messages lost", 0.3)
    assert client.llen("scheduler") == 0
    client.rpush("scheduler", "one")
    inject(platform, "Redis: messages doubled", 0.02)
    assert client.lrange("scheduler", 0, -1) == ["one", "one"]
    client.hset("unacked", "tag", "message")
    inject(platform, "Redis: unacknowledged messages deleted", 0.05)
    assert not client.exists("unacked")
    inject(platform, "Redis: a message that is none")
    assert client.llen("scheduler") > 2


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Redis: killed", {"saved"}),
        ("Redis: saved and restarted", {"saved", "later"}),
        ("Redis: restarted from an older snapshot", {"saved", "later"}),
    ],
)
def test_a_restarted_redis_has_what_its_end_left_it(
    platform: Servers, name: str, kept: set[str]
) -> None:
    with platform.redis() as client:
        client.flushall()
        client.set("saved", "1")
        client.save()
        client.set("later", "1")
        latest = threading.Timer(redis_server.SNAPSHOT_AGE_S / 2, _set, [platform, "latest"])
        if "older" in name:
            latest.start()
    inject(platform, name)
    server = Server(platform.data)
    deadline = time.monotonic() + WAIT_S
    while not server.is_ready():
        assert time.monotonic() < deadline
        if not server.is_there():
            server.launch()
        time.sleep(0.05)
    with platform.redis() as client:
        assert set(client.keys()) == kept
        assert Path(str(client.config_get("dir")["dir"])) == platform.data / "redis"


def _set(platform: Servers, key: str) -> None:
    with platform.redis() as client:
        client.set(key, "1")
