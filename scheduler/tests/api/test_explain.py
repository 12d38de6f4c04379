"""GET /api/deployments/{id}/explain: owner, teammate, stranger; and each thing that would help."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment
from deployments.tests.interleaving import after_statement
from organizations.models import Organization
from organizations.tests.people import client_for
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


NO_END: dict[str, Any] = {
    "at": None,
    "end_of": None,
    "end_of_name": None,
    "any_one_of": [],
    "any_one_of_names": [],
}


def explained(user: User, deployment: Deployment) -> dict[str, Any]:
    answer = client_for(user).get(f"/api/deployments/{deployment.pk}/explain")
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_members_see_it_and_strangers_find_nothing(
    submit: Submit, ada: User, vera: User, sam: User
) -> None:
    row = submit("LOW", gpu=1)
    for member in (ada, vera):
        assert explained(member, row)["id"] == str(row.pk)
    path = f"/api/deployments/{row.pk}/explain"
    assert client_for(sam).get(path).status_code == 404
    assert client_for(None).get(path).status_code == 401


def test_a_waiting_deployment_is_explained_by_what_runs_and_by_what_would_help(
    cluster: Cluster, org: Organization, submit: Submit, vera: User
) -> None:
    limited = submit("LOW", gpu=4, cpu_milli=1500, max_runtime_s=600, name="limited")
    endless = submit("LOW", gpu=2, name="endless")
    run_cycle(cluster)
    other = Cluster.objects.create(
        organization=org, name="east", total_cpu_milli=9000, total_ram_mib=9000, total_gpu=4
    )
    waiting = submit("LOW", gpu=4)
    run_cycle(cluster)
    found = explained(vera, waiting)
    assert found["reason"]["code"] == "INSUFFICIENT_CAPACITY"
    assert found["queue_position"] == 1
    assert [each["name"] for each in found["allocated_to"]] == ["limited", "endless"]
    assert found["allocated_to"][0]["allocated"] == {
        "cpu": 1.5,
        "ram": limited.ram_mib,
        "gpu": 4,
    }
    help_ = found["starts_now_with"]
    assert help_["nothing_changed"] is False
    assert help_["less"] == [{"field": "required_gpu", "at_most": 2}]
    assert help_["priority"]["priority"] == "HIGH"
    assert [each["deployment_id"] for each in help_["priority"]["evicts"]] == [str(endless.pk)]
    assert [each["cluster_id"] for each in help_["another_cluster"]] == [str(other.pk)]
    assert help_["after"]["end_of"] == str(limited.pk)
    limited.refresh_from_db()
    assert limited.started_at is not None
    assert parse_datetime(help_["after"]["at"]) == limited.started_at + timedelta(seconds=600)
    assert set(help_["after"]["any_one_of"]) == {str(limited.pk), str(endless.pk)}


def test_each_piece_of_advice_is_true(cluster: Cluster, submit: Submit, dev: User) -> None:
    """A request changed as the answer says starts."""
    submit("LOW", gpu=5)
    run_cycle(cluster)
    waiting = submit("LOW", gpu=8)
    run_cycle(cluster)
    most = explained(dev, waiting)["starts_now_with"]["less"][0]["at_most"]
    client = client_for(dev)
    client.patch(f"/api/deployments/{waiting.pk}", {"required_gpu": most + 1})
    run_cycle(cluster)
    assert client.get(f"/api/deployments/{waiting.pk}").json()["status"] == "QUEUED"
    client.patch(f"/api/deployments/{waiting.pk}", {"required_gpu": most})
    run_cycle(cluster)
    assert client.get(f"/api/deployments/{waiting.pk}").json()["status"] == "RUNNING"


def test_what_can_never_fit_is_helped_by_asking_for_less_alone(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    waiting = submit("HIGH", gpu=9)
    run_cycle(cluster)
    help_ = explained(dev, waiting)["starts_now_with"]
    assert help_["less"] == [{"field": "required_gpu", "at_most": 8}]
    assert help_["priority"] is None
    assert help_["after"] == NO_END


def test_what_runs_or_has_ended_has_nothing_to_be_helped_with(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    row = submit("LOW", gpu=1)
    run_cycle(cluster)
    found = explained(dev, row)
    assert (found["status"], found["starts_now_with"], found["allocated_to"]) == (
        "RUNNING",
        None,
        [],
    )


def test_the_number_of_queries_does_not_follow_what_runs_or_waits(
    cluster: Cluster, submit: Submit, dev: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(8):
        submit("LOW", gpu=1)
    run_cycle(cluster)
    for _ in range(5):
        waiting = submit("LOW", gpu=1)
    run_cycle(cluster)
    # user, deployment, reasons, classes; the deployment again;
    # snapshot: cluster, classes, nodes, allocations, heads, starved, members, running; the line;
    # for the forecast: line, run times, outcomes, history;
    # other clusters, names of what runs; and the savepoint's two
    with django_assert_num_queries(22):
        explained(dev, waiting)


def test_those_ahead_of_it_are_counted_when_ends_are_asked_about(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    """Of equals that wait, the first takes what the first end frees, the second the second's."""
    for n in range(8):
        submit("LOW", gpu=1, max_runtime_s=1000 * (n + 1))
    run_cycle(cluster)
    waiting = [submit("LOW", gpu=1) for _ in range(3)]
    run_cycle(cluster)
    moments = [explained(dev, each)["starts_now_with"]["after"]["at"] for each in waiting]
    started = Deployment.objects.filter(status="RUNNING").order_by("max_runtime_s")
    ends = [
        row.started_at + timedelta(seconds=row.max_runtime_s)
        for row in started[:3]
        if row.started_at and row.max_runtime_s
    ]
    assert [parse_datetime(each) for each in moments] == ends


def test_what_it_says_starts_now_is_what_the_cycle_starts(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    """A short request may pass a reservation that waits for a known end."""
    submit("LOW", gpu=6, max_runtime_s=3600)
    run_cycle(cluster)
    old = submit("LOW", gpu=8)
    Deployment.objects.filter(pk=old.pk).update(queued_at=old.created_at - timedelta(hours=2))
    short = submit("LOW", gpu=1, max_runtime_s=60)
    says = explained(dev, short)["starts_now_with"]["nothing_changed"]
    run_cycle(cluster)
    short.refresh_from_db()
    assert says is True
    assert short.status == "RUNNING"


def test_a_cluster_deleted_meanwhile_is_not_found(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    def delete() -> None:
        Deployment.objects.all().delete()
        cluster.delete()

    row = submit("LOW", gpu=1)
    with after_statement('FROM "deployments_deployment"', delete):
        answer = client_for(dev).get(f"/api/deployments/{row.pk}/explain")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
