"""Names in paths and filters, where an id may stand too."""

import pytest

from clusters.models import Cluster
from clusters.services.quotas import put_quota
from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Deployment
from deployments.tests.workloads import make
from organizations.models import Membership, Role
from organizations.tests.people import make_member

BELOW_A_CLUSTER = ("", "/status", "/queue", "/nodes", "/deployments", "/quotas", "/cycles")


@pytest.fixture
def east(org):
    return make_cluster(org, name="GPU east")


def ids(answer):
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()]


@pytest.mark.parametrize("below", [*BELOW_A_CLUSTER, "/volumes"])
@pytest.mark.parametrize("name", ["GPU east", "gpu EAST"])
def test_a_path_takes_the_name_of_a_cluster(api, vera, east, name, below):
    by_id = api(vera).get(f"/api/clusters/{east.pk}{below}")
    by_name = api(vera).get(f"/api/clusters/{name}{below}")
    assert by_name.status_code == by_id.status_code == 200
    assert by_name.json() == by_id.json()


@pytest.mark.parametrize("below", BELOW_A_CLUSTER)
def test_a_strangers_name_is_answered_as_one_of_nothing(api, sam, east, below):
    answer = api(sam).get(f"/api/clusters/GPU east{below}")
    nothing = api(sam).get(f"/api/clusters/no such cluster{below}")
    assert answer.status_code == nothing.status_code == 404
    assert answer.json() == nothing.json()


def test_a_name_that_several_organizations_use_is_refused_with_each(
    api, dev, sam, sams_org, org, east
):
    Membership.objects.create(organization=sams_org, user=dev, role=Role.VIEWER)
    other = make_cluster(sams_org, name="gpu east")
    answer = api(dev).get("/api/clusters/gpu east/status")
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous_name")
    for cluster, organization in ((east, org), (other, sams_org)):
        assert f"{cluster.pk} of {organization.name}" in answer.json()["detail"]
    answer = api(dev).get("/api/deployments", {"cluster": "gpu east"})
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous_name")
    ours = make(east, dev)
    one = {"cluster": "gpu east", "organization": org.name}
    assert ids(api(dev).get("/api/deployments", one)) == [str(ours.pk)]
    steer = {"action": "stop", "filter": one, "dry_run": True}
    answer = api(dev).post("/api/deployments/actions", steer)
    assert (answer.status_code, answer.json()["chosen"]) == (200, 1)
    assert api(sam).get("/api/clusters/gpu east/status").json()["id"] == str(other.pk)


def test_a_name_that_looks_like_an_id_is_no_name(api, ada, org, east):
    name = str(east.pk)
    for path, body in (
        ("/api/orgs/create", {"name": name}),
        ("/api/clusters", {"name": name.replace("-", "").upper(), "organization_id": str(org.pk)}),
        ("/api/users/register", {"username": name, "password": "long-enough-for-all"}),
    ):
        answer = api(ada).post(path, body)
        assert answer.status_code == 400
        assert "like an id" in str(answer.json()["fields"])
    Cluster.objects.create(
        organization=org, name=name, total_cpu_milli=1, total_ram_mib=1, total_gpu=0
    )
    assert api(ada).get(f"/api/clusters/{name}").json()["name"] == "GPU east"


@pytest.mark.parametrize("name", ["x" * 5000, "%00", "%0A", "%F0%9F%92%A9", "."])
def test_a_name_that_nothing_can_have_is_not_found(api, ada, east, name):
    assert api(ada).get(f"/api/clusters/{name}/status").status_code == 404
    for parameter in ("cluster", "owner", "organization"):
        answer = api(ada).get(f"/api/deployments?{parameter}={name}")
        assert list(answer.json()["fields"]) == [parameter]


