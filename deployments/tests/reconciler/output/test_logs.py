"""GET /api/deployments/{id}/logs: the log of a replica, while its container exists and later."""

import threading
import time

import pytest

from clusters.models import Node
from deployments.logs import FOLLOWERS, READERS
from deployments.models import Deployment, DeploymentLog
from deployments.output.at_endpoint import CUT
from deployments.runtimes.base import RuntimeUnavailable
from deployments.tests.reconciler.testbed import Testbed

pytestmark = pytest.mark.django_db


def path(row, query: str = "") -> str:
    return f"/api/deployments/{row.pk}/logs{query}"


def text(answer) -> str:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    return answer.getvalue().decode()


@pytest.fixture
def chatty(testbed: Testbed, a):
    testbed.reconcile()
    row = testbed.submit("chatty", replicas=2)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    return row


@pytest.mark.parametrize(
    ("person", "status"), [("vera", 200), ("dev", 200), ("ada", 200), ("sam", 404), (None, 401)]
)
def test_members_may_read_logs(api, anyone, request, chatty, person, status):
    client = api(request.getfixturevalue(person)) if person else anyone
    answer = client.get(path(chatty))
    assert answer.status_code == status
    assert (b"two" in answer.getvalue()) == (status == 200)


def test_the_log_so_far_is_returned(api, vera, chatty):
    assert text(api(vera).get(path(chatty))) == "one\ntwo\nthree\n"


def test_tail_returns_lines_from_the_end(api, vera, chatty):
    assert text(api(vera).get(path(chatty, "?tail=2"))) == "two\nthree\n"
    assert text(api(vera).get(path(chatty, "?tail=0"))) == ""


def test_since_returns_what_was_written_later(api, vera, chatty, testbed, a):
    at = testbed.fresh(chatty).admitted_at.isoformat().replace("+00:00", "Z")
    assert text(api(vera).get(path(chatty, f"?since={at}"))) != ""
    assert text(api(vera).get(path(chatty, "?since=2999-01-01T00:00:00Z"))) == ""


def test_the_log_of_another_replica_is_returned(api, vera, chatty, testbed, a):
    testbed.runtime_of(a).write(testbed.key(chatty, 1), b"I am the second\n")
    assert text(api(vera).get(path(chatty, "?replica=1&tail=1"))) == "I am the second\n"


def test_a_log_is_followed_until_the_deployment_ends(api, vera, chatty, testbed, a):
    def go_on() -> None:
        time.sleep(0.2)
        testbed.runtime_of(a).write(key, b"four\n")
        testbed.runtime_of(a).finish(key, 0)

    key = testbed.key(chatty)
    threading.Thread(target=go_on).start()
    assert text(api(vera).get(path(chatty, "?follow=true"))) == "one\ntwo\nthree\nfour\n"


def test_the_kept_log_is_returned_after_the_end(api, vera, chatty, testbed, a):
    for replica in (0, 1):
        testbed.runtime_of(a).finish(testbed.key(chatty, replica), 0)
    testbed.reconcile()
    assert testbed.status(chatty) == "COMPLETED"
    assert testbed.replicas() == set()
    assert text(api(vera).get(path(chatty))) == "one\ntwo\nthree\n"
    assert text(api(vera).get(path(chatty, "?tail=1&follow=true"))) == "three\n"


def test_the_log_of_an_earlier_attempt_is_returned(api, vera, testbed, a):
    testbed.reconcile()
    row = testbed.submit("exit:1", max_retries=1)
    testbed.settle()
    DeploymentLog.objects.filter(deployment=row, attempt=1).update(output=b"first try\n")
    testbed.end_retry_pauses()
    testbed.settle()
    assert text(api(vera).get(path(row, "?attempt=1"))) == "first try\n"
    assert text(api(vera).get(path(row))) == ""


def test_only_the_end_of_a_long_log_is_kept(testbed, a):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.runtime_of(a).write(testbed.key(row), b"x" * 300_000 + b"\nlast\n")
    testbed.runtime_of(a).finish(testbed.key(row), 0)
    testbed.reconcile()
    kept = bytes(DeploymentLog.objects.get(deployment=row).output)
    assert len(kept) == 256 * 1024
    assert kept.endswith(b"\nlast\n")


