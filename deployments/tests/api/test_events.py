"""GET /api/deployments/{id}/events"""

import pytest
from django.utils import timezone

from clusters.tests.paging import all_rows
from deployments.lifecycle.timeline import record
from deployments.models import EventType
from deployments.tests.workloads import body, make


def path(deployment_id):
    return f"/api/deployments/{deployment_id}/events"


def test_a_life_is_told_in_order(api, ada, dev, cluster):
    submitted = api(dev).post("/api/deployments", body(cluster)).json()
    api(ada).patch(f"/api/deployments/{submitted['id']}", {"priority": "HIGH"})
    api(dev).post(f"/api/deployments/{submitted['id']}/stop")
    response = api(dev).get(path(submitted["id"]))
    assert response.status_code == 200
    lines = response.json()
    assert [(line["type"], line["actor"], line["details"]) for line in lines] == [
        ("SUBMITTED", "dev", {}),
        ("CHANGED", "ada", {"priority": {"from": "LOW", "to": "HIGH"}}),
        ("STOPPED", "dev", {"from": "QUEUED"}),
    ]
    assert lines[0]["at"] == submitted["created_at"]
    assert lines[0]["actor_id"] == str(dev.pk)
    assert lines[0]["cycle_id"] is None


def test_what_nobody_asked_for_has_no_actor(api, dev, cluster):
    deployment = make(cluster, dev)
    details = {"free": {"cpu_milli": 1500}}
    record(deployment.pk, EventType.PREEMPTED, at=timezone.now(), details=details)
    line = api(dev).get(path(deployment.pk)).json()[0]
    assert (line["actor"], line["actor_id"]) == (None, None)
    assert line["details"] == {"free": {"cpu": 1.5}}


@pytest.mark.parametrize(("person", "status"), [("vera", 200), ("sam", 404)])
def test_each_role_gets_its_answer(api, dev, cluster, person, status, request):
    deployment = make(cluster, dev)
    assert api(request.getfixturevalue(person)).get(path(deployment.pk)).status_code == status


def test_nobody_without_a_token(anyone, dev, cluster):
    assert anyone.get(path(make(cluster, dev).pk)).status_code == 401


def test_an_unknown_parameter_is_refused(api, dev, cluster):
    assert api(dev).get(path(make(cluster, dev).pk), {"type": "STOPPED"}).status_code == 400


def test_pages(api, dev, cluster):
    deployment = make(cluster, dev)
    for number in range(5):
        record(deployment.pk, EventType.CHECKPOINTED, at=timezone.now(), details={"n": number})
    lines = all_rows(api(dev), f"{path(deployment.pk)}?limit=2")
    assert [line["details"]["n"] for line in lines] == list(range(5))


@pytest.mark.parametrize("count", [1, 6])
def test_queries_do_not_grow_with_lines(api, dev, cluster, count, django_assert_num_queries):
    deployment = make(cluster, dev)
    for _ in range(count):
        record(deployment.pk, EventType.CHECKPOINTED, at=timezone.now(), actor=dev)
    with django_assert_num_queries(4):
        api(dev).get(path(deployment.pk))