def test_nodes_quotas_and_members_are_found_by_name(api, ada, dev, org, east):
    node = make_node(east, name="gpu-1")
    put_quota(east, dev.pk, {"max_gpu": 1})
    client = api(ada)
    assert client.get("/api/clusters/gpu east/nodes/gpu-1").json()["id"] == str(node.pk)
    assert client.post("/api/clusters/gpu east/nodes/gpu-1/cordon").json()["state"] == "CORDONED"
    assert client.get("/api/clusters/gpu east/quotas/DEV").json()["user_id"] == str(dev.pk)
    assert client.put("/api/clusters/gpu east/quotas/dev", {"max_gpu": 2}).status_code == 200
    assert client.delete("/api/clusters/gpu east/quotas/dev").status_code == 204
    member = f"/api/orgs/{org.name.upper()}/members/dev"
    assert client.patch(member, {"role": "VIEWER"}).json()["user_id"] == str(dev.pk)
    assert client.delete(member).status_code == 204
    assert client.delete(f"/api/orgs/{org.name}/bans/dev").status_code == 204
    for gone in (member, "/api/clusters/gpu east/nodes/gpu-2", "/api/orgs/nowhere/members/dev"):
        assert client.delete(gone).status_code == 404


def test_roles_are_those_of_a_path_with_ids(api, dev, east):
    make_node(east, name="gpu-1")
    assert api(dev).post("/api/clusters/gpu east/nodes/gpu-1/cordon").status_code == 403


def test_deployments_are_filtered_by_names(api, ada, dev, org, east, cluster):
    ours, elsewhere, anothers = make(east, dev), make(cluster, dev), make(east, ada)
    client = api(ada)
    for given, found in (
        ({"owner": "dev"}, [elsewhere, ours]),
        ({"owner": "DEV", "cluster": "gpu east"}, [ours]),
        ({"cluster": str(east.pk)}, [anothers, ours]),
        ({"organization": org.name}, [anothers, elsewhere, ours]),
        ({"organization": str(org.pk), "owner": "me"}, [anothers]),
    ):
        expected = sorted((str(each.pk) for each in found), reverse=True)
        assert ids(client.get("/api/deployments", given)) == expected
    assert ids(client.get("/api/clusters/gpu east/deployments", {"owner": "dev"})) == [str(ours.pk)]


def test_an_owner_who_has_left_is_found_by_name(api, ada, dev, org, east):
    row = make(east, dev)
    Membership.objects.get(user=dev).delete()
    assert ids(api(ada).get("/api/deployments", {"owner": "dev"})) == [str(row.pk)]


def test_a_filter_tells_nothing_of_strangers(api, ada, sam, sams_org, org, east):
    make_cluster(sams_org, name="secret")
    for parameter, strangers in (
        ("owner", "sam"),
        ("cluster", "secret"),
        ("organization", "Sam's"),
    ):
        answer = api(ada).get("/api/deployments", {parameter: strangers})
        nothing = api(ada).get("/api/deployments", {parameter: "nothing"})
        assert answer.status_code == nothing.status_code == 400
        assert answer.json() == nothing.json()
        assert list(answer.json()["fields"]) == [parameter]


def test_clusters_are_filtered_by_their_organization(api, dev, sams_org, org, east):
    Membership.objects.create(organization=sams_org, user=dev, role=Role.VIEWER)
    theirs = make_cluster(sams_org, name="theirs")
    assert ids(api(dev).get("/api/clusters", {"organization": "sam's"})) == [str(theirs.pk)]
    assert ids(api(dev).get("/api/clusters", {"organization": str(org.pk)})) == [str(east.pk)]


@pytest.mark.django_db(transaction=True)
def test_the_feed_is_filtered_by_names(api, ada, org, east, cluster):
    grace = make_member(org, "grace", Role.DEVELOPER)
    bodies = {"image": "a:1", "required_cpu": 1, "required_ram": 1, "required_gpu": 0}
    for user, where in ((ada, east), (grace, east), (grace, cluster)):
        body = {**bodies, "cluster_id": str(where.pk), "priority": "LOW"}
        assert api(user).post("/api/deployments", body).status_code == 201
    path = f"/api/orgs/{org.name}/events"
    for given, count in (({"actor": "grace"}, 2), ({"actor": "grace", "cluster": "gpu east"}, 1)):
        assert len(api(ada).get(path, given).json()) == count
    assert api(ada).get(path, {"actor": "nobody"}).status_code == 400