def test_the_log_is_kept_before_the_deployment_has_completed(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.runtime_of(a).write(testbed.key(row), b"the last line")
    testbed.runtime_of(a).finish(testbed.key(row), 0)

    def remove(*_: object) -> None:
        raise RuntimeUnavailable("busy")

    testbed.intercept(a, "remove", remove)
    testbed.reconcile()
    assert testbed.status(row) == "COMPLETED"
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"the last line"


def test_logs_of_the_last_twenty_attempts_are_kept(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("exit:1", kind="service")
    for _ in range(22):
        testbed.cycle()
        testbed.reconcile()
        testbed.end_retry_pauses()
    kept = DeploymentLog.objects.filter(deployment=row).values_list("attempt", flat=True)
    assert sorted(kept) == list(range(3, 23))


@pytest.mark.parametrize("query", ["", "?follow=true", "?follow=true&attempt=1"])
@pytest.mark.parametrize("status", ["STARTING", "RUNNING"])
def test_a_log_request_gets_503_while_the_node_is_away(
    api, vera, chatty, testbed, a, monkeypatch, status, query
):
    for slots in (FOLLOWERS, READERS):
        monkeypatch.setitem(slots.limits, "user", 1)
    Deployment.objects.filter(pk=chatty.pk).update(status=status)
    testbed.disconnect(a)
    for _ in range(2):  # the place of a reader that failed is free again
        answer = api(vera).get(path(chatty, query))
        assert answer.status_code == 503
        assert answer.json()["code"] == "endpoint_unavailable"
        assert "a does not answer" in answer.json()["detail"]


def test_a_log_is_followed_until_the_node_goes_away(api, vera, chatty, testbed, a):
    answer = api(vera).get(path(chatty, "?follow=true"))
    testbed.disconnect(a)
    assert text(answer) == "one\ntwo\nthree\n"


def test_a_starting_deployment_is_followed_once_it_runs(api, vera, chatty, testbed, a, monkeypatch):
    def run_and_finish() -> None:
        Deployment.objects.filter(pk=chatty.pk).update(status="RUNNING")
        testbed.runtime_of(a).finish(testbed.key(chatty), 0)

    monkeypatch.setattr("mlops_platform.api.answers.streams.time.sleep", lambda _: run_and_finish())
    Deployment.objects.filter(pk=chatty.pk).update(status="STARTING")
    assert text(api(vera).get(path(chatty, "?follow=true"))) == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?tail=-1", "tail"),
        ("?tail=many", "tail"),
        ("?tail=1000000", "tail"),
        ("?replica=2", "replica"),
        ("?replica=x", "replica"),
        ("?attempt=0", "attempt"),
        ("?attempt=9", "attempt"),
        ("?since=yesterday", "since"),
        ("?since=2026-03-01T09:30:00", "since"),
        ("?follow=maybe", "follow"),
        ("?lines=3", "lines"),
        ("?tail=1&tail=2", "tail"),
        ("?skip=-1", "skip"),
        ("?limit=0", "limit"),
        ("?limit=100001", "limit"),
        ("?tail=1&limit=1", "tail"),
        ("?tail=1&skip=1", "tail"),
        ("?timestamps=1", "timestamps"),
        ("?grep=", "grep"),
        ("?grep=" + "x" * 257, "grep"),
        ("?grep=" + "%E2%82%AC" * 86, "grep"),
        ("?grep=a%0Ab", "grep"),
        ("?grep=a%00b", "grep"),
        ("?until=tomorrow", "until"),
        ("?until=2026-03-01T09:30:00", "until"),
        ("?until=0001-01-01T00:00:00%2B14:00", "until"),
        ("?until=2026-03-01T09:30:00Z&follow=true", "until"),
        ("?until=2026-03-01T09:30:00Z&since=2026-03-01T09:30:01Z", "until"),
    ],
)
def test_an_invalid_parameter_is_named(api, vera, chatty, query, field):
    answer = api(vera).get(path(chatty, query))
    assert answer.status_code == 400
    assert field in answer.json()["fields"]


@pytest.mark.parametrize("kind", ["user", "organization", "endpoint", "all"])
@pytest.mark.parametrize(("query", "slots"), [("?follow=true", FOLLOWERS), ("", READERS)])
def test_one_reader_too_many_gets_429_with_retry_after(
    api, vera, chatty, testbed, a, monkeypatch, kind, query, slots
):
    monkeypatch.setitem(slots.limits, kind, 1)
    first = api(vera).get(path(chatty, query))
    second = api(vera).get(path(chatty, query))
    assert (second.status_code, second["Retry-After"]) == (429, "11")
    testbed.runtime_of(a).finish(testbed.key(chatty), 0)
    assert text(first) == "one\ntwo\nthree\n"
    assert text(api(vera).get(path(chatty, query))) == "one\ntwo\nthree\n"


def test_a_log_that_drips_is_cut(api, vera, chatty, testbed, a, monkeypatch):
    def drip(*_: object, **__: object):
        while True:
            time.sleep(0.01)
            yield b"."

    monkeypatch.setattr("deployments.output.at_endpoint.READ_S", 1.5)
    testbed.intercept(a, "logs", drip)
    began = time.monotonic()
    assert text(api(vera).get(path(chatty))).rstrip("\n").endswith("ask for a tail]")
    assert time.monotonic() - began < 5


def test_a_long_log_is_cut(api, vera, chatty, testbed, a, monkeypatch):
    monkeypatch.setattr("deployments.output.at_endpoint.READ_BYTES", 5)
    assert text(api(vera).get(path(chatty))) == "one\nt" + CUT.decode()
