"""An answer without a byte of output says why, by a code for programs, in a sentence for people."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, Node
from deployments.models import Deployment, DeploymentLog, Status
from deployments.output.missing import KEPT_ATTEMPTS
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.workloads import make

pytestmark = pytest.mark.django_db
Api = Callable[[User], Client]
Ask = Callable[..., tuple[str, str]]


@pytest.fixture
def why(api: Api, vera: User) -> Ask:
    """The code and the sentence of an empty answer; ("", text) where there is output."""

    def ask(row: Deployment, query: str = "") -> tuple[str, str]:
        answer: Any = api(vera).get(f"/api/deployments/{row.pk}/logs{query}")
        assert answer.status_code == 200
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        text = answer.getvalue().decode()
        if "X-Logs-Missing" not in answer:
            return "", text
        assert text == ""
        return answer["X-Logs-Missing"], answer["X-Logs-Missing-Detail"]

    return ask


@pytest.fixture
def runs(testbed: Testbed, a: Node) -> Deployment:
    """It has two replicas, and has written nothing yet."""
    testbed.reconcile()
    row = testbed.submit(replicas=2)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    return row


@pytest.mark.parametrize("query", ["", "?follow=true", "?tail=5&replica=0"])
@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.COMPLETED])
def test_what_is_simulated_says_that_no_container_runs(
    cluster: Cluster, dev: User, why: Ask, status: Status, query: str
) -> None:
    code, sentence = why(make(cluster, dev, status), query)
    assert (code, "no container runs" in sentence) == ("simulated", True)


def test_what_waits_says_so_and_what_is_stopped_before_its_start_too(
    testbed: Testbed, why: Ask
) -> None:
    row = testbed.submit()
    assert why(row) == (
        "not_started",
        "It waits for its start; follow=true waits with it.",
    )
    Deployment.objects.filter(pk=row.pk).update(status="STOPPED", finished_at=timezone.now())
    for query in ("", "?follow=true"):
        assert why(row, query) == ("not_started", "It ended before it was started.")


def test_a_log_followed_from_before_a_start_that_never_comes_ends_with_a_sentence(
    testbed: Testbed, why: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = testbed.submit()

    def stop(_: float) -> None:
        Deployment.objects.filter(pk=row.pk).update(status="STOPPED", finished_at=timezone.now())

    monkeypatch.setattr("mlops_platform.api.answers.streams.time.sleep", stop)
    assert why(row, "?follow=true") == ("", "[none: It ended before it was started.]\n")


def test_what_runs_says_that_nothing_is_written_yet_until_something_is(
    testbed: Testbed, a: Node, runs: Deployment, why: Ask
) -> None:
    for query in ("", "?replica=1", "?attempt=1", "?tail=3"):
        assert why(runs, query) == ("nothing_yet", "It runs, and has written nothing yet.")
    testbed.runtime_of(a).write(testbed.key(runs), b"loss 1\n")
    assert why(runs) == ("", "loss 1\n")
    for query in ("?grep=accuracy", "?since=2999-01-01T00:00:00Z", "?tail=0", "?skip=9"):
        assert why(runs, query)[0] == "nothing_selected"
    assert why(runs, "?replica=1")[0] == "nothing_yet"


def test_what_has_ended_says_whether_it_wrote_anything(
    testbed: Testbed, a: Node, runs: Deployment, why: Ask
) -> None:
    runtime = testbed.runtime_of(a)
    runtime.write(testbed.key(runs, 1), b"loss 1\n")
    for replica in (0, 1):
        runtime.finish(testbed.key(runs, replica), 0)
    testbed.reconcile()
    assert testbed.status(runs) == "COMPLETED"
    for query in ("", "?follow=true", "?grep=loss"):
        assert why(runs, query) == ("wrote_nothing", "It wrote nothing.")
    assert why(runs, "?replica=1") == ("", "loss 1\n")
    assert why(runs, "?replica=1&grep=accuracy")[0] == "nothing_selected"


@pytest.mark.parametrize(
    ("columns", "query", "code", "part"),
    [
        ({"days": 31, "attempt": 1}, "", "removed", "30 days after its end"),
        ({"days": 1, "attempt": 25}, "?attempt=5", "removed", f"last {KEPT_ATTEMPTS} attempts"),
        ({"days": 1, "attempt": 25}, "?attempt=6", "not_kept", "attempt 6"),
        ({"days": 1, "attempt": 1}, "", "not_kept", "1024 MiB"),
        (
            {"days": 1, "attempt": 2, "started_at": None},
            "",
            "not_started",
            "Attempt 2 ended before its container ran.",
        ),
        ({"days": 1, "attempt": 2, "started_at": None}, "?attempt=1", "not_kept", "attempt 1"),
    ],
)
def test_output_that_is_gone_says_where_it_went(
    testbed: Testbed, why: Ask, columns: dict[str, Any], query: str, code: str, part: str
) -> None:
    row = testbed.submit()
    ended = timezone.now() - timedelta(days=columns.pop("days"))
    given = {"started_at": ended, **columns}
    Deployment.objects.filter(pk=row.pk).update(status="FAILED", finished_at=ended, **given)
    found, sentence = why(row, query)
    assert (found, part in sentence) == (code, True), sentence


def test_what_waits_again_says_that_its_last_attempt_left_nothing(
    testbed: Testbed, why: Ask
) -> None:
    row = testbed.submit()
    Deployment.objects.filter(pk=row.pk).update(attempt=1)
    assert why(row)[0] == "not_kept"
    DeploymentLog.objects.create(deployment=row, attempt=1, replica=0, output=b"")
    assert why(row)[0] == "wrote_nothing"


def test_a_node_that_is_not_attached_any_more_is_named_as_the_cause(
    testbed: Testbed, a: Node, runs: Deployment, why: Ask
) -> None:
    Node.objects.filter(pk=a.pk).update(endpoint=None)
    assert why(runs)[0] == "node_gone"


def test_a_node_that_is_away_has_the_output_and_is_no_empty_answer(
    testbed: Testbed, a: Node, runs: Deployment, api: Api, vera: User
) -> None:
    testbed.disconnect(a)
    answer = api(vera).get(f"/api/deployments/{runs.pk}/logs")
    assert (answer.status_code, answer.json()["code"]) == (503, "endpoint_unavailable")
    assert "X-Logs-Missing" not in answer
