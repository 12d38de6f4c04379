"""GET /api/clusters/{id}/quotas; GET, PUT, DELETE …/quotas/default and …/quotas/{user_id}"""

from functools import partial

import pytest

from clusters.models import Cluster, Quota
from clusters.services.clusters import change_cluster
from clusters.services.quotas import put_quota
from clusters.tests.allocation import make_cluster, row
from clusters.tests.paging import all_rows
from deployments.models import Deployment, Status
from deployments.scheduling_key import key_of
from deployments.tests.workloads import make
from organizations.models import Role
from organizations.tests.people import make_member

LIMITS = {"max_cpu": 2.5, "max_ram": 4096, "max_gpu": 2}
NONE = dict.fromkeys(LIMITS)


def path(cluster, whose=None):
    """The list's; or that of one, a user's or "default"."""
    last = "" if whose is None else f"/{getattr(whose, 'pk', whose)}"
    return f"/api/clusters/{cluster.pk}/quotas{last}"


def columns(user=None):
    """The limits of a user or of the default, as they stand in the table; None without a quota."""
    limits = Quota.objects.filter(user=user).values_list("max_cpu_milli", "max_ram_mib", "max_gpu")
    return limits.first()


def everything():
    """All that a refusal must leave as it was."""
    return list(Quota.objects.order_by("id").values()), list(Cluster.objects.values())


@pytest.fixture
def kept(cluster, dev, woken):
    """The default, and one for dev."""
    put_quota(cluster, None, {"max_gpu": 1})
    quota, _ = put_quota(cluster, dev.pk, {"max_gpu": 3, "max_cpu_milli": 1500})
    woken.clear()
    return quota


# --- Setting and reading -------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_admin_gives_a_user_a_quota(api, ada, dev, cluster, woken, slash):
    before = row(cluster)
    response = api(ada).put(path(cluster, dev) + slash, LIMITS)
    assert response.status_code == 201
    allocated = {"cpu": 0, "ram": 0, "gpu": 0}
    shown = {"user_id": str(dev.pk), "username": "dev", **LIMITS, "allocated": allocated}
    assert response.json() == shown
    assert columns(dev) == (2500, 4096, 2)
    after = row(cluster)
    assert after["has_quotas"]
    assert after["changed_at"] > before["changed_at"]
    assert woken == [cluster.pk]
    assert api(ada).get(path(cluster, dev) + slash).json() == shown


def test_an_admin_sets_the_default(api, ada, cluster, woken):
    response = api(ada).put(path(cluster, "default"), {"max_gpu": 0})
    assert response.status_code == 201
    shown = {"user_id": None, "username": None, **NONE, "max_gpu": 0, "allocated": None}
    assert response.json() == shown
    assert columns() == (None, None, 0)
    assert row(cluster)["has_quotas"]
    assert woken == [cluster.pk]
    assert api(ada).get(path(cluster, "default")).json() == shown


def test_another_replaces_the_whole(api, ada, dev, cluster, kept, woken):
    response = api(ada).put(path(cluster, dev), {"max_ram": 1024})
    assert (response.status_code, response.json()["max_cpu"]) == (200, None)
    assert columns(dev) == (None, 1024, None)
    assert api(ada).put(path(cluster, "default"), {"max_cpu": 1}).status_code == 200
    assert columns() == (1000, None, None)
    assert Quota.objects.count() == 2
    assert Quota.objects.get(user=dev).pk == kept.pk
    assert woken == [cluster.pk] * 2


@pytest.mark.parametrize("body", [{}, NONE])
def test_one_without_limits_exempts_from_the_default(api, ada, dev, cluster, kept, body):
    response = api(ada).put(path(cluster, dev), body)
    assert response.status_code == 200
    assert columns(dev) == (None, None, None)


@pytest.mark.parametrize("body", [{}, NONE, {"max_gpu": None}])
def test_a_default_without_limits_would_say_nothing(api, ada, cluster, kept, woken, body):
    before = everything()
    response = api(ada).put(path(cluster, "default"), body)
    assert response.status_code == 400
    assert set(response.json()["fields"]) == set(LIMITS)
    assert everything() == before
    assert woken == []


def test_the_same_again_changes_nothing(api, ada, dev, cluster, kept, woken):
    before = everything()
    given = {"max_gpu": 3, "max_cpu": 1.5}
    assert api(ada).put(path(cluster, dev), given).status_code == 200
    assert api(ada).put(path(cluster, "default"), {"max_gpu": 1}).status_code == 200
    assert everything() == before
    assert woken == []


def test_an_admin_deletes_them(api, ada, dev, cluster, kept, woken):
    for whose, has_quotas in ((dev, True), ("default", False)):
        response = api(ada).delete(path(cluster, whose))
        assert (response.status_code, response.content) == (204, b"")
        assert row(cluster)["has_quotas"] == has_quotas
    assert not Quota.objects.exists()
    assert woken == [cluster.pk] * 2
    before = everything()
    for whose in (dev, "default"):
        assert api(ada).get(path(cluster, whose)).status_code == 404
        assert api(ada).delete(path(cluster, whose)).status_code == 404
    assert everything() == before
    assert len(woken) == 2


