"""POST /api/sweeps/{id}/retry-failed"""

import pytest

from deployments.env import unsealed
from deployments.models import Deployment, Status
from deployments.tests.api.sweeps.sweeping import PATH, give, members, sweep_body, swept
from organizations.tests.people import all_at_once

ENDS = (Status.FAILED, Status.COMPLETED, Status.FAILED)


def test_those_that_failed_are_members_again_with_their_parameters(api, dev, cluster):
    client = api(dev)
    given = sweep_body(cluster, matrix={"lr": [1, 2, 3]}, max_parallel=2)
    made = client.post(PATH, given).json()
    path = f"{PATH}/{made['id']}"
    for row, status in zip(Deployment.objects.order_by("id"), ENDS, strict=True):
        Deployment.objects.filter(pk=row.pk).update(status=status)
    first = list(Deployment.objects.order_by("id"))
    answer = client.post(f"{path}/retry-failed", {})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["retried"], len(answer.json()["submitted"])) == (2, 2)
    assert answer.json()["sweep"]["counts"] == {"COMPLETED": 1, "QUEUED": 2}
    assert answer.json()["sweep"]["status"] == "RUNNING"
    again = list(Deployment.objects.order_by("id"))[3:]
    assert [row.sweep_index for row in again] == [0, 2]
    assert [row.rerun_of_id for row in again] == [first[0].pk, first[2].pk]
    assert [unsealed(row.env) for row in again] == [{"lr": "1"}, {"lr": "3"}]
    assert {row.scheduling_key for row in again} == {first[0].scheduling_key}
    assert client.post(f"{path}/retry-failed", {}).json()["retried"] == 0


@pytest.mark.django_db(transaction=True)
def test_two_calls_at_the_same_time_retry_each_once(api, dev, cluster):
    sweep = swept(dev, cluster)
    give(sweep, *ENDS)
    path, clients = f"{PATH}/{sweep.pk}/retry-failed", [api(dev) for _ in range(2)]
    answers = all_at_once(*(lambda one=one: one.post(path, {}) for one in clients))
    retried = [answer.json().get("retried") for answer in answers if answer.status_code == 200]
    assert sum(retried) == 2
    assert {answer.status_code for answer in answers} <= {200, 503}  # busy: it may wait briefly
    assert len(members(sweep)) == 5


def test_a_queue_without_room_takes_none(api, dev, cluster):
    sweep = swept(dev, cluster)
    give(sweep, *ENDS)
    type(cluster).objects.filter(pk=cluster.pk).update(max_queued_per_user=1)
    answer = api(dev).post(f"{PATH}/{sweep.pk}/retry-failed", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "queue_full")
    assert len(members(sweep)) == 3


def test_who_may_retry(api, dev, ada, vera, sam, anyone, cluster):
    sweep = swept(dev, cluster)
    give(sweep, *ENDS)
    path = f"{PATH}/{sweep.pk}/retry-failed"
    clients = [*map(api, (vera, sam)), anyone, api(ada)]
    answers = [client.post(path, {}).status_code for client in clients]
    assert answers == [403, 404, 401, 200]
    assert {row.owner for row in members(sweep)[3:]} == {ada}
