"""POST /api/deployments/{id}/checkpoint"""

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments.models import Status
from deployments.tests.workloads import make, timeline


def path(deployment):
    return f"/api/deployments/{deployment.pk}/checkpoint"


def reported(deployment):
    deployment.refresh_from_db()
    return deployment.checkpoint_at


def test_now_is_what_nobody_tells(api, dev, cluster):
    deployment = make(cluster, dev, Status.RUNNING)
    before = timezone.now()
    response = api(dev).post(path(deployment))
    assert response.status_code == 200
    assert before <= reported(deployment) <= timezone.now()
    assert response.json()["checkpoint_at"] is not None
    assert timeline(deployment) == [("CHECKPOINTED", "dev")]


def test_a_time_of_its_run(api, dev, cluster):
    deployment = make(cluster, dev, Status.RUNNING)
    at = timezone.now() - timedelta(minutes=5)
    assert api(dev).post(path(deployment), {"at": at.isoformat()}).status_code == 200
    assert reported(deployment) == at


def test_an_older_report_takes_nothing_back(api, dev, cluster):
    deployment = make(cluster, dev, Status.RUNNING)
    newer, older = (timezone.now() - timedelta(minutes=minutes) for minutes in (1, 5))
    for at in (newer, older):
        assert api(dev).post(path(deployment), {"at": at.isoformat()}).status_code == 200
    assert reported(deployment) == newer


@pytest.mark.parametrize("status", [status for status in Status if status != Status.RUNNING])
def test_only_what_runs_can(api, dev, cluster, status):
    deployment = make(cluster, dev, status)
    response = api(dev).post(path(deployment))
    assert (response.status_code, response.json()["code"]) == (409, "not_running")
    assert reported(deployment) is None
    assert timeline(deployment) == []


@pytest.mark.parametrize("offset", [timedelta(minutes=1), -timedelta(hours=2)])
def test_neither_the_future_nor_before_its_start(api, dev, cluster, offset):
    deployment = make(cluster, dev, Status.RUNNING)
    response = api(dev).post(path(deployment), {"at": (timezone.now() + offset).isoformat()})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["at"]
    assert reported(deployment) is None


@pytest.mark.parametrize(
    "given",
    [{"at": "soon"}, {"at": 7}, {"at": True}, {"at": "0001-01-01T00:00:00+14:00"}, {"x": 1}],
)
def test_bad_values_are_named(api, dev, cluster, given):
    deployment = make(cluster, dev, Status.RUNNING)
    response = api(dev).post(path(deployment), given)
    assert response.status_code == 400
    assert list(response.json()["fields"]) == list(given)
    assert reported(deployment) is None


@pytest.mark.parametrize(("person", "status"), [("ada", 200), ("vera", 403), ("sam", 404)])
def test_each_role_gets_its_answer(api, dev, cluster, person, status, request):
    deployment = make(cluster, dev, Status.RUNNING)
    assert api(request.getfixturevalue(person)).post(path(deployment)).status_code == status
    assert (reported(deployment) is not None) == (status == 200)


def test_nobody_without_a_token(anyone, dev, cluster):
    assert anyone.post(path(make(cluster, dev, Status.RUNNING))).status_code == 401