def test_another_clusters_are_its_own(api, ada, dev, org, cluster, kept):
    other = make_cluster(org, name="east")
    assert api(ada).get(path(other)).json() == []
    for whose in (dev, "default"):
        assert api(ada).get(path(other, whose)).status_code == 404
        assert api(ada).delete(path(other, whose)).status_code == 404
    assert Quota.objects.count() == 2
    assert not row(other)["has_quotas"]


# --- What is allocated ---------------------------------------------------------------------------


def test_the_list_shows_what_each_user_has_allocated(api, ada, dev, vera, org, cluster, kept):
    put_quota(cluster, vera.pk, {})
    for status in (Status.RUNNING, Status.STARTING, Status.STOPPING):
        make(cluster, dev, status, cpu_milli=250, replicas=1)
    make(cluster, dev, Status.RUNNING, gpu=0, ram_mib=100, replicas=3)
    make(cluster, dev, Status.STOPPING, next_status=Status.QUEUED, yielded=True)
    for status in (Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.STOPPED):
        make(cluster, dev, status)
    make(make_cluster(org, name="east"), dev, Status.RUNNING)
    make(cluster, ada, Status.RUNNING, gpu=0)
    rows = api(vera).get(path(cluster)).json()
    assert [(each["user_id"], each["username"]) for each in rows] == [
        (None, None),
        (str(dev.pk), "dev"),
        (str(vera.pk), "vera"),
    ]
    allocated = {"cpu": 3.75, "ram": 3 * 512 + 300, "gpu": 3}
    assert [each["allocated"] for each in rows] == [None, allocated, {"cpu": 0, "ram": 0, "gpu": 0}]
    assert rows[1] == {
        "user_id": str(dev.pk),
        "username": "dev",
        "max_cpu": 1.5,
        "max_ram": None,
        "max_gpu": 3,
        "allocated": allocated,
    }
    assert api(vera).get(path(cluster, dev)).json()["allocated"] == allocated
    given = {"max_gpu": 1}  # below what is allocated: nothing is evicted for it
    assert api(ada).put(path(cluster, dev), given).json()["allocated"] == allocated
    assert Deployment.objects.filter(status=Status.RUNNING).count() == 4


def test_pages_have_each_quota_once_and_the_default_first(api, ada, dev, org, cluster):
    members = [make_member(org, f"m{number}", Role.DEVELOPER) for number in range(4)]
    for member in members:
        put_quota(cluster, member.pk, {"max_gpu": 1})
    put_quota(cluster, None, {"max_gpu": 1})
    for limit in (1, 2, 5):
        rows = all_rows(api(ada), f"{path(cluster)}?limit={limit}")
        assert [each["username"] for each in rows] == [None, "m0", "m1", "m2", "m3"]


@pytest.mark.parametrize("size", [1, 20])
def test_the_list_costs_the_same_for_few_and_many(
    api, vera, org, cluster, size, django_assert_num_queries
):
    for number in range(size):
        member = make_member(org, f"m{number}", Role.DEVELOPER)
        put_quota(cluster, member.pk, {"max_gpu": 1})
        make(cluster, member)
    client = api(vera)
    # the caller, the cluster, the role; quotas with users, what they have allocated
    with django_assert_num_queries(3 + 2):
        assert len(client.get(path(cluster)).json()) == size


# --- Keys ----------------------------------------------------------------------------------------


def test_keys_name_owners_while_there_are_quotas(api, ada, dev, cluster):
    deployment = make(cluster, dev)
    anonymous = deployment.scheduling_key
    client = api(ada)
    client.put(path(cluster, "default"), {"max_gpu": 1})
    client.put(path(cluster, dev), {"max_gpu": 1})
    assert row(deployment)["scheduling_key"] == f"{anonymous}/u{dev.pk.hex}"
    client.delete(path(cluster, "default"))
    assert row(deployment)["scheduling_key"] == f"{anonymous}/u{dev.pk.hex}"
    client.delete(path(cluster, dev))
    assert row(deployment)["scheduling_key"] == anonymous == key_of(deployment)


def test_under_fair_share_they_named_them_before(api, ada, dev, cluster):
    change_cluster(cluster, {"ordering": "fair_share"})
    deployment = make(Cluster.objects.get(), dev)
    named = deployment.scheduling_key
    assert named.endswith(dev.pk.hex)
    for call in (partial(api(ada).put, data={"max_gpu": 1}), api(ada).delete):
        assert call(path(cluster, "default")).status_code in {201, 204}
        assert row(deployment)["scheduling_key"] == named
    api(ada).put(path(cluster, "default"), {"max_gpu": 1})
    change_cluster(Cluster.objects.get(), {"ordering": "fifo"})
    assert row(deployment)["scheduling_key"] == named
