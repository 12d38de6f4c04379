"""?updated_after= of GET /api/deployments and of GET /api/clusters/{id}/deployments"""

from typing import Any

import pytest

from clusters.services.deletion import delete_cluster
from clusters.tests.allocation import make_cluster
from clusters.tests.paging import all_rows
from deployments.feed import window
from deployments.models import Deployment
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_one
from deployments.services.submit import create_deployment
from deployments.tests.feed.transactions import beside
from mlops_platform.api.answers import pagination
from mlops_platform.api.answers.commit_order import Position, cursor_of
from mlops_platform.tests.equipment.errors import error_body

pytestmark = pytest.mark.django_db(transaction=True)

SPEC = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}
EVERYWHERE = "/api/deployments"


def inside(cluster: Any) -> str:
    return f"/api/clusters/{cluster.pk}/deployments"


def since(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return f"updated_after={answer.headers['Next-Cursor']}"


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()]


def texts(*rows: Deployment) -> list[str]:
    return [str(row.pk) for row in rows]


@pytest.fixture
def both(cluster: Any) -> tuple[str, str]:
    return EVERYWHERE, inside(cluster)


def submit(user: Any, cluster: Any, **spec: Any) -> Deployment:
    return create_deployment(user, cluster.pk, {**SPEC, **spec}).deployment


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_members_are_shown_what_has_changed_since(api, dev, request, cluster, both, person):
    client = api(request.getfixturevalue(person))
    old = submit(dev, cluster)
    for path in both:
        start = client.get(f"{path}?updated_after=now")
        assert ids(start) == []
        new = submit(dev, cluster)
        stop_one(old, dev)
        answer = client.get(f"{path}?{since(start)}")
        assert ids(answer) in (texts(new, old), texts(new))  # the second time it had ended
        assert ids(client.get(f"{path}?{since(answer)}")) == []


def test_a_stranger_is_shown_nothing(api, anyone, dev, sam, sams_org, cluster, both):
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    submit(dev, cluster)
    assert ids(api(sam).get(f"{EVERYWHERE}?{start}")) == []
    assert ids(api(sam).get(f"{EVERYWHERE}?{start}&cluster_id={cluster.pk}")) == []
    assert api(sam).get(f"{inside(cluster)}?{start}").status_code == 404
    for path in both:
        assert anyone.get(f"{path}?{start}").status_code == 401


def test_a_user_of_several_organizations_is_shown_all_of_them(
    api, ada, dev, sam, sams_org, cluster
):
    theirs = make_cluster(sams_org, name="east")
    sams_org.memberships.create(user=dev, role="VIEWER")
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    rows = [submit(sam, theirs), submit(ada, cluster), submit(sam, theirs)]
    for limit in (1, 2, 100):
        found = all_rows(api(dev), f"{EVERYWHERE}?{start}&limit={limit}")
        assert [each["id"] for each in found] == texts(*rows)
    only = api(dev).get(f"{EVERYWHERE}?{start}&cluster_id={cluster.pk}")
    assert ids(only) == texts(rows[1])


def test_each_comes_once_as_it_is_now_in_the_order_of_last_changes(api, dev, cluster, both):
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    first, second = submit(dev, cluster), submit(dev, cluster)
    change_deployment(dev, first, {"name": "other"})
    for path in both:
        answer = api(dev).get(f"{path}?{start}")
        assert ids(answer) == texts(second, first)
        assert [each["name"] for each in answer.json()] == ["train", "other"]


@pytest.mark.parametrize("size", [1, 2, 5, 2000])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_miss_nothing_however_small_they_are(
    api, dev, cluster, both, size, limit, monkeypatch
):
    monkeypatch.setattr(window, "WINDOW", size)
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    rows = [submit(dev, cluster) for _ in range(5)]
    for row in (rows[3], rows[0], rows[3]):
        change_deployment(dev, row, {"name": f"{row.name}x"})
    for path in both:
        found = all_rows(api(dev), f"{path}?{start}&limit={limit}")
        assert {each["id"] for each in found} == set(texts(*rows))
        last = {each["id"]: each["name"] for each in found}
        assert last == {str(row.pk): row.name for row in Deployment.objects.all()}


