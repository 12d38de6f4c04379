"""?created_after= with ?ordering=created_at: a client that asks for what is newer than the last row
it has seen misses none."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from deployments.models import Deployment
from deployments.services.bulk import create_deployments
from deployments.services.drafting.drafts import Order
from deployments.services.submit import create_deployment
from deployments.tests.feed.transactions import beside
from deployments.tests.workloads import make
from mlops_platform.api.ids import first_uuid_at, milliseconds, moment, time_of

pytestmark = pytest.mark.django_db(transaction=True)

SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}
BEGINNING = "2026-01-01T00:00:00Z"


def text(row: Deployment) -> str:
    return row.created_at.isoformat().replace("+00:00", "Z")


def newer(client: Any, cluster: Any, than: str, limit: int = 1000) -> list[dict[str, Any]]:
    path = f"/api/clusters/{cluster.pk}/deployments"
    given = {"ordering": "created_at", "created_after": than, "limit": str(limit)}
    answer = client.get(path, given)
    assert answer.status_code == 200, answer.content
    return list(answer.json())


def all_newer(client: Any, cluster: Any, limit: int) -> list[str]:
    """By the time of the last row alone, not by the Link."""
    seen: list[str] = []
    than = BEGINNING
    while rows := newer(client, cluster, than, limit):
        seen += [each["id"] for each in rows]
        than = rows[-1]["created_at"]
    return seen


def test_each_of_a_bulk_has_a_microsecond_and_an_id_in_its_order(dev, cluster):
    rows = create_deployments(dev, [Order(cluster.pk, SPEC)] * 800).deployments
    assert len({row.created_at for row in rows}) == 800
    assert [row.pk for row in rows] == sorted(row.pk for row in rows)
    assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
    for row in rows:
        assert row.pk.version == 7
        assert time_of(row.pk) == moment(milliseconds(row.created_at))


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_by_time_show_each_of_a_bulk_once(api, dev, cluster, limit):
    rows = create_deployments(dev, [Order(cluster.pk, SPEC)] * 20).deployments
    assert all_newer(api(dev), cluster, limit) == [str(row.pk) for row in rows]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_by_time_show_those_of_one_millisecond_together(api, dev, cluster, limit):
    """Bulks of earlier versions have one millisecond, and ids that tell no more."""
    at = moment(1_790_000_000_000)
    expected = []
    for millisecond, part in ((0, 1), (0, 5), (0, 4000), (1, 0)):
        when = at + timedelta(milliseconds=millisecond)
        id_ = UUID(int=first_uuid_at(when).int + (part << 64))
        make(cluster, dev, id=id_, created_at=when)
        expected.append(str(id_))
    assert all_newer(api(dev), cluster, limit) == expected


def test_a_submit_that_commits_later_delays_those_that_were_drawn_after_it(api, dev, cluster):
    old = create_deployment(dev, cluster.pk, SPEC).deployment
    with beside(lambda: create_deployment(dev, cluster.pk, SPEC).deployment) as late:
        early = make(cluster, dev, gpu=0)  # committed first, drawn later
        assert early.created_at > late.created_at - timedelta(milliseconds=1)
        assert [each["id"] for each in newer(api(dev), cluster, BEGINNING)] == [str(old.pk)]
        plain = api(dev).get(f"/api/clusters/{cluster.pk}/deployments?ordering=created_at")
        assert [each["id"] for each in plain.json()] == [str(old.pk), str(early.pk)]
    found = [each["id"] for each in newer(api(dev), cluster, text(old))]
    assert set(found) == {str(late.pk), str(early.pk)}


def test_a_transaction_that_only_reads_delays_none(api, dev, cluster):
    with beside(lambda: list(Deployment.objects.all()), writes=False):
        row = create_deployment(dev, cluster.pk, SPEC).deployment
        assert [each["id"] for each in newer(api(dev), cluster, BEGINNING)] == [str(row.pk)]


def test_the_time_itself_is_left_out(api, dev, cluster):
    first, second = (create_deployment(dev, cluster.pk, SPEC).deployment for _ in range(2))
    assert [each["id"] for each in newer(api(dev), cluster, text(first))] == [str(second.pk)]
    assert newer(api(dev), cluster, text(second)) == []
