"""GET /api/deployments and /api/clusters/{id}/deployments"""

from datetime import timedelta

import pytest

from clusters.tests.allocation import make_cluster
from clusters.tests.paging import all_rows
from deployments import redis_queues
from deployments.models import PriorityClass, Status, WaitReason
from deployments.tests.workloads import make
from mlops_platform.api.ids import first_uuid_at

PATH = "/api/deployments"


def inside(cluster):
    return f"/api/clusters/{cluster.pk}/deployments"


def ids(response):
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()]


def texts(*deployments):
    return [str(deployment.pk) for deployment in deployments]


@pytest.fixture
def many(cluster, ada, dev):
    """Five of two owners in several states."""
    return [
        make(cluster, dev, name="b"),
        make(cluster, ada, Status.RUNNING, priority="HIGH", name="a"),
        make(cluster, dev, Status.COMPLETED, name="c"),
        make(cluster, dev, priority="HIGH", name="a"),
        make(cluster, ada, name="b"),
    ]


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_members_see_all_newest_first(api, cluster, many, sams_org, sam, person, request):
    make(make_cluster(sams_org), sam)
    client = api(request.getfixturevalue(person))
    newest_first = texts(*reversed(many))
    assert ids(client.get(PATH)) == newest_first
    assert ids(client.get(inside(cluster))) == newest_first


def test_a_stranger_sees_nothing(api, sam, cluster, many):
    assert ids(api(sam).get(PATH)) == []
    assert ids(api(sam).get(PATH, {"cluster_id": str(cluster.pk)})) == []
    assert api(sam).get(inside(cluster)).status_code == 404
    assert api(sam).get(inside(cluster), {"nonsense": 1}).status_code == 404


def test_nobody_without_a_token(anyone, cluster):
    assert anyone.get(PATH).status_code == 401
    assert anyone.get(inside(cluster)).status_code == 401


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"status": "QUEUED"}, [4, 3, 0]),
        ({"status": "running"}, [1]),
        ({"priority": "high"}, [3, 1]),
        ({"priority": "LOW", "status": "QUEUED"}, [4, 0]),
        ({"owner": "me"}, [3, 2, 0]),
        ({"owner": "me", "priority": "HIGH"}, [3]),
        ({"ordering": "created_at"}, [0, 1, 2, 3, 4]),
        ({"ordering": "-created_at"}, [4, 3, 2, 1, 0]),
        ({"ordering": "priority"}, [0, 2, 4, 1, 3]),
        ({"ordering": "-priority"}, [3, 1, 4, 2, 0]),
        ({"ordering": "name"}, [1, 3, 0, 4, 2]),
        ({"ordering": "-name"}, [2, 4, 0, 3, 1]),
        ({"ordering": "status"}, [2, 0, 3, 4, 1]),
        ({"ordering": "-status"}, [1, 4, 3, 0, 2]),
    ],
)
def test_filters_and_orderings(api, dev, cluster, many, given, expected):
    expected = texts(*[many[index] for index in expected])
    assert ids(api(dev).get(PATH, given)) == expected
    assert ids(api(dev).get(inside(cluster), given)) == expected
    query = "&".join(f"{name}={value}" for name, value in given.items())
    paged = all_rows(api(dev), f"{PATH}?limit=2&{query}")
    assert [row["id"] for row in paged] == expected


