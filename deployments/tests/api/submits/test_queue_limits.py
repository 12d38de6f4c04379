"""No more deployments are queued in a cluster than operators allow, in all and of one user."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status
from deployments.services.drafting import queue_limits
from deployments.tests.workloads import body, make
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.world import fingerprint
from organizations.models import Organization, Role
from organizations.tests.people import JsonClient, all_at_once, client_for, make_member

pytestmark = pytest.mark.django_db
SUBMIT, BULK = "/api/deployments", "/api/deployments/bulk"
Api = Callable[[User], JsonClient]


@pytest.fixture
def few(settings: Settings) -> None:
    """Five in a cluster, three of one user."""
    settings.MAX_QUEUED_PER_CLUSTER, settings.MAX_QUEUED_PER_USER = 5, 3


@pytest.fixture
def other(org: Organization) -> User:
    return make_member(org, "other", Role.DEVELOPER)


def submit(user: User, cluster: Cluster, **more: Any) -> Any:
    return client_for(user).post(SUBMIT, body(cluster, **more))


def bulk(user: User, *clusters: Cluster) -> Any:
    given = [body(cluster, name=f"n{number}") for number, cluster in enumerate(clusters)]
    return client_for(user).post(BULK, {"deployments": given})


def test_one_more_than_a_user_may_queue_is_refused_and_changes_nothing(
    few: None, cluster: Cluster, dev: User, other: User
) -> None:
    for _ in range(3):
        assert submit(dev, cluster).status_code == 201
    before = fingerprint()
    answer = submit(dev, cluster)
    assert answer.status_code == 409
    found = error_body(answer)
    assert found["code"] == "queue_full"
    assert found["detail"].startswith(
        f"At most 3 deployments may be queued of yours in the cluster '{cluster.name}'; 3 are"
    )
    assert fingerprint() == before
    assert submit(other, cluster).status_code == 201


def test_one_more_than_a_cluster_takes_is_refused_whoever_submits(
    few: None, cluster: Cluster, dev: User, other: User, ada: User
) -> None:
    for user in (dev, dev, dev, other, other):
        assert submit(user, cluster).status_code == 201
    answer = submit(ada, cluster)
    assert (answer.status_code, answer.json()["code"]) == (409, "queue_full")
    assert "At most 5 deployments may be queued in the cluster" in answer.json()["detail"]


def test_a_bulk_is_queued_whole_or_not_at_all(
    few: None, cluster: Cluster, org: Organization, dev: User
) -> None:
    second = Cluster.objects.create(
        organization=org, name="second", total_cpu_milli=1000, total_ram_mib=1000, total_gpu=1
    )
    assert bulk(dev, cluster, cluster, second).status_code == 201
    before = fingerprint()
    answer = bulk(dev, second, cluster, cluster)
    assert (answer.status_code, answer.json()["code"]) == (409, "queue_full")
    assert "; 2 are" in answer.json()["detail"]
    assert fingerprint() == before
    assert bulk(dev, cluster, second, second).status_code == 201


def test_operators_set_the_limits_of_a_cluster(few: None, cluster: Cluster, dev: User) -> None:
    assert submit(dev, cluster).status_code == 201
    Cluster.objects.update(max_queued=1)
    assert submit(dev, cluster).status_code == 409
    Cluster.objects.update(max_queued=10, max_queued_per_user=2)
    assert submit(dev, cluster).status_code == 201
    assert submit(dev, cluster).status_code == 409
    Cluster.objects.update(max_queued_per_user=None)
    assert submit(dev, cluster).status_code == 201
    assert submit(dev, cluster).status_code == 409


def test_no_member_sets_them(cluster: Cluster, ada: User) -> None:
    answer = client_for(ada).patch(f"/api/clusters/{cluster.pk}", {"max_queued": 10**6})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["max_queued"]


def test_there_is_room_again_at_once_after_a_stop(few: None, cluster: Cluster, dev: User) -> None:
    ids = [submit(dev, cluster).json()["id"] for _ in range(3)]
    assert submit(dev, cluster).status_code == 409
    client_for(dev).post(f"{SUBMIT}/{ids[0]}/stop")
    assert submit(dev, cluster).status_code == 201
    assert submit(dev, cluster).status_code == 409


def test_what_waits_for_dependencies_counts_and_what_runs_or_has_ended_does_not(
    few: None, cluster: Cluster, dev: User
) -> None:
    for status in (Status.STARTING, Status.RUNNING, Status.COMPLETED, Status.FAILED):
        make(cluster, dev, status, gpu=0)
    needed = submit(dev, cluster).json()["id"]
    for _ in range(2):
        assert submit(dev, cluster, depends_on=[needed]).status_code == 201
    assert submit(dev, cluster).status_code == 409


def test_a_repeated_submit_is_answered_though_the_queue_is_full(
    few: None, cluster: Cluster, dev: User
) -> None:
    client, headers = client_for(dev), {"Idempotency-Key": "k"}
    first = client.post(SUBMIT, body(cluster), headers=headers)
    submit(dev, cluster)
    submit(dev, cluster)
    again = client.post(SUBMIT, body(cluster), headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


def test_the_queue_is_not_counted_for_every_submit(
    cluster: Cluster, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert submit(dev, cluster).status_code == 201
        return sum("FILTER (WHERE queued" in query["sql"] for query in asked)

    assert [counts() for _ in range(4)] == [1, 0, 0, 0]
    monkeypatch.setattr(queue_limits, "COUNT_EVERY_S", 0)
    assert counts() == 1


def test_what_came_back_into_the_queue_counts_at_the_next_count(
    few: None, cluster: Cluster, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert submit(dev, cluster).status_code == 201
    for _ in range(3):  # evicted, as it were
        make(cluster, dev)
    monkeypatch.setattr(queue_limits, "COUNT_EVERY_S", 0)
    assert submit(dev, cluster).status_code == 409


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("every_s", [0, 10])
def test_submits_at_the_same_time_do_not_exceed_a_limit_together(
    settings: Settings,
    cluster: Cluster,
    dev: User,
    other: User,
    monkeypatch: pytest.MonkeyPatch,
    every_s: int,
) -> None:
    settings.MAX_QUEUED_PER_CLUSTER, settings.MAX_QUEUED_PER_USER = 7, 4
    monkeypatch.setattr(queue_limits, "COUNT_EVERY_S", every_s)
    users = [dev, other] * 8
    answers = all_at_once(*[lambda user=user: submit(user, cluster).status_code for user in users])
    assert sorted(answers) == [201] * 7 + [409] * 9
    assert Deployment.objects.count() == 7
    assert Deployment.objects.filter(owner=dev).count() in (3, 4)
