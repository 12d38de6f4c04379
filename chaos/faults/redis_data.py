"""Faults of what lies in Redis: locks, flags, messages and queues, lost, doubled or made up."""

import json
import time
import uuid
from collections.abc import Callable
from random import Random

import redis

from chaos.faults.kind import WHILE, Kind, NotInjected, declare
from chaos.faults.processes import LOCKS, in_mid_cycle
from chaos.faults.redis_server import server
from chaos.platforms.platform import Platform

FLAGS = "cluster:*:dirty"
QUEUES = "cluster:*:queue:*"
MESSAGES = "scheduler"  # the Celery queue of the cycles
UNACKNOWLEDGED = ("unacked", "unacked_index")
POLL_S = 0.005
GHOSTS = 5
ATTEMPTS = 50  # to steal a lock before its owner releases it

KINDS: list[Kind] = []


def kinds(_platform: Platform) -> list[Kind]:
    return KINDS


def _repeat(
    platform: Platform,
    lasts_s: float,
    act: Callable[["redis.Redis"], object],
    pause_s: float = POLL_S,
) -> None:
    server(platform)
    deadline = time.monotonic() + lasts_s
    with platform.redis() as client:
        while time.monotonic() < deadline:
            act(client)
            time.sleep(pause_s)


def _delete(client: "redis.Redis", pattern: str) -> None:
    if keys := client.keys(pattern):
        client.delete(*keys)


@declare(KINDS, "Redis: locks deleted", WHILE)
def _locks_deleted(platform: Platform, _draw: Random, lasts_s: float) -> None:
    _repeat(platform, lasts_s, lambda client: _delete(client, LOCKS))


@declare(KINDS, "Redis: flags deleted", WHILE)
def _flags_deleted(platform: Platform, _draw: Random, lasts_s: float) -> None:
    _repeat(platform, lasts_s, lambda client: _delete(client, FLAGS))


@declare(KINDS, "Redis: a lock stolen")
def _lock_stolen(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    """As one that a killed worker leaves behind: it ends when it would have ended anyway."""
    server(platform)
    with platform.redis() as client:
        for _ in range(ATTEMPTS):
            if in_mid_cycle(
                client, lambda lock: client.set(lock, uuid.uuid4().hex, xx=True, keepttl=True)
            ):
                return
    raise NotInjected("No lock was there for long enough.")


@declare(KINDS, "Redis: flags set without a message")
def _flags_set(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        for key in client.keys("cluster:*:queues"):
            client.set(f"{key.removesuffix(':queues')}:dirty", "SUBMITTED")


@declare(KINDS, "Redis: messages lost", WHILE)
def _messages_lost(platform: Platform, _draw: Random, lasts_s: float) -> None:
    _repeat(platform, lasts_s, _pop, pause_s=0)


@declare(KINDS, "Redis: messages doubled", WHILE)
def _messages_doubled(platform: Platform, _draw: Random, lasts_s: float) -> None:
    def double(client: "redis.Redis") -> None:
        if message := _pop(client):
            client.rpush(MESSAGES, message, message)
            time.sleep(0.05)  # for the workers to take them

    _repeat(platform, lasts_s, double, pause_s=0)


@declare(KINDS, "Redis: a message that is none")
def _garbage(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    server(platform)
    unknown = {
        "body": "W10=",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "no.such.task", "id": str(uuid.uuid4()), "lang": "py"},
        "properties": {
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": MESSAGES},
            "body_encoding": "base64",
        },
    }
    with platform.redis() as client:
        client.rpush(MESSAGES, json.dumps(unknown), "{", "[]", "null")


@declare(KINDS, "Redis: unacknowledged messages deleted", WHILE)
def _unacknowledged_deleted(platform: Platform, _draw: Random, lasts_s: float) -> None:
    _repeat(platform, lasts_s, lambda client: client.delete(*UNACKNOWLEDGED))


@declare(KINDS, "Redis: ghosts in the queues")
def _ghosts(platform: Platform, draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        for key in client.keys("cluster:*:queues"):
            name = draw.choice(("low", "high"))
            ghosts = {str(uuid.UUID(int=draw.getrandbits(128))): 0 for _ in range(GHOSTS)}
            client.zadd(f"{key.removesuffix('queues')}queue:{name}", ghosts)


@declare(KINDS, "Redis: queues deleted")
def _queues_deleted(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        _delete(client, QUEUES)


@declare(KINDS, "Redis: half of each queue lost")
def _queues_halved(platform: Platform, draw: Random, _lasts_s: float) -> None:
    server(platform)
    with platform.redis() as client:
        for key in client.keys(QUEUES):
            members = client.zrange(key, 0, -1)
            if lost := [each for each in members if draw.random() < 0.5]:
                client.zrem(key, *lost)


def _pop(client: "redis.Redis") -> str | None:
    found = client.blpop([MESSAGES], timeout=0.2)
    return str(found[1]) if found else None
