"""GET, POST /api/clusters/{id}/volumes and GET, PATCH, DELETE …/volumes/{volume_id}"""

import pytest

from clusters.models import State, Volume
from clusters.services.volumes import MOST_VOLUMES, add_volume
from clusters.tests.allocation import make_cluster, make_node, row

OWN = {"name": "data", "kind": "DOCKER_VOLUME"}
SHOWN = {
    "source": {},
    "read_only": False,
    "node_names": [],
    "node_selector": {},
}


def path(cluster, volume=None):
    return f"/api/clusters/{cluster.pk}/volumes" + (f"/{volume.pk}" if volume else "")


@pytest.fixture
def kept(docker):
    return add_volume(docker, OWN)


@pytest.fixture
def roots(settings):
    settings.VOLUME_HOST_ROOTS = ("/srv/data",)


def test_an_admin_offers_one_and_members_see_it(api, ada, dev, vera, docker, woken):
    answer = api(ada).post(path(docker), OWN)
    assert answer.status_code == 201
    volume = Volume.objects.get()
    shown = answer.json()
    assert shown == {**OWN, **SHOWN, "id": str(volume.pk), "created_at": shown["created_at"]}
    for member in (ada, dev, vera):
        assert api(member).get(path(docker)).json() == [shown]
        assert api(member).get(path(docker, volume)).json() == shown
    assert woken == [docker.pk]


@pytest.mark.parametrize(
    ("which", "kind", "source"),
    [
        ("docker", "DOCKER_VOLUME", {}),
        ("kube", "PVC", {"claim": "datasets"}),
        ("kube", "PVC", {"size_mib": 1024}),
        (
            "kube",
            "PVC",
            {"size_mib": 1024, "storage_class": "fast", "access_mode": "ReadWriteOnce"},
        ),
        ("cluster", "PVC", {"claim": "datasets"}),
        ("cluster", "DOCKER_VOLUME", {}),
    ],
)
def test_each_kind_is_taken_where_the_runtime_has_it(api, ada, which, kind, source, request):
    cluster = request.getfixturevalue(which)
    body = {"name": "data", "kind": kind, "source": source, "read_only": True}
    answer = api(ada).post(path(cluster), body)
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["source"], answer.json()["read_only"]) == (source, True)


@pytest.mark.parametrize(
    ("which", "kind", "source"),
    [
        ("docker", "HOST_PATH", {"path": "/srv/data/sets"}),
        ("kube", "HOST_PATH", {"path": "/srv/data/sets"}),
        ("cluster", "HOST_PATH", {"path": "/srv/data/sets"}),
        ("docker", "NFS", {"server": "nas.example.org", "path": "/export"}),
        ("docker", "DOCKER_VOLUME", {"volume": "of-another"}),
    ],
)
def test_a_tenant_offers_no_folder_of_nodes_servers_or_others(
    api, ada, which, kind, source, request, roots
):
    cluster = request.getfixturevalue(which)
    body = {"name": "data", "kind": kind, "source": source}
    answer = api(ada).post(path(cluster), body)
    assert answer.status_code == 400
    [(field, said)] = answer.json()["fields"].items()
    assert (field, said) in [
        ("kind", ["Only operators offer it, in the admin."]),
        ("source", ["Only operators offer it, in the admin."]),
    ]
    assert not Volume.objects.exists()
    of_operators = add_volume(cluster, body, trusted=True)
    before = row(of_operators)
    for answer in (
        api(ada).patch(path(cluster, of_operators), {"read_only": True}),
        api(ada).delete(path(cluster, of_operators)),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "offered_by_operator")
    assert row(of_operators) == before


@pytest.mark.parametrize(
    "given", ["/srv", "/srv/data", "/srv/database", "/etc", "/srv/data2/x", "/"]
)
def test_an_operator_offers_folders_below_the_roots_alone(docker, given, roots):
    body = {"name": "data", "kind": "HOST_PATH", "source": {"path": given}}
    with pytest.raises(Exception, match="VOLUME_HOST_ROOTS"):
        add_volume(docker, body, trusted=True)
    assert not Volume.objects.exists()


@pytest.mark.parametrize(
    ("which", "body", "field"),
    [
        ("docker", {"name": "Data"}, "name"),
        ("docker", {"name": "-a"}, "name"),
        ("docker", {"name": "a" * 61}, "name"),
        ("docker", {"name": ""}, "name"),
        ("docker", {"kind": "FLOPPY"}, "kind"),
        ("docker", {"kind": "PVC", "source": {"claim": "a"}}, "kind"),
        ("kube", {"kind": "DOCKER_VOLUME"}, "kind"),
        ("kube", {"kind": "PVC"}, "source"),
        ("kube", {"kind": "PVC", "source": {"claim": "a", "size_mib": 1}}, "source"),
        ("kube", {"kind": "PVC", "source": {"claim": "A b"}}, "source"),
        ("kube", {"kind": "PVC", "source": {"size_mib": 0}}, "source"),
        ("kube", {"kind": "PVC", "source": {"size_mib": 1, "access_mode": "All"}}, "source"),
        ("docker", {"source": {"path": "/srv/data/a"}}, "source"),
        ("docker", {"kind": "HOST_PATH"}, "source"),
        ("docker", {"kind": "HOST_PATH", "source": {"path": "srv"}}, "source"),
        ("docker", {"kind": "HOST_PATH", "source": {"path": "/srv/../etc"}}, "source"),
        ("docker", {"kind": "HOST_PATH", "source": {"path": "/srv//data"}}, "source"),
        ("docker", {"kind": "NFS", "source": {"path": "/a"}}, "source"),
        ("docker", {"kind": "NFS", "source": {"path": "/a", "server": "a,rw"}}, "source"),
        ("docker", {"node_names": ["a", "a"]}, "node_names"),
        ("docker", {"node_names": "a"}, "node_names"),
        ("docker", {"node_selector": {"a b": "c"}}, "node_selector"),
        ("cluster", {"node_names": ["a"]}, "node_names"),
        ("cluster", {"node_selector": {"zone": "b"}}, "node_selector"),
    ],
)
def test_bad_values_are_named(api, ada, which, body, field, request, roots):
    cluster = request.getfixturevalue(which)
    answer = api(ada).post(path(cluster), {**OWN, **body})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert not Volume.objects.exists()


