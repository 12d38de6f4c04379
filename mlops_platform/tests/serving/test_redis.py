"""A Redis that accepts connections and never answers."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings
from redis.exceptions import RedisError

from mlops_platform.coordination import redis


@pytest.fixture
def frozen(tmp_path: Path, settings: Settings) -> Iterator[None]:
    path = tmp_path / "frozen.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(8)
        settings.REDIS_URL = f"unix://{path}"
        settings.REDIS_TIMEOUT_S = 0.2
        yield


def test_only_the_first_of_many_commands_waits_for_it(frozen: None) -> None:
    waited = []
    for _ in range(4):
        began = time.monotonic()
        with pytest.raises(RedisError):
            redis.redis_client().get("x")
        waited.append(time.monotonic() - began >= 0.2)
    assert waited == [True, False, False, False]


def test_pipelines_and_locks_are_no_exception(frozen: None) -> None:
    with pytest.raises(RedisError):
        redis.redis_client().get("x")
    began = time.monotonic()
    with redis.redis_client().pipeline() as pipe:
        pipe.get("x")
        with pytest.raises(RedisError):
            pipe.execute()
    with pytest.raises(RedisError):
        redis.redis_client().lock("y", blocking=False).acquire()
    assert time.monotonic() - began < 0.2


def test_it_is_asked_again_after_a_while(frozen: None, settings: Settings) -> None:
    settings.REDIS_STALLED_S = 0.0
    with pytest.raises(RedisError):
        redis.redis_client().get("x")
    began = time.monotonic()
    with pytest.raises(RedisError):
        redis.redis_client().get("x")
    assert time.monotonic() - began >= 0.2
