"""POST and PATCH /api/clusters with an API server, and the nodes of Kubernetes."""

import socket
from functools import partial

import pytest

from clusters.endpoints.error_texts import NOT_YET
from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.services import attach, nodes
from clusters.tests.allocation import make_cluster, make_node, row
from clusters.tests.attached import NOTHING, secrets
from clusters.tests.endpoints.pki import kubeconfig, pem
from organizations.tests.people import all_at_once

PATH = "/api/clusters"
SERVER = {
    "url": "https://10.0.0.9:6443",
    "namespace": "default",
    "seen_at": None,
    "error": NOT_YET,
    "away_since": None,
}

pytestmark = pytest.mark.usefixtures("names")


def path(cluster):
    return f"{PATH}/{cluster.pk}"


def body(org, **fields):
    given = {"runtime": "kubernetes", "kubeconfig": kubeconfig(), **fields}
    given = {name: value for name, value in given.items() if value is not None}
    return {"name": "west", "organization_id": str(org.pk), **given}


def test_an_admin_attaches_a_cluster(api, ada, org):
    response = api(ada).post(PATH, body(org))
    assert response.status_code == 201
    answer = response.json()
    assert (answer["runtime"], answer["endpoint"]) == ("kubernetes", SERVER)
    assert [answer[f"total_{name}"] for name in ("cpu", "ram", "gpu")] == [0, 0, 0]
    assert "hunter2" not in response.content.decode()
    assert secrets() == {"ca": pem().ca, "token": "kube-token-hunter2"}
    endpoint = Endpoint.objects.get()
    assert (endpoint.trusted, endpoint.cluster_id) == (False, Cluster.objects.get().pk)
    assert api(ada).get(path(endpoint.cluster)).json() == answer


@pytest.mark.parametrize(
    ("given", "of_context", "kept"), [("ml", None, "ml"), (None, "ctx", "ctx"), ("ml", "ctx", "ml")]
)
def test_the_namespace_can_be_chosen(api, ada, org, given, of_context, kept):
    config = kubeconfig(context={"namespace": of_context})
    response = api(ada).post(PATH, body(org, kubeconfig=config, namespace=given))
    assert response.json()["endpoint"]["namespace"] == kept


@pytest.mark.parametrize("runtime", ["docker", "kubernetes"])
def test_totals_may_be_left_out_and_are_not_kept(api, ada, org, runtime):
    given = body(org, runtime=runtime, total_cpu=8, total_ram=1024, total_gpu=2)
    if runtime == "docker":
        del given["kubeconfig"]
    response = api(ada).post(PATH, {**given, "node_lost_after_s": 60})
    assert response.status_code == 201
    assert [response.json()[f"total_{name}"] for name in ("cpu", "ram", "gpu")] == [0, 0, 0]
    assert response.json()["node_lost_after_s"] == 60
    before = row(Cluster.objects.get())
    again = api(ada).patch(path(Cluster.objects.get()), {"total_gpu": 3})
    assert (again.status_code, again.json()["code"]) == (409, "has_nodes")
    assert row(Cluster.objects.get()) == before


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"kubeconfig": None}, "kubeconfig", "This field is required."),
        ({"kubeconfig": "x" * 70_000}, "kubeconfig", "no more than 65536"),
        ({"kubeconfig": "a: &a [1]\nb: *a"}, "kubeconfig", "It has a YAML alias"),
        (
            {"kubeconfig": kubeconfig(user={"exec": {"command": "rm"}})},
            "kubeconfig",
            "exec of the user names a program to run",
        ),
        (
            {"kubeconfig": kubeconfig(cluster={"server": "https://127.0.0.1:6443"})},
            "kubeconfig",
            "server of the cluster: 127.0.0.1 is a loopback address",
        ),
        (
            {"kubeconfig": kubeconfig(cluster={"server": "https://here.example.org"})},
            "kubeconfig",
            "here.example.org does not resolve, or leads to where only an operator may attach.",
        ),
        (
            {"kubeconfig": kubeconfig(cluster={"server": "https://nowhere.example.org"})},
            "kubeconfig",
            "does not resolve",
        ),
        ({"namespace": "Up"}, "namespace", "A DNS label is required."),
        ({"namespace": "a\nb"}, "namespace", "A DNS label is required."),
        ({"namespace": "../x"}, "namespace", "A DNS label is required."),
        ({"runtime": "docker"}, "kubeconfig", "Only with the runtime kubernetes."),
        ({"runtime": "docker", "kubeconfig": None, "namespace": "x"}, "namespace", "Only with"),
    ],
)
def test_a_tenant_may_not_attach_these_addresses(api, ada, org, fields, field, said):
    response = api(ada).post(PATH, body(org, **fields))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert said in response.json()["fields"][field][0]
    assert "hunter2" not in response.content.decode()
    assert not Cluster.objects.exists()
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_may_not_and_no_name_is_resolved_for_them(
    api, org, kube, monkeypatch, person, status, request
):
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given))
    client, before = api(request.getfixturevalue(person)), row(kube.endpoints.get())
    assert client.post(PATH, body(org)).status_code == status
    assert client.patch(path(kube), {"kubeconfig": kubeconfig()}).status_code == status
    assert asked == []
    assert row(kube.endpoints.get()) == before
    assert Cluster.objects.count() == 1


