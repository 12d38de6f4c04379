"""What a worker holds in Redis is free soon after it was killed, and its own for as long as not."""

import threading
from uuid import uuid4

import pytest

from clusters.models import Node
from deployments import pulling
from deployments.tests.reconciler.conftest import Site
from mlops_platform.api.redis import redis_client
from mlops_platform.api.waking import meanwhile, try_lock

GENEROUS_S = 20.0


def test_a_lock_that_is_renewed_outlives_its_timeout_and_ends_with_the_work():
    renewed = threading.Event()
    with try_lock("a-lock", 0.3, renewed=True) as held, meanwhile(renewed.set, 1.0):
        assert held
        assert renewed.wait(GENEROUS_S)
        with try_lock("a-lock", 0.3) as again:
            assert not again
    with try_lock("a-lock", 0.3) as again:
        assert again


def test_a_lock_of_somebody_who_was_killed_frees_itself():
    with try_lock("a-lock", 0.1) as held:
        assert held
        assert redis_client().pttl("a-lock") <= 100


@pytest.mark.django_db
def test_a_pull_is_held_while_it_goes_on_and_no_longer(site: Site, a: Node, monkeypatch):
    monkeypatch.setattr(pulling, "PULLING_S", 1)
    seen = []

    def slow(image: str) -> None:
        threading.Event().wait(1.5)
        seen.append(pulling.begin(a.endpoint_id, image))

    monkeypatch.setattr(site.twin(a), "pull", slow)
    assert pulling.begin(a.endpoint_id, "large")
    pulling.pull(a.endpoint_id, "large")
    assert seen == [False]
    assert pulling.begin(a.endpoint_id, "large")


def test_nobody_waits_for_long_for_a_pull_whose_worker_is_dead():
    endpoint = uuid4()
    assert pulling.begin(endpoint, "large")
    assert redis_client().ttl(f"endpoint:{endpoint}:pull:large") <= pulling.QUEUED_S
