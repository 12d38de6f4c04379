"""Logs of hostile endpoints, and followers that have left, take no thread of the web server."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psutil
import pytest

from clusters.models import Endpoint, Node, Runtime
from clusters.tests.allocation import make_cluster
from deployments import logs
from deployments.models import Deployment, Status
from deployments.tests.log_readers import log_readers
from deployments.tests.workloads import make
from mlops_platform.sealing import seal
from mlops_platform.tests.web.asking import (
    ask,
    assert_quick,
    connect,
    eventually,
    received,
    request,
)
from mlops_platform.tests.web.hostile_engine import hostile_engine
from mlops_platform.web import limits
from organizations.models import Membership

pytestmark = pytest.mark.e2e


@pytest.fixture
def cluster(org):
    return make_cluster(org, name="real", runtime=Runtime.DOCKER)


@pytest.fixture
def engine(cluster):
    with hostile_engine(str(cluster.pk)) as engine:
        yield engine


@pytest.fixture
def dripping(cluster, dev, engine):
    """A worker of the tests' own process reads its log."""
    with log_readers():
        yield running_at(engine, cluster, dev)


def running_at(engine, cluster, dev) -> Deployment:
    endpoint = Endpoint.objects.create(
        cluster=cluster, url=engine.url, trusted=True, secrets=seal({})
    )
    node = Node.objects.create(
        cluster=cluster, name="a", endpoint=endpoint, cpu_milli=4000, ram_mib=8192, gpu=2
    )
    row = make(cluster, dev, Status.RUNNING, attempt=1)
    row.placement = [{"node_id": str(node.pk), "node": "a", "replicas": 1}]
    row.save(update_fields=["placement"])
    return row


def path(row: Deployment, query: str = "") -> str:
    return f"/api/deployments/{row.pk}/logs{query}"


def talks_to(process: psutil.Process, port: int) -> bool:
    return any(each.raddr and each.raddr.port == port for each in process.net_connections("tcp"))


def test_the_web_server_has_no_connection_to_an_engine(own_server, dripping, vera, engine):
    address = own_server.address
    with connect(address, request(path(dripping, "?follow=true"), vera)) as raw:
        assert status_of(raw) == 200
        eventually(lambda: engine.reading == 1)
        assert ask(address, path(dripping, "?limit=1"), vera).body == b".\n"
        assert talks_to(psutil.Process(), engine.server_port)  # the worker's threads are here
        web = psutil.Process(own_server.process.pid)
        for process in (web, *web.children(recursive=True)):
            assert not talks_to(process, engine.server_port)


def status_of(raw) -> int:
    return int(raw.recv(65536).split()[1])


def test_16_reads_of_a_dripping_log_stop_no_other_user(server, dripping, vera, sam, engine):
    with ThreadPoolExecutor(16) as readers:
        reads = [readers.submit(ask, server, path(dripping), vera) for _ in range(16)]
        eventually(lambda: sum(read.done() for read in reads) == 12)
        for _ in range(5):
            assert_quick(server, sam)
        began = time.monotonic()
        answers = [read.result() for read in reads]
    assert time.monotonic() - began < logs.READ_S + 10
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 12
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert all(answer.headers["X-Request-ID"] for answer in answers)
    cut = [answer for answer in answers if answer.status == 200]
    assert len(cut) == 4
    assert all(answer.body.startswith(b".\n.\n") for answer in cut)
    eventually(lambda: engine.reading == 0)
    assert_quick(server, vera)


def test_an_endpoint_that_hangs_is_answered_with_503(server, dripping, vera, sam, engine):
    engine.hang_s = 60
    with ThreadPoolExecutor(4) as readers:
        queries = ("", "?follow=true", "?tail=1")
        reads = [readers.submit(ask, server, path(dripping, each), vera) for each in queries]
        time.sleep(1)
        assert_quick(server, sam)
        answers = [read.result() for read in reads]
    assert {answer.status for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} == {"endpoint_unavailable"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)


