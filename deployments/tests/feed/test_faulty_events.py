"""An event that cannot be read or shown keeps no reader from the others."""

from typing import Any

import pytest
from django.db import connection

from accounts.api.requests import Bearer
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.feed import window
from deployments.models import DeploymentEvent
from deployments.tests.feed.test_broadcast import Turns, follow, ids, submit, told
from mlops_platform.api.answers.commit_order import Position
from mlops_platform.database.unreadable_json import UNREADABLE
from organizations.models import Organization

pytestmark = pytest.mark.django_db(transaction=True)

FAULTY = {
    "a list": "[1, 2]",
    "a number that JSON does not know": '{"n": 1' + "0" * 400 + ".5}",
    "a number with too many digits to be read": '{"n": 1e5000}',
    "a tower of objects": '{"a":' * 3000 + "1" + "}" * 3000,
}


@pytest.fixture
def reader() -> Turns:
    return Turns()


@pytest.fixture
def sams_cluster(sams_org: Organization) -> Cluster:
    return make_cluster(sams_org)


def spoil(deployment_id: str, details: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE deployments_deploymentevent SET details = %s::jsonb WHERE deployment_id = %s",
            [details, deployment_id],
        )
        assert cursor.rowcount == 1


@pytest.mark.parametrize("details", FAULTY.values(), ids=FAULTY)
def test_a_stream_shows_a_faulty_event_without_its_details_and_goes_on(
    reader, org, dev, cluster, sams_org, sam, sams_cluster, details, caplog
):
    mine, sams = follow(reader, org, dev), follow(reader, sams_org, sam)
    rows = submit(dev, cluster, 3)
    others = submit(sam, sams_cluster, 2)
    spoil(rows[1], details)
    reader.turns()
    blocks = told(mine)
    assert ids(blocks) == rows
    assert [each["details"] == UNREADABLE for each in blocks.told] == [False, True, False]
    assert {each["type"] for each in blocks.told} == {"SUBMITTED"}
    assert ids(told(sams)) == others
    faulty = DeploymentEvent.objects.defer("details").get(deployment_id=rows[1])
    assert {getattr(each, "event", None) for each in caplog.records} == {faulty.pk}
    later = submit(dev, cluster)
    reader.turns()
    assert ids(told(mine)) == later


@pytest.mark.parametrize("details", FAULTY.values(), ids=FAULTY)
def test_pages_and_timelines_show_a_faulty_event_without_its_details(
    api, org, dev, cluster, details
):
    rows = submit(dev, cluster, 3)
    spoil(rows[1], details)
    page = api(dev).get(f"/api/orgs/{org.pk}/events")
    assert page.status_code == 200
    assert [each["deployment_id"] for each in page.json()] == rows
    assert [each["details"] == UNREADABLE for each in page.json()] == [False, True, False]
    timeline = api(dev).get(f"/api/deployments/{rows[1]}/events")
    assert timeline.status_code == 200
    assert [each["details"] for each in timeline.json()] == [UNREADABLE]


def test_an_event_of_which_nothing_can_be_shown_moves_the_stream_on(
    reader, org, dev, cluster, monkeypatch
):
    follower = follow(reader, org, dev)
    rows = submit(dev, cluster, 3)
    faulty = DeploymentEvent.objects.get(deployment_id=rows[1])
    monkeypatch.setattr(DeploymentEvent, "actor", Faulty(DeploymentEvent.actor, faulty.pk))
    reader.turns()
    blocks = told(follower)
    assert ids(blocks) == [rows[0], rows[2]]
    assert follower.passed.position >= Position(faulty.transaction_id or 0, faulty.pk)


class Faulty:
    """An attribute of a model that one row does not have."""

    def __init__(self, plain: Any, key: int) -> None:
        self._plain, self._key = plain, key

    def __get__(self, row: Any, kind: Any = None) -> Any:
        if row is not None and row.pk == self._key:
            raise RuntimeError("a fault of our own")
        return self._plain.__get__(row, kind)

    def __set__(self, row: Any, value: Any) -> None:
        self._plain.__set__(row, value)


def test_an_organization_that_cannot_be_read_delays_no_other(
    reader, org, dev, cluster, sams_org, sam, sams_cluster, monkeypatch, caplog
):
    mine, sams = follow(reader, org, dev), follow(reader, sams_org, sam)
    reader.turns()
    rows, others = submit(dev, cluster), submit(sam, sams_cluster)
    read = window.read

    def of_all_but_one(organizations: Any, *args: Any, **options: Any) -> Any:
        if org.pk in organizations:
            raise ValueError("year 10000 is out of range")
        return read(organizations, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(window, "read", of_all_but_one)
        for _ in range(3):
            reader.turn()
        assert not reader.turn()
        assert ids(told(sams)) == others
        assert mine.take() == (b"", False)
        named = [getattr(each, "organization", None) for each in caplog.records]
        assert named == [str(org.pk)]
    reader.turns()
    assert ids(told(mine)) == rows


@pytest.mark.parametrize("what", ["membership", "page"])
def test_a_fault_while_one_stream_is_looked_at_delays_no_other(
    reader, org, dev, vera, cluster, monkeypatch, what
):
    faulty, sound = follow(reader, org, vera), follow(reader, org, dev)
    if what == "membership":

        def fail() -> Any:
            raise RuntimeError("a fault of our own")

        faulty.bearer = Bearer(vera.pk, fail, expires_in_s=900)
    else:
        faulty.wanted = lambda entry: bool(entry.type.index("none of it"))
    rows = submit(dev, cluster)
    for _ in range(2):
        reader.turn()
    assert ids(told(sound)) == rows
    assert faulty.take() == (b"", False)
