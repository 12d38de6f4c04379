"""What becomes of a log that is read where its worker, its reader or Redis is away or slow."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path

import pytest
from django.test import Client
from redis import Redis
from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled

from accounts.models import User
from deployments.log_selection import LogQuery
from deployments.models import Deployment, DeploymentLog
from deployments.output import answers, errors, exchange, reading
from deployments.output.errors import OutputUnavailable
from deployments.output.exchange import MOST_PARTS, PART_BYTES, REQUESTS, Kind, Request, entry_id
from deployments.output.kept import KeptWithoutTimes
from deployments.output.reading import LOST, Reading
from deployments.tests.log_readers import log_readers
from mlops_platform.coordination.redis import redis_client
from mlops_platform.tests.equipment.own_redis import OwnRedis
from mlops_platform.tests.web.hostile_engine import Engine

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 30.0
FOLLOW = LogQuery(follow=True)
StartWorker = Callable[..., "subprocess.Popen[bytes]"]
Api = Callable[[User], Client]


def eventually(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def read_until_text(opened: Reading) -> bytes:
    return next(piece for piece in opened if piece)


def assert_unavailable(answer: object, sentence: str) -> None:
    assert answer.status_code == 503  # type: ignore[attr-defined]  # of Django's test client
    assert answer.json() == {"code": "output_unavailable", "detail": sentence}  # type: ignore[attr-defined]
    assert answer["Retry-After"] == "5"  # type: ignore[index]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TAKEN_S", "NO_WORKER_S"):
        monkeypatch.setattr(reading, name, 0.5)
    monkeypatch.setattr(reading, "WAIT_S", 0.2)
    for module in (reading, answers):
        monkeypatch.setattr(module, "SILENT_S", 3.0)


# --- Workers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?follow=true", "?grep=x"])
def test_without_a_worker_a_read_is_refused_and_leaves_nothing_behind(
    api: Api, vera: User, dripping: Deployment, impatient: None, query: str
):
    answer = api(vera).get(f"/api/deployments/{dripping.pk}/logs{query}")
    assert_unavailable(answer, errors.NO_WORKER)
    assert redis_client().keys("output:*") == []


def test_requests_that_wait_for_a_worker_are_limited(
    api: Api, vera: User, dripping: Deployment, monkeypatch: pytest.MonkeyPatch
):
    redis_client().rpush(REQUESTS, *["x"] * exchange.MOST_REQUESTS)
    answer = api(vera).get(f"/api/deployments/{dripping.pk}/logs")
    assert_unavailable(answer, errors.ALL_BUSY)
    assert redis_client().llen(REQUESTS) == exchange.MOST_REQUESTS


def test_a_worker_that_is_killed_ends_what_it_reads_with_a_sentence(
    start_worker: StartWorker, api: Api, vera: User, dripping: Deployment, impatient: None
):
    worker = start_worker(concurrency=1, queues="runtimes", pool="threads")
    eventually(lambda: redis_client().exists(exchange.WORKERS) == 1)
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr(reading, "TAKEN_S", PATIENCE_S)
        opened = Reading(str(dripping.pk), FOLLOW)
    assert read_until_text(opened) == b".\n"
    os.killpg(worker.pid, signal.SIGKILL)
    assert list(opened)[-1] == LOST
    opened.close()
    redis_client().delete(exchange.WORKERS)  # which it would be by itself soon
    assert_unavailable(api(vera).get(f"/api/deployments/{dripping.pk}/logs"), errors.NO_WORKER)


def test_a_worker_that_ends_says_so_at_once(dripping: Deployment, engine: Engine):
    with log_readers() as readers:
        opened = Reading(str(dripping.pk), FOLLOW)
        read_until_text(opened)
        readers.stop()
        began = time.monotonic()
        assert list(opened)[-1] == LOST
        assert time.monotonic() - began < exchange.SILENT_S
        eventually(lambda: engine.reading == 0)


def test_a_request_that_is_none_is_dropped_and_the_next_one_is_read(dripping: Deployment):
    redis_client().rpush(REQUESTS, "nonsense", '{"id": 1}', '{"id": "1", "query": {"lines": 1}}')
    with log_readers():
        opened = Reading(str(dripping.pk), FOLLOW)
        assert read_until_text(opened) == b".\n"
        opened.close()


def test_a_fault_of_the_worker_is_no_answer_about_the_endpoint(
    dripping: Deployment, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise KeyError("a fault of our own")

    monkeypatch.setattr("deployments.output.at_endpoint.pieces_at", fail)
    with log_readers(), pytest.raises(RuntimeError, match="could not be read"):
        Reading(str(dripping.pk), FOLLOW)


# --- Readers -------------------------------------------------------------------------------------


def test_a_log_that_was_kept_without_times_meanwhile_says_so(dripping: Deployment):
    DeploymentLog.objects.create(deployment=dripping, attempt=1, replica=0, output=b"x\n")
    with log_readers(), pytest.raises(KeptWithoutTimes):
        Reading(str(dripping.pk), LogQuery(timestamps=True))


def test_a_worker_lets_go_of_a_log_whose_reader_has_left_or_vanished(
    dripping: Deployment, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    with log_readers():
        opened = Reading(str(dripping.pk), FOLLOW)
        eventually(lambda: engine.reading == 1)
        opened.close()
        eventually(lambda: engine.reading == 0)
        # As after a kill of the reader's process: nothing renews its lease.
        monkeypatch.setattr(reading, "LEASE_S", 1)
        monkeypatch.setattr(reading.leases, "add", lambda _: None)
        vanished = Reading(str(dripping.pk), FOLLOW)
        eventually(lambda: engine.reading == 1)
        eventually(lambda: engine.reading == 0)
        eventually(lambda: redis_client().keys("output:*") in ([], [exchange.WORKERS]))
        vanished.close()


def test_a_request_whose_reader_has_vanished_is_not_read(dripping: Deployment, engine: Engine):
    redis_client().rpush(REQUESTS, Request("gone", str(dripping.pk), FOLLOW).packed())
    with log_readers():
        opened = Reading(str(dripping.pk), FOLLOW)
        read_until_text(opened)
        assert engine.reading == 1
        opened.close()


def test_a_slow_reader_fills_neither_redis_nor_the_worker_and_misses_nothing(
    dripping: Deployment, engine: Engine
):
    numbers = iter(range(10**9))
    engine.next_drop = lambda: b"%09d\n" % next(numbers) * 6000
    engine.drip_every_s = 0.0
    with log_readers():
        opened = Reading(str(dripping.pk), FOLLOW)
        read_until_text(opened)
        stream = opened._request.answer
        eventually(lambda: redis_client().xlen(stream) == MOST_PARTS)
        time.sleep(1.0)  # it stays so
        sent = engine.sent_bytes
        time.sleep(0.5)
        assert engine.sent_bytes - sent < 4 * PART_BYTES * MOST_PARTS  # of no endless log
        assert redis_client().xlen(stream) == MOST_PARTS
        assert (redis_client().memory_usage(stream) or 0) < 2 * PART_BYTES * MOST_PARTS
        lines = b"".join(islice((piece for piece in opened if piece), 40)).splitlines()
        opened.close()
    values = [int(line) for line in lines[1:-1]]
    steps = {after - before for before, after in pairwise(values)}
    assert steps == {0, 1}
    assert len(values) > 100_000


def test_a_part_that_is_missing_ends_the_log(dripping: Deployment):
    with log_readers():
        opened = Reading(str(dripping.pk), FOLLOW)
        read_until_text(opened)
        eventually(lambda: redis_client().xlen(opened._request.answer) >= 2)
        redis_client().delete(opened._request.answer)  # as a Redis that comes back empty
        assert LOST in list(islice(opened, 100))
        opened.close()


@pytest.mark.parametrize("kind", ["organization", "endpoint"])
def test_followers_of_one_organization_leave_readers_to_the_others(
    dripping: Deployment, others: Deployment, kind: str
):
    with log_readers() as readers:
        readers._followers.limits[kind] = 1
        following = [Reading(str(dripping.pk), FOLLOW)]
        for _ in range(8):
            with pytest.raises(Throttled, match="follow too many logs"):
                Reading(str(dripping.pk), FOLLOW)
        again = Reading(str(others.pk), FOLLOW)
        for each in (*following, again):
            each.close()


def test_a_worker_without_a_free_thread_leaves_requests_to_others(
    dripping: Deployment, impatient: None, engine: Engine
):
    with log_readers(most=1):
        first = Reading(str(dripping.pk), FOLLOW)
        eventually(lambda: engine.reading == 1)
        with pytest.raises(OutputUnavailable, match="busy"):
            Reading(str(dripping.pk), FOLLOW)
        with log_readers(most=1):
            second = Reading(str(dripping.pk), FOLLOW)
            eventually(lambda: engine.reading == 2)
            second.close()
        first.close()


# --- Redis ---------------------------------------------------------------------------------------


@contextmanager
def stopped(redis: OwnRedis) -> Iterator[None]:
    redis.stop()
    yield
    redis.start()


@contextmanager
def full(redis: OwnRedis) -> Iterator[None]:
    with Redis.from_url(redis.url) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize("fault", [stopped, OwnRedis.frozen, full])
def test_a_redis_that_is_away_or_full_refuses_reads_and_ends_those_that_have_begun(
    api: Api,
    vera: User,
    dripping: Deployment,
    engine: Engine,
    tmp_path: Path,
    settings: object,
    impatient: None,
    fault: Callable[[OwnRedis], AbstractContextManager[None]],
):
    redis = OwnRedis(tmp_path)
    redis.start()
    settings.REDIS_URL = redis.url  # type: ignore[attr-defined]  # pytest-django's
    try:
        with log_readers():
            opened = Reading(str(dripping.pk), FOLLOW)
            read_until_text(opened)
            with fault(redis):
                refused = api(vera).get(f"/api/deployments/{dripping.pk}/logs")
                assert_unavailable(refused, errors.REDIS_AWAY)
                assert list(opened)[-1] == LOST
                opened.close()
                eventually(lambda: engine.reading == 0)

            def reads_again() -> bool:
                with suppress(OutputUnavailable):
                    again = Reading(str(dripping.pk), FOLLOW)
                    text = read_until_text(again)
                    again.close()
                    return text == b".\n"
                return False

            eventually(reads_again)
    finally:
        with suppress(RedisError):
            redis.stop()


# --- What passes over Redis ----------------------------------------------------------------------


def test_a_request_is_the_same_on_the_other_side():
    at = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    query = LogQuery(2, 1, at, at, b"\xff x", 5, 6, 7, timestamps=True, follow=True)
    for each in (query, LogQuery()):
        request = Request("id", "deployment", each)
        assert exchange.unpacked(request.packed()) == request


def test_parts_that_were_sent_twice_are_read_once(dripping: Deployment):
    """As where a reply of Redis was lost with its connection."""
    with log_readers():
        opened = Reading(str(dripping.pk), FOLLOW)
        read_until_text(opened)
        stream, number = opened._request.answer, opened._number
        redis_client().xtrim(stream, minid=entry_id(number + 1), approximate=False)
        part = {"kind": Kind.TEXT, "data": b"twice"}
        with pytest.raises(RedisError, match="equal or smaller"):
            redis_client().xadd(stream, part, id=entry_id(number))  # type: ignore[arg-type]
        assert b"twice" not in b"".join(islice(opened, 10))
        opened.close()
