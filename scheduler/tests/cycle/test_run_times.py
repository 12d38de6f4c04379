"""Run times with milliseconds, from each way to submit to the end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status
from deployments.tests import clock
from organizations.tests.people import client_for
from scheduler.tests.api.test_quote import QUOTE, SUBMIT, body
from scheduler.tests.conftest import run_cycle

pytestmark = pytest.mark.django_db

Post = Callable[[User, dict[str, Any]], dict[str, Any]]


def one_by_one(user: User, given: dict[str, Any]) -> dict[str, Any]:
    answer = client_for(user).post(SUBMIT, given)
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def in_bulk(user: User, given: dict[str, Any]) -> dict[str, Any]:
    answer = client_for(user).post(f"{SUBMIT}/bulk", {"deployments": [given]})
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = client_for(user).get(f"{SUBMIT}/{answer.json()[0]['id']}").json()
    return found


def as_quoted(user: User, given: dict[str, Any]) -> dict[str, Any]:
    quote = client_for(user).post(QUOTE, given).json()["token"]
    return one_by_one(user, {**given, "quote": quote})


@pytest.mark.parametrize("post", [one_by_one, in_bulk, as_quoted])
@pytest.mark.parametrize(
    ("given_s", "runs_ms"), [(0.25, 250), (0.001, 1), (59.999, 59_999), (5, 5000), (5.0, 5000)]
)
def test_a_deployment_runs_for_as_many_milliseconds_as_it_was_given(
    cluster: Cluster, dev: User, post: Post, given_s: float, runs_ms: int
) -> None:
    shown = post(dev, body(cluster, simulated_runtime_s=given_s))
    assert str(shown["simulated_runtime_s"]) == str(given_s).removesuffix(".0")
    run_cycle(cluster)
    row = Deployment.objects.get()
    assert row.started_at is not None
    runs = timedelta(milliseconds=runs_ms)
    assert (row.status, row.due_at) == (Status.RUNNING, row.started_at + runs)
    assert clock.finish_due(timezone.now() + timedelta(minutes=1)) == 1
    row.refresh_from_db()
    assert (row.status, row.finished_at) == (Status.COMPLETED, row.started_at + runs)


@pytest.mark.parametrize(
    ("simulated_s", "runs_s", "status"),
    [(1.999, 1.999, Status.COMPLETED), (2.001, 2.0, Status.FAILED)],
)
def test_the_limit_counts_against_the_milliseconds(
    cluster: Cluster, dev: User, simulated_s: float, runs_s: float, status: Status
) -> None:
    one_by_one(dev, body(cluster, simulated_runtime_s=simulated_s, max_runtime_s=2))
    run_cycle(cluster)
    assert clock.finish_due(timezone.now() + timedelta(minutes=1)) == 1
    row = Deployment.objects.get()
    assert row.started_at is not None
    assert row.status == status
    assert row.finished_at == row.started_at + timedelta(seconds=runs_s)


def test_a_repeated_submit_is_known_by_its_milliseconds(cluster: Cluster, dev: User) -> None:
    def submit(seconds: float) -> int:
        given = body(cluster, simulated_runtime_s=seconds)
        answer = client_for(dev).post(SUBMIT, given, headers={"Idempotency-Key": "run-1"})
        return answer.status_code

    assert [submit(seconds) for seconds in (5, 5.0, 5.001, 0.005)] == [201, 201, 409, 409]
    assert Deployment.objects.count() == 1


def test_operators_see_the_milliseconds(cluster: Cluster, dev: User, admin_client: Client) -> None:
    shown = one_by_one(dev, body(cluster, simulated_runtime_s=0.25))
    page = admin_client.get(f"/admin/deployments/deployment/{shown['id']}/change/")
    assert '<div class="readonly">0.25</div>' in page.content.decode()