def test_a_page_of_heavy_rows_ends_early_and_goes_on(api, dev, cluster, both, monkeypatch):
    monkeypatch.setattr(pagination, "MOST_BYTES", 1000)
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    rows = [submit(dev, cluster, name="n" * 100) for _ in range(12)]
    for path in both:
        answer = api(dev).get(f"{path}?{start}&limit=10")
        assert 0 < len(ids(answer)) < 10
        found = all_rows(api(dev), f"{path}?{start}&limit=10")
        assert [each["id"] for each in found] == texts(*rows)


def test_the_other_filters_apply_to_the_rows_as_they_are(api, ada, dev, cluster, both):
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    mine, theirs = submit(dev, cluster), submit(ada, cluster)
    stop_one(mine, dev)
    for path in both:
        for query, expected in {
            "owner=me": texts(mine),
            "status=QUEUED": texts(theirs),
            "status=STOPPED&owner=me": texts(mine),
            "priority=HIGH": [],
            f"created_after={mine.created_at.isoformat().replace('+00:00', 'Z')}": texts(theirs),
        }.items():
            answer = api(dev).get(f"{path}?{start}&{query}")
            assert ids(answer) == expected, query
            assert ids(api(dev).get(f"{path}?{since(answer)}&{query}")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("updated_after=", "updated_after"),
        ("updated_after=yesterday", "updated_after"),
        ("updated_after=2026-03-01T09:00:00Z", "updated_after"),
        ("updated_after=W10", "updated_after"),
        ("updated_after=%00", "updated_after"),
        ("updated_after=now&updated_after=now", "updated_after"),
        ("updated_after=now&ordering=created_at", "ordering"),
        ("updated_after=now&cursor=x", "cursor"),
        ("updated_after=now&limit=0", "limit"),
        ("updated_after=now&status=ASLEEP", "status"),
        ("updated_before=now", "updated_before"),
    ],
)
def test_a_faulty_parameter_is_named(api, dev, both, query, field):
    for path in both:
        answer = api(dev).get(f"{path}?{query}")
        assert answer.status_code == 400
        assert list(error_body(answer)["fields"]) == [field]


def test_an_expired_cursor_is_told_as_such(api, dev, both):
    seen = window.seen_now()
    for bad in (
        cursor_of(seen.position, seen._replace(life="another")),
        cursor_of(Position(seen.next_transaction + 1, 0), seen),
    ):
        for path in both:
            answer = api(dev).get(f"{path}?updated_after={bad}")
            assert (answer.status_code, error_body(answer)["code"]) == (410, "cursor_expired")


def test_what_commits_later_is_never_behind_a_cursor(api, dev, cluster, both):
    first = submit(dev, cluster)
    for path in both:
        start = since(api(dev).get(f"{path}?updated_after=now"))
        with beside(lambda: submit(dev, cluster)) as late:
            change_deployment(dev, first, {"name": f"named-for-{path.count('/')}"})
            during = api(dev).get(f"{path}?{start}")
            assert ids(during) == []
        assert ids(api(dev).get(f"{path}?{since(during)}")) == texts(late, first)


def test_deployments_of_a_deleted_cluster_are_gone(api, dev, org, cluster):
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    submit(dev, cluster)
    delete_cluster(cluster, force=True)
    assert ids(api(dev).get(f"{EVERYWHERE}?{start}")) == []
    assert api(dev).get(f"{inside(cluster)}?{start}").status_code == 404


@pytest.mark.parametrize("count", [1, 30])
def test_queries_do_not_grow_with_rows(api, dev, cluster, count, django_assert_num_queries):
    start = since(api(dev).get(f"{EVERYWHERE}?updated_after=now"))
    for _ in range(count):
        submit(dev, cluster)
    # the caller, the organizations, the horizon, the window, the rows, what they depend on, the
    # classes, the reasons, the clusters' last look
    with django_assert_num_queries(11):
        api(dev).get(f"{EVERYWHERE}?{start}")
    with django_assert_num_queries(12):  # the cluster and the role instead of the organizations
        api(dev).get(f"{inside(cluster)}?{start}")