def test_by_owner_cluster_and_age(api, ada, dev, org, cluster, many):
    elsewhere = make(make_cluster(org, name="east"), dev)
    assert ids(api(dev).get(PATH, {"owner": str(ada.pk)})) == texts(many[4], many[1])
    found = api(dev).get(PATH, {"cluster_id": str(elsewhere.cluster_id)})
    assert ids(found) == texts(elsewhere)
    later = many[4].created_at + timedelta(hours=1)
    last = make(cluster, dev, id=first_uuid_at(later), created_at=later)
    for before, found in ((1, texts(last)), (0, [])):
        since = (later - timedelta(milliseconds=before)).isoformat().replace("+00:00", "Z")
        assert ids(api(dev).get(PATH, {"created_after": since})) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster_id", "nonsense"),
        ("status", "ASLEEP"),
        ("status", ""),
        ("priority", "medium"),
        ("owner", "nobody"),
        ("cluster", "nowhere"),
        ("organization", "nowhere"),
        ("created_after", "yesterday"),
        ("created_after", "2026-13-01T00:00:00Z"),
        ("ordering", "image"),
        ("ordering", "--name"),
        ("limit", "0"),
        ("limit", "1001"),
        ("cursor", "x"),
        ("names", "train"),
        ("status", "QUEUED,ASLEEP"),
        ("status", "QUEUED,"),
        ("status", "\x00"),
        ("name", ""),
        ("name", "*rain"),
        ("name", "?rain"),
        ("name", "x" * 254),
        ("label", "a b"),
        ("label", "=b"),
        ("label", "a=b=c"),
        ("label", ""),
        ("node", ""),
        ("reason", "WHY"),
        ("started_after", "yesterday"),
        ("started_before", "1969-12-31T23:59:59Z"),
        ("finished_after", "x"),
        ("finished_before", ""),
        ("fields", ""),
        ("fields", "id,nonsense"),
        ("fields", "id,args"),
        ("total", "maybe"),
    ],
)
def test_bad_parameters_are_named(api, dev, cluster, name, value):
    response = api(dev).get(PATH, {name: value})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [name]


def test_a_parameter_is_given_once(api, dev, cluster):
    response = api(dev).get(f"{PATH}?priority=LOW&priority=HIGH")
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["priority"]


def test_the_path_names_the_cluster_already(api, dev, cluster):
    response = api(dev).get(inside(cluster), {"cluster_id": str(cluster.pk)})
    assert response.status_code == 400


def test_a_cursor_belongs_to_its_ordering(api, dev, cluster, many):
    link = api(dev).get(f"{PATH}?limit=1&ordering=-priority").headers["Link"]
    cursor = link.partition("cursor=")[2].partition("&")[0].partition(">")[0]
    assert api(dev).get(PATH, {"cursor": cursor, "ordering": "name"}).status_code in (200, 400)
    assert api(dev).get(PATH, {"cursor": cursor}).status_code == 400


def test_each_waiting_one_has_its_reason_and_place(api, dev, cluster, many):
    PriorityClass.objects.create(name="URGENT", value=2000)
    urgent = make(cluster, dev, priority="URGENT")
    WaitReason.objects.create(
        cluster=cluster, scheduling_key="LOW/1000/512/1x1", code="CLUSTER_PAUSED", details={}
    )
    WaitReason.objects.create(
        cluster=cluster,
        scheduling_key="LOW/1000/512/1x1",
        deployment=many[4],
        code="FRAGMENTED",
        details={},
    )
    waiting = [many[0], many[3], many[4], urgent]
    redis_queues.enter(cluster.pk, [(row.priority_class.name, row.pk, 0) for row in waiting])
    found = {row["id"]: row for row in api(dev).get(PATH).json()}
    shown = [
        (row["queue_position"], row["reason"] and row["reason"]["code"])
        for row in (found[str(row.pk)] for row in [*many, urgent])
    ]
    assert shown == [
        (3, "CLUSTER_PAUSED"),
        (None, None),
        (None, None),
        (2, "NOT_YET_EVALUATED"),
        (4, "FRAGMENTED"),
        (1, "NOT_YET_EVALUATED"),
    ]


@pytest.mark.parametrize("copies", [1, 7])
def test_queries_do_not_grow_with_rows(
    api, ada, dev, org, cluster, copies, django_assert_num_queries
):
    for cluster_of in (cluster, make_cluster(org, name="east")):
        for owner in (ada, dev):
            for number in range(copies):
                make(cluster_of, owner, gpu=number)
                make(cluster_of, owner, Status.COMPLETED, priority="HIGH")
    # the caller, the page (two), what they depend on, the classes, the reasons, the clusters' last
    # look
    with django_assert_num_queries(9):
        api(dev).get(PATH)
    # and without a waiting one, none of the last three
    with django_assert_num_queries(6):
        api(dev).get(PATH, {"status": "COMPLETED"})
    # the cluster and the role besides
    with django_assert_num_queries(11):
        api(dev).get(inside(cluster))
