"""Of quotas: roles that may not set them, refusals, members and users that go, and races."""

from functools import partial
from itertools import product
from uuid import uuid4

import pytest
from rest_framework.exceptions import NotFound

from clusters.models import Cluster, Quota, State
from clusters.services.deletion import delete_cluster
from clusters.services.quotas import delete_quota, put_quota
from clusters.tests.allocation import make_cluster, row
from deployments.models import Status
from deployments.tests.api.test_quotas import LIMITS, columns, everything, path
from deployments.tests.workloads import make
from organizations.models import Role
from organizations.tests.people import all_at_once, client_for, make_member, make_user


@pytest.fixture
def kept(cluster, dev, woken):
    """The default, and one for dev."""
    put_quota(cluster, None, {"max_gpu": 1})
    quota, _ = put_quota(cluster, dev.pk, {"max_gpu": 3, "max_cpu_milli": 1500})
    woken.clear()
    return quota


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_do_not_change_them(api, vera, cluster, kept, woken, person, status, request):
    client, before = api(request.getfixturevalue(person)), everything()
    for whose in ("default", kept.user, vera):
        for body in (LIMITS, {"nonsense": 1}):
            assert client.put(path(cluster, whose), body).status_code == status
        assert client.delete(path(cluster, whose)).status_code == status
    assert everything() == before
    assert woken == []


def test_every_member_reads_them_and_no_stranger(api, ada, dev, vera, sam, cluster, kept):
    for whose in (None, "default", dev):
        answers = [api(user).get(path(cluster, whose)) for user in (ada, dev, vera)]
        assert [each.status_code for each in answers] == [200] * 3
        assert answers[0].json() == answers[1].json() == answers[2].json()
        assert api(sam).get(path(cluster, whose)).status_code == 404


def test_nobody_without_a_token(anyone, dev, cluster, kept):
    before = everything()
    for whose in (None, "default", dev):
        assert anyone.get(path(cluster, whose)).status_code == 401
    for whose in ("default", dev):
        assert anyone.put(path(cluster, whose), LIMITS).status_code == 401
        assert anyone.delete(path(cluster, whose)).status_code == 401
    assert everything() == before


def test_only_members_are_given_one(api, ada, sam, cluster, woken):
    answers = [api(ada).put(path(cluster, whose), LIMITS) for whose in (sam, uuid4(), "1", "me")]
    assert {each.status_code for each in answers} == {404}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert not Quota.objects.exists()
    assert not row(cluster)["has_quotas"]
    assert woken == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(LIMITS, [-1, "one", "", True, [], {}, 1e30, 10**30, 0.0001]),
        *product(sorted(LIMITS.keys() - {"max_cpu"}), ["1"]),  # of CPU, one core
    ],
)
def test_bad_values_are_named(api, ada, dev, cluster, kept, woken, field, value):
    before = everything()
    for whose in ("default", dev):
        response = api(ada).put(path(cluster, whose), {**LIMITS, field: value})
        assert response.status_code == 400
        assert list(response.json()["fields"]) == [field]
    assert everything() == before
    assert woken == []


def test_an_unknown_field_is_named(api, ada, dev, cluster, kept):
    before = everything()
    response = api(ada).put(path(cluster, dev), {"max_gpus": 1})
    assert (response.status_code, list(response.json()["fields"])) == (400, ["max_gpus"])
    assert everything() == before


# --- Users and clusters that go ------------------------------------------------------------------


def test_who_leaves_keeps_theirs_as_their_deployments_go_on(api, ada, dev, org, cluster, kept):
    make(cluster, dev, Status.RUNNING)
    assert api(dev).delete(f"/api/orgs/{org.pk}/members/{dev.pk}").status_code == 204
    (_, shown) = api(ada).get(path(cluster)).json()
    assert (shown["username"], shown["allocated"]["gpu"]) == ("dev", 1)
    assert api(ada).put(path(cluster, dev), LIMITS).status_code == 404
    assert columns(dev) == (1500, None, 3)
    assert api(ada).delete(path(cluster, dev)).status_code == 204
    assert columns(dev) is None


def test_with_a_user_their_quotas_go(org, cluster, woken):
    mia, both = make_member(org, "mia", Role.VIEWER), [cluster, make_cluster(org, name="east")]
    for each in both:
        put_quota(each, mia.pk, {"max_gpu": 1})
    put_quota(cluster, None, {"max_gpu": 1})
    woken.clear()
    mia.delete()
    assert [row(each)["has_quotas"] for each in both] == [True, False]
    assert Quota.objects.get().user is None
    assert woken == [each.pk for each in both]
    make_user("nobody").delete()
    assert len(woken) == 2


def test_with_a_cluster_its_quotas_go(api, ada, cluster, kept):
    assert api(ada).delete(f"/api/clusters/{cluster.pk}").status_code == 204
    assert not Quota.objects.exists()
    with pytest.raises(NotFound):
        put_quota(cluster, None, {"max_gpu": 1})
    with pytest.raises(NotFound):
        delete_quota(cluster, None)


def test_one_that_is_being_deleted_takes_no_change(api, ada, dev, cluster, kept, woken):
    Cluster.objects.update(state=State.DELETING)
    before = everything()
    for whose in (dev, "default"):
        for answer in (
            api(ada).put(path(cluster, whose), LIMITS),
            api(ada).delete(path(cluster, whose)),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "cluster_deleting")
    assert everything() == before
    assert woken == []
    assert len(api(ada).get(path(cluster)).json()) == 2


# --- At once -------------------------------------------------------------------------------------


def test_of_two_at_once_one_is_new_and_one_row_stays(transactional_db, ada, dev, cluster):
    for whose in (dev, "default"):
        for round_ in range(5):
            puts = [
                partial(client_for(ada).put, path(cluster, whose), {"max_gpu": gpus})
                for gpus in (2 * round_ + 1, 2 * round_ + 2)
            ]
            answers = all_at_once(*puts)
            assert sorted(each.status_code for each in answers) == [200, 201]
            quota = Quota.objects.get()
            assert quota.max_gpu in {2 * round_ + 1, 2 * round_ + 2}
            assert client_for(ada).delete(path(cluster, whose)).status_code == 204


def test_puts_and_deletions_at_once_keep_the_mark_right(transactional_db, ada, dev, cluster):
    for _ in range(5):
        client_for(ada).put(path(cluster, dev), LIMITS)
        answers = all_at_once(
            partial(client_for(ada).delete, path(cluster, dev)),
            partial(client_for(ada).delete, path(cluster, dev)),
            partial(client_for(ada).put, path(cluster, "default"), LIMITS),
        )
        assert sorted(each.status_code for each in answers[:2]) == [204, 404]
        assert answers[2].status_code in {200, 201}
        assert row(cluster)["has_quotas"]
    client_for(ada).delete(path(cluster, "default"))
    assert not row(cluster)["has_quotas"]


def test_one_that_comes_as_the_cluster_goes(transactional_db, ada, dev, org):
    for number in range(5):
        cluster = make_cluster(org, name=f"short-lived-{number}")
        answer, deleted = all_at_once(
            partial(client_for(ada).put, path(cluster, dev), LIMITS),
            partial(delete_cluster, cluster),
        )
        assert answer.status_code in {201, 404}
        assert deleted is None
        assert not Cluster.objects.exists()
        assert not Quota.objects.exists()
