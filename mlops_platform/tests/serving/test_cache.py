"""What comes out of Redis is data, never code."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from kombu import serialization
from kombu.exceptions import ContentDisallowed

from mlops_platform.celery import app
from mlops_platform.coordination.redis import redis_client


class Touch:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Touch(proof)))  # noqa: S301 - our own, to prove what others could do
    assert proof.exists()
    proof.unlink()
    return proof


@pytest.mark.parametrize("value", [0, 7, -1, 1.5, "text", [1.5, 2.5], {"a": [None, True]}])
def test_the_cache_keeps_json(value: Any) -> None:
    cache.set("x", value)
    assert cache.get("x") == value
    assert cache.get_many(["x"]) == {"x": value}


def test_counters_count() -> None:
    cache.set("x", 1)
    assert cache.incr("x") == 2
    assert cache.get("x") == 2


def test_a_pickle_in_the_cache_is_not_read(proof: Path) -> None:
    redis_client().set(cache.make_key("x"), pickle.dumps(Touch(proof)))
    with pytest.raises(UnicodeDecodeError):
        cache.get("x")
    assert not proof.exists()


def test_an_entry_of_the_first_version_is_not_found(proof: Path) -> None:
    redis_client().set(cache.make_key("x", version=1), pickle.dumps(Touch(proof)))
    assert cache.get("x", "nothing") == "nothing"
    assert not proof.exists()


def test_what_is_no_json_is_not_stored() -> None:
    for value in ({1, 2}, float("nan"), object()):
        with pytest.raises((TypeError, ValueError)):
            cache.set("x", value)


def test_workers_read_no_pickles(proof: Path) -> None:
    accepted = serialization.prepare_accept_content(app.conf.accept_content)
    assert accepted == {"application/json"}
    with pytest.raises(ContentDisallowed):
        serialization.loads(
            pickle.dumps(Touch(proof)), "application/x-python-serialize", "binary", accept=accepted
        )
    assert not proof.exists()
    assert app.conf.task_serializer == app.conf.result_serializer == "json"


def test_sessions_are_rows_of_json() -> None:
    assert settings.SESSION_ENGINE == "django.contrib.sessions.backends.db"
    assert settings.SESSION_SERIALIZER.endswith(".JSONSerializer")
