"""A failover between two real servers that real Sentinels decide: nothing is lost, all goes on."""

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError
from pytest_django import Settings
from redis.exceptions import RedisError

from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.services.submit import create_deployment
from mlops_platform.celery import app
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from mlops_platform.environment.redis_address import Pool, Sentinels, broker, check, sentinels
from mlops_platform.tests.equipment.sentinels import Sentinels as Servers
from organizations.services import create_organization
from organizations.tests.people import make_user
from scheduler.tasks import look_for_unanswered
from scheduler.timer.turn import ask_again

WAIT_S = 45.0
SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}
TIMEOUTS = {"socket_connect_timeout": 2, "socket_timeout": 5}


@pytest.fixture
def through_sentinels(settings: Settings, sentinels: Servers) -> Iterator[Servers]:
    """This process uses them for everything: client, locks, cache and broker."""
    settings.REDIS_URL = sentinels.url
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": [sentinels.url]}}
    url, options = broker(sentinels.url, TIMEOUTS)
    before = app.conf.broker_url, app.conf.broker_transport_options
    use_broker(url, options)
    yield sentinels
    use_broker(*before)


def use_broker(url: str, options: dict[str, Any]) -> None:
    app.conf.update(broker_url=url, broker_transport_options=options)
    app._pool = app.amqp._producer_pool = None  # kombu has pools for each URL


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", [Servers.kill_primary, Servers.freeze_primary])
def test_a_failover_delays_what_is_submitted_and_loses_nothing(
    through_sentinels: Servers,
    fault: Callable[[Servers], None],
    start_worker: Callable[..., "subprocess.Popen[bytes]"],
) -> None:
    ada = make_user("ada")
    cluster = make_cluster(create_organization(ada, "Engines"))
    url = through_sentinels.url
    workers = [
        start_worker(REDIS_URL=url),
        start_worker(queues="runtimes", pool="threads", concurrency=1, REDIS_URL=url),
    ]

    def submit() -> Deployment:
        return create_deployment(ada, cluster.pk, SPEC).deployment

    def runs(row: Deployment) -> bool:
        ask_again()
        look_for_unanswered()
        return Deployment.objects.get(pk=row.pk).status == Status.RUNNING

    def assert_runs(row: Deployment) -> None:
        wait_for(lambda: runs(row))

    assert_runs(submit())
    first = through_sentinels.primary()
    fault(through_sentinels)
    during = submit()
    through_sentinels.wait_for_another(first)
    assert_runs(during)
    assert_runs(submit())
    cache.set("kept", "yes")
    assert cache.get("kept") == "yes"
    with try_lock("any") as locked:
        assert locked
    assert [worker.poll() for worker in workers] == [None, None]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if condition():
                return
        except (RedisError, OperationalError):
            pass
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)


def test_commands_go_to_the_primary_and_to_the_database_of_the_url(
    through_sentinels: Servers,
) -> None:
    redis_client().set("here", "1")
    assert redis_client().info("replication")["role"] == "master"
    assert redis_client().connection_pool.connection_kwargs["db"] == 2
    assert "db2" in redis_client().info("keyspace")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis+sentinel://a/main", Sentinels((("a", 26379),), "main")),
        (
            "redis+sentinel://ada:p%40ss@a:1,[::1]:2/main?db=3&sentinel_password=x",
            Sentinels(
                (("a", 1), ("::1", 2)),
                "main",
                3,
                username="ada",
                password="p@ss",
                sentinel_password="x",
            ),
        ),
        ("redis://a/0", None),
        ("unix:///run/redis.sock?db=1", None),
    ],
)
def test_a_url_names_the_sentinels(url: str, found: Sentinels | None) -> None:
    assert sentinels(check(url)) == found


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/",
        "redis+sentinel://a:1/main/2",
        "redis+sentinel://a:one/main",
        "redis+sentinel://a:99999/main",
        "redis+sentinel:///main",
        "redis+sentinel://a:1,,b:2/main",
        "redis+sentinel://a:1/main?db=two",
        "redis+sentinel://a:1/main?timeout=2",
        "sentinel://a:1/main",
        "redis.example.org:6379",
        "http://a:1",
        "redis://a:port/0",
    ],
)
def test_a_url_that_is_none_is_refused_at_the_start_by_name_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL ") as caught:
        check(url.replace("://", "://:s3cret@"))
    assert "s3cret" not in str(caught.value)


def test_the_broker_gets_the_same_sentinels() -> None:
    url, options = broker("redis+sentinel://:p%40@a:1,[::1]:2/main?db=3", TIMEOUTS)
    assert url == "sentinel://:p%40@a:1/3;sentinel://:p%40@[::1]:2/3"
    assert options["master_name"] == "main"
    assert broker("redis://a/0", TIMEOUTS) == ("redis://a/0", TIMEOUTS)
    assert broker("unix:///x.sock?db=1", TIMEOUTS)[0] == "redis+socket:///x.sock?virtual_host=1"


def test_one_server_needs_no_sentinel() -> None:
    assert Pool.from_url("redis://a:7/4").connection_kwargs["port"] == 7
