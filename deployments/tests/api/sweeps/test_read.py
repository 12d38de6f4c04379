"""GET /api/sweeps/{id}"""

from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from deployments.models import Deployment, Status
from deployments.tests.api.sweeps.sweeping import PATH, give, members, swept

Q, R, C, F, S = (
    Status.QUEUED,
    Status.RUNNING,
    Status.COMPLETED,
    Status.FAILED,
    Status.STOPPED,
)
END = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("statuses", "status", "ended"),
    [
        ([Q, Q, Q], "QUEUED", 0),
        ([R, Q, Q], "RUNNING", 0),
        ([C, Q, Q], "RUNNING", 1),
        ([C, C, Status.STOPPING], "RUNNING", 2),
        ([C, C, C], "COMPLETED", 3),
        ([C, S, C], "STOPPED", 3),
        ([C, S, F], "FAILED", 3),
    ],
)
def test_its_status_follows_from_those_of_its_members(api, dev, cluster, statuses, status, ended):
    sweep = swept(dev, cluster)
    following = {Status.STOPPING: "STOPPED"}
    for row, each in zip(members(sweep), statuses, strict=True):
        Deployment.objects.filter(pk=row.pk).update(
            status=each,
            next_status=following.get(each, ""),
            finished_at=END if each in (C, F, S) else None,
        )
    answer = api(dev).get(f"{PATH}/{sweep.pk}").json()
    assert (answer["status"], answer["ended"]) == (status, ended)
    finished = "2026-03-01T09:00:00Z" if ended == 3 else None
    assert answer["finished_at"] == finished
    assert answer["parameters"] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_members_that_the_retention_has_deleted_had_ended(api, dev, cluster):
    sweep = swept(dev, cluster)
    give(sweep, C, C, C, finished_at=END)
    members(sweep)[0].delete()
    answer = api(dev).get(f"{PATH}/{sweep.pk}").json()
    assert (answer["status"], answer["ended"], answer["counts"]) == (
        "COMPLETED",
        3,
        {"COMPLETED": 2},
    )


def test_who_sees_it(api, dev, ada, vera, sam, anyone, cluster):
    path = f"{PATH}/{swept(dev, cluster).pk}"
    clients = [*map(api, (dev, ada, vera, sam)), anyone]
    assert [client.get(path).status_code for client in clients] == [200, 200, 200, 404, 401]
    assert api(dev).get(f"{PATH}/{uuid7()}").status_code == 404


def test_it_takes_few_queries(api, dev, cluster, django_assert_num_queries):
    path, client = f"{PATH}/{swept(dev, cluster).pk}", api(dev)
    with django_assert_num_queries(3):
        client.get(path)