def test_members_see_where_it_is_and_nothing_else_of_it(api, vera, kube):
    for address in (PATH, path(kube), f"{path(kube)}/status"):
        text = api(vera).get(address).content.decode()
        shown = f'"url":"https://10.0.0.9:6443","seen_at":null,"error":"{NOT_YET}"'
        shown += ',"away_since":null,"namespace":"ml"'
        assert shown in text
        assert "BEGIN" not in text
        assert kube.endpoints.get().secrets not in text


def test_a_taken_name_leaves_no_endpoint_behind(api, ada, org):
    make_cluster(org, name="west")
    assert api(ada).post(PATH, body(org)).json()["code"] == "name_taken"
    assert not Endpoint.objects.exists()


# --- PATCH ---------------------------------------------------------------------------------------


def test_a_kubeconfig_replaces_the_credentials_and_keeps_the_namespace(api, ada, kube):
    Endpoint.objects.update(trusted=True, error="x", seen_at="2026-03-01T09:00:00Z")
    config = kubeconfig(context={"namespace": "other"})
    response = api(ada).patch(path(kube), {"kubeconfig": config, "name": "renamed"})
    assert response.status_code == 200
    assert response.json()["name"] == "renamed"
    seen = {**SERVER, "namespace": "ml", "seen_at": "2026-03-01T09:00:00Z", "error": None}
    assert response.json()["endpoint"] == seen
    assert secrets()["token"] == "kube-token-hunter2"
    assert not Endpoint.objects.get().trusted


def test_another_server_has_not_been_seen(api, ada, kube):
    Endpoint.objects.update(seen_at="2026-03-01T09:00:00Z")
    config = kubeconfig(cluster={"server": "https://10.0.0.8:6443"})
    answer = api(ada).patch(path(kube), {"kubeconfig": config, "namespace": "new"}).json()
    assert answer["endpoint"] == {**SERVER, "url": "https://10.0.0.8:6443", "namespace": "new"}


def test_the_namespace_alone_can_be_changed(api, ada, kube):
    assert api(ada).patch(path(kube), {"namespace": "new"}).json()["endpoint"]["namespace"] == "new"
    assert secrets()["token"] == "old"


@pytest.mark.parametrize("change", [{"namespace": "new"}, {"namespace": "new", "kubeconfig": "…"}])
def test_not_while_something_runs_in_it(api, ada, kube, change):
    Cluster.objects.update(total_cpu_milli=8000, allocated_cpu_milli=1000)
    before = row(kube.endpoints.get())
    if "kubeconfig" in change:
        change = {**change, "kubeconfig": kubeconfig()}
    response = api(ada).patch(path(kube), {**change, "name": "renamed"})
    assert (response.status_code, response.json()["code"]) == (409, "cluster_in_use")
    assert row(kube.endpoints.get()) == before
    assert row(kube)["name"] == "kube"
    assert api(ada).patch(path(kube), {"namespace": "ml"}).status_code == 200


def test_a_tenant_does_not_go_elsewhere_on_an_operators_credentials(api, ada, kube):
    Endpoint.objects.update(trusted=True)
    before = row(kube.endpoints.get())
    response = api(ada).patch(path(kube), {"namespace": "kube-system"})
    assert (response.status_code, response.json()["code"]) == (409, "attached_by_operator")
    assert row(kube.endpoints.get()) == before
    attach.change_cluster(kube, {"namespace": "new"}, trusted=True)
    assert Endpoint.objects.get().namespace == "new"
    assert Endpoint.objects.get().trusted


@pytest.mark.django_db(transaction=True)
def test_of_two_that_attach_a_server_at_once_one_is_kept(api, ada, org, kube):
    Endpoint.objects.all().delete()
    patch = partial(api(ada).patch, path(kube), {"kubeconfig": kubeconfig()})
    answers = all_at_once(patch, patch, patch)
    assert {answer.status_code for answer in answers} == {200}
    assert Endpoint.objects.count() == 1


