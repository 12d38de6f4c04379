"""Faults of the Redis server: its process, its connections, and each error reply that it knows."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil
import redis

from chaos.faults.kind import WHILE, Kind, NotInjected, declare
from chaos.platforms.platform import Platform
from chaos.platforms.programs import frozen, kill, largest_file
from chaos.platforms.programs import why_no_limits as no_limits

THERE_TIMEOUT_S = 20.0
BALLAST, BALLAST_BYTES, LARGEST_FILE = "chaos:ballast", 1_000_000, 500_000
SNAPSHOT_AGE_S = 1.5
BUSY_AFTER_MS = 100
BUSY_SCRIPT = "while true do end"

KINDS: list[Kind] = []


def kinds(_platform: Platform) -> list[Kind]:
    return KINDS


def server(platform: Platform) -> psutil.Process:
    """Waits for one that an earlier fault has ended."""
    deadline = time.monotonic() + THERE_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(redis.RedisError, psutil.Error):
            return platform.redis_server()
        time.sleep(0.05)
    raise NotInjected("Redis does not run.")


def say(client: Any, *words: object) -> Any:
    """A command for which redis-py has no method, or one without types."""
    return client.execute_command(*words)


@declare(KINDS, "Redis: killed")
def _killed(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    kill([server(platform)])


@declare(KINDS, "Redis: frozen", WHILE)
def _frozen(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with frozen([server(platform)]):
        time.sleep(lasts_s)


@declare(KINDS, "Redis: saved and restarted")
def _saved(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    with platform.redis() as client, suppress(redis.ConnectionError):
        client.shutdown(save=True)


@declare(KINDS, "Redis: restarted from an older snapshot")
def _older_snapshot(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    process = server(platform)
    with platform.redis() as client:
        client.save()
        file = Path(str(client.config_get("dir")["dir"])) / "dump.rdb"
        older = file.read_bytes()
        time.sleep(SNAPSHOT_AGE_S)
    with frozen([process]):
        file.write_bytes(older)
        kill([process])


@declare(KINDS, "Redis: emptied")
def _emptied(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        client.flushall()


@declare(KINDS, "Redis: all connections ended")
def _clients_killed(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        for kind in ("pubsub", "normal"):
            say(client, "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


@declare(KINDS, "Redis: paused", WHILE)
def _paused(platform: Platform, _draw: Random, lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        say(client, "CLIENT", "PAUSE", int(lasts_s * 1000), "ALL")
    time.sleep(lasts_s)


@declare(KINDS, "Redis: waiting clients unblocked with an error")
def _unblocked(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        for each in client.client_list():
            say(client, "CLIENT", "UNBLOCK", each["id"], "ERROR")


@contextmanager
def _configured(platform: Platform, **settings: str) -> Iterator["redis.Redis"]:
    """Inside the block Redis has other settings, and breaks all connections as they change."""
    server(platform)
    with platform.redis() as client:
        names = {name: name.replace("_", "-") for name in settings}
        before = {each: client.config_get(each)[each] for each in names.values()}
        for name, value in settings.items():
            client.config_set(names[name], value)
        try:
            yield client
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@declare(KINDS, "Redis: a read-only replica", WHILE)
def _replica(platform: Platform, _draw: Random, lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        say(client, "REPLICAOF", "127.0.0.1", "1")
        try:
            time.sleep(lasts_s)
        finally:
            say(client, "REPLICAOF", "NO", "ONE")


@declare(KINDS, "Redis: out of memory", WHILE)
def _out_of_memory(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _configured(platform, maxmemory="1"):
        time.sleep(lasts_s)


@declare(KINDS, "Redis: too few replicas", WHILE)
def _no_replicas(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _configured(platform, min_replicas_to_write="1"):
        time.sleep(lasts_s)


@declare(KINDS, "Redis: another password", WHILE)
def _no_password(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _configured(platform, requirepass="chaos") as client:
        say(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(lasts_s)


@declare(KINDS, "Redis: connections used up", WHILE)
def _used_up(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _configured(platform, maxclients="1") as client:
        say(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(lasts_s)


@declare(KINDS, "Redis: busy with a script", WHILE)
def _busy(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _configured(platform, busy_reply_threshold=str(BUSY_AFTER_MS)) as other:
        with platform.redis() as client:
            client.connection_pool.connection_kwargs["socket_timeout"] = lasts_s
            with suppress(redis.RedisError):  # it does not return
                client.eval(BUSY_SCRIPT, 0)
        say(other, "SCRIPT", "KILL")
        deadline = time.monotonic() + THERE_TIMEOUT_S
        while time.monotonic() < deadline:
            with suppress(redis.ResponseError):  # the script ends a moment later
                other.ping()
                return


@declare(KINDS, "Redis: full disk", WHILE, lambda _: no_limits())
def _full_disk(platform: Platform, _draw: Random, lasts_s: float) -> None:
    """Its snapshot fails, and from then on it refuses writes (MISCONF)."""
    with (
        _configured(platform, stop_writes_on_bgsave_error="yes") as client,
        largest_file(server(platform), LARGEST_FILE),
    ):
        client.set(BALLAST, random.randbytes(BALLAST_BYTES))
        client.bgsave()
        deadline = time.monotonic() + THERE_TIMEOUT_S
        while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
            if time.monotonic() > deadline:
                raise NotInjected("The snapshot did not fail.")
            time.sleep(0.02)
        time.sleep(lasts_s)
        client.config_set("stop-writes-on-bgsave-error", "no")
        client.delete(BALLAST)
