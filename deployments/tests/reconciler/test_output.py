"""GET /api/deployments/{id}/logs: what a replica wrote, while it is there and afterwards."""

import threading
import time

import pytest

from clusters.models import Node
from deployments import logs
from deployments.models import Deployment, DeploymentLog, Status
from deployments.runtimes.base import RuntimeUnavailable
from deployments.tests.reconciler.conftest import Site
from deployments.tests.workloads import make

pytestmark = pytest.mark.django_db


def path(row, query: str = "") -> str:
    return f"/api/deployments/{row.pk}/logs{query}"


def text(answer) -> str:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    return answer.getvalue().decode()


@pytest.fixture
def chatty(site: Site, a):
    site.look()
    row = site.submit("chatty", replicas=2)
    site.settle()
    assert site.status(row) == "RUNNING"
    return row


@pytest.mark.parametrize(
    ("who", "status"), [("vera", 200), ("dev", 200), ("ada", 200), ("sam", 404), (None, 401)]
)
def test_who_may(api, anyone, request, chatty, who, status):
    client = api(request.getfixturevalue(who)) if who else anyone
    answer = client.get(path(chatty))
    assert answer.status_code == status
    if status != 200:
        assert b"two" not in answer.getvalue()


def test_what_it_has_written_so_far(api, vera, chatty):
    assert text(api(vera).get(path(chatty))) == "one\ntwo\nthree\n"


def test_some_lines_from_the_end(api, vera, chatty):
    assert text(api(vera).get(path(chatty, "?tail=2"))) == "two\nthree\n"
    assert text(api(vera).get(path(chatty, "?tail=0"))) == ""


def test_what_came_since(api, vera, chatty, site, a):
    at = site.fresh(chatty).admitted_at.isoformat().replace("+00:00", "Z")
    assert text(api(vera).get(path(chatty, f"?since={at}"))) != ""
    assert text(api(vera).get(path(chatty, "?since=2999-01-01T00:00:00Z"))) == ""


def test_another_replica(api, vera, chatty, site, a):
    site.twin(a).write(site.key(chatty, 1), b"I am the second\n")
    assert text(api(vera).get(path(chatty, "?replica=1&tail=1"))) == "I am the second\n"


def test_it_is_followed_until_it_ends(api, vera, chatty, site, a):
    def go_on() -> None:
        time.sleep(0.2)
        site.twin(a).write(key, b"four\n")
        site.twin(a).finish(key, 0)

    key = site.key(chatty)
    threading.Thread(target=go_on).start()
    assert text(api(vera).get(path(chatty, "?follow=true"))) == "one\ntwo\nthree\nfour\n"


def test_what_was_kept_after_the_end(api, vera, chatty, site, a):
    for replica in (0, 1):
        site.twin(a).finish(site.key(chatty, replica), 0)
    site.look()
    assert site.status(chatty) == "COMPLETED"
    assert site.seen() == set()
    assert text(api(vera).get(path(chatty))) == "one\ntwo\nthree\n"
    assert text(api(vera).get(path(chatty, "?tail=1&follow=true"))) == "three\n"


def test_an_earlier_attempt(api, vera, site, a):
    site.look()
    row = site.submit("exit:1", max_retries=1)
    site.settle()
    DeploymentLog.objects.filter(deployment=row, attempt=1).update(output=b"first try\n")
    site.end_pauses()
    site.settle()
    assert text(api(vera).get(path(row, "?attempt=1"))) == "first try\n"
    assert text(api(vera).get(path(row))) == ""


def test_only_the_end_of_much_is_kept(site, a):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).write(site.key(row), b"x" * 300_000 + b"\nlast\n")
    site.twin(a).finish(site.key(row), 0)
    site.look()
    kept = bytes(DeploymentLog.objects.get(deployment=row).output)
    assert len(kept) == 256 * 1024
    assert kept.endswith(b"\nlast\n")


def test_output_is_there_as_soon_as_the_end_is_told(site: Site, a: Node, monkeypatch):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).write(site.key(row), b"the last line")
    site.twin(a).finish(site.key(row), 0)

    def not_yet(_: object) -> None:
        raise RuntimeUnavailable("busy")

    monkeypatch.setattr(site.twin(a), "remove", not_yet)
    site.look()
    assert site.status(row) == "COMPLETED"
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"the last line"


def test_outputs_of_the_last_attempts_are_kept(site: Site, a: Node):
    site.look()
    row = site.submit("exit:1", kind="service")
    for _ in range(22):
        site.cycle()
        site.look()
        site.end_pauses()
    kept = DeploymentLog.objects.filter(deployment=row).values_list("attempt", flat=True)
    assert sorted(kept) == list(range(3, 23))


def test_nothing_of_what_waits_or_is_simulated(api, vera, dev, cluster):
    for status in (Status.QUEUED, Status.RUNNING, Status.COMPLETED):
        assert text(api(vera).get(path(make(cluster, dev, status)))) == ""


@pytest.mark.parametrize("query", ["", "?follow=true", "?follow=true&attempt=1"])
@pytest.mark.parametrize("status", ["STARTING", "RUNNING"])
def test_one_whose_node_is_away_is_told_so(api, vera, chatty, site, a, monkeypatch, status, query):
    monkeypatch.setattr(logs, "_followers", threading.BoundedSemaphore(1))
    Deployment.objects.filter(pk=chatty.pk).update(status=status)
    site.away(a)
    for _ in range(2):  # nobody's place is kept
        answer = api(vera).get(path(chatty, query))
        assert answer.status_code == 503
        assert answer.json()["code"] == "endpoint_unavailable"
        assert "a does not answer" in answer.json()["detail"]


def test_one_whose_node_goes_away_is_followed_until_then(api, vera, chatty, site, a):
    answer = api(vera).get(path(chatty, "?follow=true"))
    site.away(a)
    assert text(answer) == "one\ntwo\nthree\n"


def test_one_that_starts_is_followed_once_it_runs(api, vera, chatty, site, a, monkeypatch):
    def go_on() -> None:
        Deployment.objects.filter(pk=chatty.pk).update(status="RUNNING")
        site.twin(a).finish(site.key(chatty), 0)

    monkeypatch.setattr(logs, "_give_back_connection", go_on)
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
    ],
)
def test_what_makes_no_sense_is_named(api, vera, chatty, query, field):
    answer = api(vera).get(path(chatty, query))
    assert answer.status_code == 400
    assert field in answer.json()["fields"]


def test_too_many_followers_are_asked_to_come_back(api, vera, chatty, site, a, monkeypatch):
    monkeypatch.setattr(logs, "_followers", threading.BoundedSemaphore(1))
    first = api(vera).get(path(chatty, "?follow=true"))
    second = api(vera).get(path(chatty, "?follow=true"))
    assert (second.status_code, second["Retry-After"]) == (429, "11")
    site.twin(a).finish(site.key(chatty), 0)
    assert text(first) == "one\ntwo\nthree\n"
    assert text(api(vera).get(path(chatty, "?follow=true"))) == "one\ntwo\nthree\n"
