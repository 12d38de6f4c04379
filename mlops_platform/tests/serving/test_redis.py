"""A Redis that accepts connections and does not answer: for ever, or for a moment."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mlops_platform.coordination import redis


@pytest.fixture
def frozen(tmp_path: Path, settings: Settings) -> Iterator[None]:
    path = tmp_path / "frozen.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(64)
        settings.REDIS_URL = f"unix://{path}"
        settings.REDIS_TIMEOUT_S = 0.2
        settings.REDIS_STALLED_S = 60.0  # however slow the machine is
        yield


@pytest.fixture
def readonly(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """A Redis that answers, and lets writes wait, as before a failover. The client ends that."""
    monkeypatch.setattr(redis, "SLOW_S", 30.0)  # however slow this machine is
    settings.REDIS_TIMEOUT_S, settings.REDIS_STALLED_S = 0.2, 60.0
    with Redis.from_url(settings.REDIS_URL) as other:
        other.execute_command("CLIENT", "PAUSE", "600000", "WRITE")
        yield other
        other.execute_command("CLIENT", "UNPAUSE")


def waits(client: Redis) -> bool:
    """Whether a command waits for Redis: all other commands fail at once."""
    with pytest.raises((RedisTimeoutError, RedisConnectionError)) as failure:
        client.set("x", "1")
    return failure.type is RedisTimeoutError


def test_only_the_first_of_many_commands_waits_for_it(frozen: None) -> None:
    waited = [waits(redis.redis_client()) for _ in range(4)]
    assert waited == [True, False, False, False]


def test_pipelines_and_locks_are_no_exception(frozen: None) -> None:
    assert waits(redis.redis_client())
    with redis.redis_client().pipeline() as pipe:
        pipe.get("x")
        with pytest.raises(RedisConnectionError, match="a moment ago"):
            pipe.execute()
    with pytest.raises(RedisConnectionError, match="a moment ago"):
        redis.redis_client().lock("y", blocking=False).acquire()


def test_it_is_asked_again_after_a_while(frozen: None, settings: Settings) -> None:
    settings.REDIS_STALLED_S = 0.0
    assert [waits(redis.redis_client()) for _ in range(2)] == [True, True]


def test_after_one_slow_answer_a_redis_that_answers_again_is_asked_on(
    readonly: Redis, settings: Settings
) -> None:
    """As where its machine, or a long script, has stopped it for a moment."""
    assert waits(redis.redis_client())
    readonly.execute_command("CLIENT", "UNPAUSE")
    settings.REDIS_TIMEOUT_S = 30.0
    redis.redis_client().set("x", "1")
    assert redis.redis_client().get("x") == "1"


def test_a_redis_that_answers_and_takes_no_writes_is_waited_for_twice(readonly: Redis) -> None:
    assert [waits(redis.redis_client()) for _ in range(4)] == [True, True, False, False]