def submit_by(name):
    return {"cluster_id": name, "image": "a:1", "required_cpu": 1, "required_ram": 1}


BODIES = {
    "/api/deployments": lambda name: submit_by(name) | {"required_gpu": 0},
    "/api/deployments/quote": lambda name: submit_by(name) | {"required_gpu": 0},
    "/api/deployments/bulk": lambda name: {
        "deployments": [submit_by(name) | {"required_gpu": 0} for _ in range(2)]
    },
}


@pytest.mark.parametrize("path", BODIES)
def test_a_body_takes_the_name_of_a_cluster(api, dev, sam, sams_org, east, path):
    body = BODIES[path]
    for name in ("gpu EAST", "GPU east", str(east.pk).upper()):
        answer = api(dev).post(path, body(name))
        assert answer.status_code in (200, 201), answer.content
    submitted = set(Deployment.objects.values_list("cluster", flat=True))
    assert submitted == (set() if "quote" in path else {east.pk})
    count = Deployment.objects.count()
    nothing = api(sam).post(path, body("no such cluster"))
    for unknown in ("gpu east", "a\tb", "", 7):
        answer = api(sam).post(path, body(unknown))
        assert (answer.status_code, answer.json()) == (404, nothing.json())
    Membership.objects.create(organization=sams_org, user=dev, role=Role.DEVELOPER)
    other = make_cluster(sams_org, name="gpu east")
    answer = api(dev).post(path, body("Gpu east"))
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous_name")
    assert f"{other.pk} of {sams_org.name}" in answer.json()["detail"]
    assert Deployment.objects.count() == count
    Membership.objects.filter(user=dev, organization=east.organization).update(role=Role.VIEWER)
    other.delete()
    assert api(dev).post(path, body("gpu east")).status_code == 403


def test_a_bulk_names_each_item_whose_cluster_it_cannot_find(api, dev, east, cluster):
    items = [submit_by(name) | {"required_gpu": 0} for name in ("GPU EAST", "none", "west", "no")]
    answer = api(dev).post("/api/deployments/bulk", {"deployments": items})
    assert (answer.status_code, list(answer.json()["fields"]["deployments"])) == (404, ["1", "3"])
    answer = api(dev).post("/api/deployments/bulk", {"deployments": items[::2]})
    assert [row["cluster"] for row in answer.json()] == ["GPU east", "west"]


def test_one_submit_by_name_and_by_id_is_the_same_to_an_idempotency_key(api, dev, east):
    keys = {"Idempotency-Key": "once"}
    first, again = (
        api(dev).post("/api/deployments", submit_by(given) | {"required_gpu": 0}, headers=keys)
        for given in ("gpu east", str(east.pk))
    )
    assert first.json()["id"] == again.json()["id"]
    assert again["Idempotency-Replayed"] == "true"


def test_a_cluster_is_created_in_an_organization_by_name(api, ada, sam, org):
    body = {"name": "north", "total_cpu": 1, "total_ram": 1, "total_gpu": 0}
    answer = api(ada).post("/api/clusters", body | {"organization_id": org.name.upper()})
    assert (answer.status_code, answer.json()["organization_id"]) == (201, str(org.pk))
    nothing = api(sam).post("/api/clusters", body | {"organization_id": "nowhere"})
    for given in (org.name, "a\tb", ""):
        answer = api(sam).post("/api/clusters", body | {"organization_id": given})
        assert (answer.status_code, answer.json()) == (404, nothing.json())


def test_the_older_stop_takes_the_name_of_the_cluster(api, dev, east):
    row = make(east, dev)
    path = f"/api/deployments/{row.pk}"
    assert api(dev).post(path, {"cluster_id": "west"}).status_code == 400
    assert api(dev).post(path, {"cluster_id": "gpu east"}).json()["status"] == "STOPPED"
