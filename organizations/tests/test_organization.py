"""GET, PATCH, DELETE /api/orgs/{id}; POST /api/orgs/{id}/leave"""

import pytest

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.tests.workloads import body
from organizations.models import Membership, Organization, Role
from organizations.tests.people import client_for, make_member


@pytest.fixture
def path(org):
    return f"/api/orgs/{org.pk}"


def state():
    return (
        list(Organization.objects.order_by("pk").values()),
        list(Membership.objects.order_by("pk").values()),
        list(Cluster.objects.order_by("pk").values("pk", "state", "deleted_at")),
    )


PEOPLE = [("vera", 403), ("dev", 403), ("sam", 404), (None, 401)]


def refused(request, person, status, send):
    client = client_for(request.getfixturevalue(person) if person else None)
    before = state()
    assert send(client).status_code == status
    assert state() == before


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_a_member_sees_it_with_the_own_role_and_only_an_admin_the_codes(request, api, path, person):
    user = request.getfixturevalue(person)
    shown = api(user).get(path).json()
    assert api(user).get("/api/orgs/my").json() == [shown]
    assert shown["role"] == user.memberships.get().role
    assert ("admin_invite_code" in shown) == (person == "ada")
    assert api(user).get("/api/orgs/Analytical Engines").json() == shown


def test_a_stranger_does_not_see_it(sam, anyone, path):
    assert client_for(sam).get(path).status_code == 404
    assert anyone.get(path).status_code == 401


# --- PATCH --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Difference Engines", "ANALYTICAL engines"])
def test_an_admin_gives_it_another_name_or_another_spelling(api, ada, dev, path, name):
    changed = api(ada).patch(path, {"name": name})
    assert (changed.status_code, changed.json()["name"]) == (200, name)
    assert api(dev).get(path).json()["name"] == name


@pytest.mark.parametrize(("person", "status"), PEOPLE)
def test_none_but_an_admin_renames_it(request, path, sams_org, dev, vera, person, status):
    refused(request, person, status, lambda client: client.patch(path, {"name": "Mine"}))


def test_a_name_that_is_taken_is_refused(api, ada, path, sams_org):
    before = state()
    answer = api(ada).patch(path, {"name": "SAM'S"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert state() == before


@pytest.mark.parametrize("change", [{}, {"name": ""}, {"name": None}, {"name": "x" * 101}])
def test_a_faulty_name_is_refused_with_its_field(api, ada, path, change):
    before = state()
    answer = api(ada).patch(path, change)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["name"]
    assert state() == before


# --- DELETE -------------------------------------------------------------------------------------


def test_an_admin_deletes_it_and_its_name_is_free(api, ada, sam, dev, org, path):
    make_cluster(org, total_gpu=1)
    assert api(ada).delete(path).status_code == 204
    assert api(ada).get(path).status_code == api(dev).get(path).status_code == 404
    assert api(ada).delete(path).status_code == 404
    assert not Cluster.objects.exists()
    founded = api(sam).post("/api/orgs/create", {"name": "Analytical Engines"})
    assert founded.status_code == 201


@pytest.mark.parametrize(("person", "status"), PEOPLE)
def test_none_but_an_admin_deletes_it(request, path, sams_org, dev, vera, person, status):
    refused(request, person, status, lambda client: client.delete(f"{path}?force=true"))


def test_it_is_not_deleted_while_anything_waits_or_runs_unless_forced(api, ada, org, path):
    make_cluster(org, name="another")
    api(ada).post("/api/deployments", body(make_cluster(org, total_gpu=1), name="train"))
    before = state()
    for query in ("", "?force=false"):
        answer = api(ada).delete(path + query)
        assert (answer.status_code, answer.json()["code"]) == (409, "cluster_in_use")
        assert state() == before
    assert api(ada).delete(f"{path}?force=perhaps").status_code == 400
    assert state() == before
    assert api(ada).delete(f"{path}?force=true").status_code == 204
    assert api(ada).get("/api/deployments").json() == []
    assert not Cluster.objects.exists()


def test_containers_are_stopped_first_also_with_force(api, ada, org, path):
    cluster = make_cluster(org, total_gpu=1)
    api(ada).post("/api/deployments", body(cluster, name="train"))
    Cluster.objects.filter(pk=cluster.pk).update(runtime="docker")
    before = state()
    answer = api(ada).delete(f"{path}?force=true")
    assert (answer.status_code, answer.json()["code"]) == (409, "cluster_in_use")
    assert cluster.name in answer.json()["detail"]
    assert state() == before


# --- Leaving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["dev", "vera"])
def test_a_member_leaves(request, org, path, person):
    user = request.getfixturevalue(person)
    assert client_for(user).post(f"{path}/leave").status_code == 204
    assert client_for(user).get(path).status_code == 404
    assert not org.memberships.filter(user=user).exists()
    assert not org.bans.exists()


def test_the_last_admin_stays_until_there_is_another_one(api, ada, org, path, vera):
    before = state()
    answer = api(ada).post(f"{path}/leave")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert state() == before
    make_member(org, "grace", Role.ADMIN)
    assert api(ada).post(f"{path}/leave").status_code == 204


@pytest.mark.parametrize(("person", "status"), [("sam", 404), (None, 401)])
def test_a_stranger_has_nothing_to_leave(request, path, sams_org, person, status):
    refused(request, person, status, lambda client: client.post(f"{path}/leave"))