def test_followers_of_a_queued_deployment_that_have_left_free_their_slots(
    server, cluster, dev, vera, sam
):
    queued = make(cluster, dev, Status.QUEUED)
    for _ in range(3):
        followers = [connect(server, request(path(queued, "?follow=true"), vera)) for _ in range(8)]
        statuses = sorted(status_of(raw) for raw in followers)  # the headers come at once
        assert statuses == [200] * 4 + [429] * 4
        assert_quick(server, sam)
        assert ask(server, path(queued), vera).status == 200
        for raw in followers:
            raw.close()
        time.sleep(2)


def test_followers_of_a_running_deployment_that_have_left_free_their_slots(
    server, dripping, vera, engine
):
    followers = [connect(server, request(path(dripping, "?follow=true"), vera)) for _ in range(4)]
    assert [status_of(raw) for raw in followers] == [200] * 4
    eventually(lambda: engine.reading == 4)
    assert ask(server, path(dripping, "?follow=true"), vera).status == 429
    for raw in followers:
        raw.close()
    eventually(lambda: engine.reading == 0, within_s=5)
    with connect(server, request(path(dripping, "?follow=true"), vera)) as raw:
        assert status_of(raw) == 200


def remove(vera) -> None:
    Membership.objects.filter(user=vera).delete()


def deactivate(vera) -> None:
    vera.is_active = False
    vera.save(update_fields=["is_active"])


def change_password(vera) -> None:
    vera.set_password("another-horse-battery")
    vera.save(update_fields=["password"])


@pytest.mark.parametrize("lose_access", [remove, deactivate, change_password])
def test_a_stream_ends_when_its_user_may_not_read_any_more(
    server, dripping, cluster, dev, vera, engine, lose_access
):
    queued = make(cluster, dev, Status.QUEUED)
    followed = [
        connect(server, request(path(row, "?follow=true"), vera)) for row in (dripping, queued)
    ]
    assert [status_of(raw) for raw in followed] == [200, 200]
    began = time.monotonic()
    lose_access(vera)
    assert [received(raw)[-5:] for raw in followed] == [b"0\r\n\r\n"] * 2
    assert time.monotonic() - began < limits.ALLOWED_EVERY_S + 5


def test_a_stream_ends_with_its_access_token(server, dripping, vera, monkeypatch):
    short = timedelta(seconds=3)
    monkeypatch.setattr("rest_framework_simplejwt.tokens.AccessToken.lifetime", short)
    began = time.monotonic()
    assert ask(server, path(dripping, "?follow=true"), vera).body.startswith(b".\n")
    assert time.monotonic() - began < 8


def test_a_queued_deployment_is_followed_once_it_runs(server, dripping, vera):
    Deployment.objects.filter(pk=dripping.pk).update(status=Status.QUEUED)
    with connect(server, request(path(dripping, "?follow=true"), vera)) as raw:
        assert status_of(raw) == 200
        Deployment.objects.filter(pk=dripping.pk).update(status=Status.RUNNING)
        assert b".\n" in raw.recv(65536)


def test_an_answer_without_a_line_says_why_in_its_headers(server, dripping, vera, engine):
    engine.drop = b"2026-03-01T09:30:00.000000000Z loss 1\n"
    answer = ask(server, path(dripping, "?until=2026-03-01T09:29:59Z"), vera)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["X-Logs-Missing"] == "nothing_selected"
    assert "X-Logs-Missing" not in ask(server, path(dripping, "?limit=1"), vera).headers


def test_a_follower_that_does_not_read_is_disconnected(server, dripping, vera, engine):
    engine.drip_every_s, engine.drop = 0.0, b"." * 60_000
    with connect(server, request(path(dripping, "?follow=true"), vera)):
        eventually(lambda: engine.reading == 1)
        eventually(lambda: engine.reading == 0, within_s=limits.UNREAD_S + 30)


def test_streams_end_with_the_server(own_server, dripping, vera):
    raw = connect(own_server.address, request(path(dripping, "?follow=true"), vera))
    assert status_of(raw) == 200
    began = time.monotonic()
    own_server.process.terminate()
    assert received(raw)[-5:] == b"0\r\n\r\n"
    assert own_server.process.wait(10) == 0
    assert time.monotonic() - began < 8