@pytest.mark.parametrize("given", [{"namespace": "x"}, {"kubeconfig": kubeconfig()}])
def test_other_clusters_have_neither(api, ada, docker, cluster, given):
    for each in (docker, cluster):
        before = row(each)
        response = api(ada).patch(path(each), {**given, "name": "renamed"})
        said = {name: ["Only in a kubernetes cluster."] for name in given}
        assert (response.status_code, response.json()["fields"]) == (400, said)
        assert row(each) == before
    assert not Endpoint.objects.exists()


def test_a_namespace_without_a_server_names_the_missing_field(api, ada, kube):
    Endpoint.objects.all().delete()
    response = api(ada).patch(path(kube), {"namespace": "x"})
    assert list(response.json()["fields"]) == ["namespace"]
    assert api(ada).get(path(kube)).json()["endpoint"] is None
    assert api(ada).patch(path(kube), {"kubeconfig": kubeconfig()}).status_code == 200


@pytest.mark.parametrize("which", ["docker", "kube", "cluster"])
def test_the_runtime_stays_and_patience_does_not(api, ada, which, woken, request):
    cluster = request.getfixturevalue(which)
    woken.clear()
    answer = api(ada).patch(path(cluster), {"runtime": "simulated"})
    assert list(answer.json()["fields"]) == ["runtime"]
    answer = api(ada).patch(path(cluster), {"node_lost_after_s": 10})
    assert answer.json()["node_lost_after_s"] == row(cluster)["node_lost_after_s"] == 10
    assert woken == []


# --- Nodes ---------------------------------------------------------------------------------------


@pytest.fixture
def node(kube):
    """As a discovered node."""
    return make_node(kube, endpoint=kube.endpoints.get())


def test_nodes_are_discovered_and_not_peoples_to_change(api, ada, kube, node, woken):
    woken.clear()
    before = row(node), row(kube)
    client, nodes_path = api(ada), f"{path(kube)}/nodes"
    answers = [
        client.post(nodes_path, {"name": "node-2", "cpu": 1, "ram": 1, "gpu": 0}),
        client.patch(f"{nodes_path}/{node.pk}", {"cpu": 1}),
        client.patch(f"{nodes_path}/{node.pk}", {"name": "new"}),
        client.patch(f"{nodes_path}/{node.pk}", {"endpoint": pem().body()}),
        client.delete(f"{nodes_path}/{node.pk}"),
        client.delete(f"{nodes_path}/{node.pk}?drain=true"),
    ]
    assert {answer.status_code for answer in answers} == {409}
    assert {answer.json()["code"] for answer in answers} == {"nodes_discovered"}
    assert (row(node), row(kube)) == before
    assert Node.objects.count() == 1
    assert woken == []


@pytest.mark.parametrize(
    ("action", "state"), [("cordon", "CORDONED"), ("drain", "DRAINED"), ("uncordon", "READY")]
)
def test_nodes_are_closed_and_opened_here(api, ada, kube, node, action, state):
    Node.objects.update(state=NodeState.NOT_READY)
    response = api(ada).post(f"{path(kube)}/nodes/{node.pk}/{action}", {})
    assert (response.status_code, response.json()["state"]) == (200, state)


def test_the_last_node_takes_the_totals_with_it_and_leaves_the_server(kube, node):
    nodes.delete_node(node)
    assert {name: row(kube)[name] for name in NOTHING} == NOTHING
    assert kube.endpoints.count() == 1


# --- Queries -------------------------------------------------------------------------------------


def test_attaching_takes_few_queries(api, ada, org, django_assert_num_queries):
    # the caller, the role twice, the organization, the number of its clusters, and two rows between
    # two savepoints and their releases; its own endpoint, read again
    with django_assert_num_queries(14):  # one for what is closed, and one for the event
        assert api(ada).post(PATH, body(org)).status_code == 201


def test_a_list_looks_all_servers_up_at_once(api, vera, org, django_assert_num_queries):
    for number in range(4):
        cluster = make_cluster(org, name=f"k{number}", runtime="kubernetes", **NOTHING)
        Endpoint.objects.create(cluster=cluster, url=f"https://10.0.0.{number}", namespace="a")
    make_cluster(org)
    with django_assert_num_queries(4):  # one for what is closed
        listed = api(vera).get(PATH).json()
    assert [each["endpoint"] and each["endpoint"]["url"] for each in listed] == [
        *(f"https://10.0.0.{number}" for number in range(4)),
        None,
    ]