def test_a_name_is_taken_once_in_a_cluster(api, ada, docker, kube, kept):
    answer = api(ada).post(path(docker), OWN)
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    of_another = {**OWN, "kind": "PVC", "source": {"claim": "a"}}
    assert api(ada).post(path(kube), of_another).status_code == 201


def test_there_is_a_most(api, ada, docker, kept):
    Volume.objects.bulk_create(
        Volume(cluster=docker, name=f"v{number}", kind="DOCKER_VOLUME")
        for number in range(1, MOST_VOLUMES)
    )
    answer = api(ada).post(path(docker), {**OWN, "name": "more"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_volumes")
    assert Volume.objects.count() == MOST_VOLUMES


def test_an_admin_changes_what_may_change(api, ada, cluster, woken):
    make_node(cluster)
    volume = add_volume(cluster, OWN)
    woken.clear()
    body = {"read_only": True, "node_names": ["node-1"], "node_selector": {"zone": "b"}}
    answer = api(ada).patch(path(cluster, volume), body)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in body} == body
    cluster.refresh_from_db()
    assert cluster.has_local_volumes
    assert api(ada).patch(path(cluster, volume), body).status_code == 200
    assert woken == [cluster.pk]  # the second changes nothing
    api(ada).patch(path(cluster, volume), {"node_names": [], "node_selector": {}})
    cluster.refresh_from_db()
    assert not cluster.has_local_volumes


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "other"}, "name"),
        ({"kind": "NFS"}, "kind"),
        ({"source": {"path": "/a"}}, "source"),
    ],
)
def test_a_change_of_what_it_is_is_refused_by_name(api, ada, docker, kept, body, field):
    before = row(kept)
    answer = api(ada).patch(path(docker, kept), body)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert row(kept) == before


def test_an_admin_withdraws_it(api, ada, docker, kept):
    answer = api(ada).delete(path(docker, kept))
    assert (answer.status_code, answer.content) == (204, b"")
    assert api(ada).get(path(docker)).json() == []
    assert api(ada).delete(path(docker, kept)).status_code == 404


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_change_none(api, docker, kept, person, status, request):
    client, before = api(request.getfixturevalue(person)), row(kept)
    for answer in (
        client.post(path(docker), {**OWN, "name": "other"}),
        client.post(path(docker), {"nonsense": 1}),
        client.patch(path(docker, kept), {"read_only": True}),
        client.delete(path(docker, kept)),
    ):
        assert answer.status_code == status
    assert row(kept) == before
    assert Volume.objects.count() == 1


def test_a_stranger_sees_none_and_another_clusters_are_its_own(api, sam, ada, docker, kube, kept):
    assert api(sam).get(path(docker)).status_code == 404
    assert api(sam).get(path(docker, kept)).status_code == 404
    assert api(ada).get(path(kube, kept)).status_code == 404
    assert api(ada).delete(path(kube, kept)).status_code == 404


def test_a_call_without_a_token_is_401(anyone, docker, kept):
    for call in (anyone.get, anyone.post):
        assert call(path(docker)).status_code == 401
    for call in (anyone.get, anyone.patch, anyone.delete):
        assert call(path(docker, kept)).status_code == 401


def test_nothing_is_offered_in_a_cluster_that_is_being_deleted(api, ada, docker, kept):
    type(docker).objects.update(state=State.DELETING)
    assert api(ada).post(path(docker), {**OWN, "name": "b"}).status_code == 409
    assert api(ada).patch(path(docker, kept), {"read_only": True}).status_code == 409


def test_it_goes_with_its_cluster(api, ada, docker, kept, org):
    other = add_volume(make_cluster(org, name="other", runtime="docker"), OWN)
    assert api(ada).delete(f"/api/clusters/{docker.pk}").status_code == 204
    assert list(Volume.objects.values_list("pk", flat=True)) == [other.pk]


def test_a_node_that_is_renamed_keeps_its_volumes(api, ada, cluster):
    for name in ("node-1", "node-2"):
        make_node(cluster, name=name)
    volume = add_volume(cluster, {**OWN, "node_names": ["node-1", "node-2"]})
    node = cluster.nodes.get(name="node-1")
    answer = api(ada).patch(f"/api/clusters/{cluster.pk}/nodes/{node.pk}", {"name": "rack-7"})
    assert answer.status_code == 200
    assert row(volume)["node_names"] == ["node-2", "rack-7"]
