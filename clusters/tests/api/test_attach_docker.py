"""POST and PATCH …/nodes of a docker cluster, and the shown parts of an engine."""

from functools import partial

import pytest

from clusters.endpoints.error_texts import NOT_YET
from clusters.models import Endpoint, Node, NodeState
from clusters.services import attach, nodes
from clusters.tests.allocation import allocate, make_node, row, totals
from clusters.tests.attached import secrets
from clusters.tests.endpoints.pki import pem
from organizations.tests.people import all_at_once

SIZE = {"cpu": 2.5, "ram": 1024, "gpu": 1}


def path(cluster, node=None):
    return f"/api/clusters/{cluster.pk}/nodes" + (f"/{node.pk}" if node else "")


def body(**fields):
    return {"name": "node-1", "endpoint": pem().body(), **fields}


def counts():
    return Node.objects.count(), Endpoint.objects.count()


def test_an_admin_attaches_an_engine_without_sizes(api, ada, docker, woken):
    response = api(ada).post(path(docker), body())
    assert response.status_code == 201
    answer = response.json()
    assert answer["endpoint"] == {
        "url": "tcp://10.0.0.5:2376",
        "seen_at": None,
        "error": NOT_YET,
        "away_since": None,
    }
    assert (answer["state"], answer["cpu"], answer["ram"], answer["gpu"]) == ("NOT_READY", 0, 0, 0)
    assert "BEGIN" not in response.content.decode()
    node = Node.objects.get()
    assert (node.state, node.observed) == (NodeState.READY, NodeState.NOT_READY)
    assert node.not_ready_since is not None
    assert node.discovered == ["cpu_milli", "ram_mib", "gpu"]
    assert secrets() == pem()._asdict()
    assert "PRIVATE" not in Endpoint.objects.get().secrets
    assert (Endpoint.objects.get().trusted, Endpoint.objects.get().cluster) == (False, docker)
    assert totals(docker) == (0, 0, 0)
    assert woken == [docker.pk]


@pytest.mark.parametrize(
    ("given", "discovered"),
    [
        (SIZE, []),
        ({"cpu": 2.5, "ram": 1024}, ["gpu"]),
        ({"gpu": 1}, ["cpu_milli", "ram_mib"]),
    ],
)
def test_a_given_size_is_not_discovered(api, ada, docker, given, discovered):
    answer = api(ada).post(path(docker), body(**given)).json()
    assert {name: answer[name] for name in SIZE} == {**dict.fromkeys(SIZE, 0), **given}
    assert Node.objects.get().discovered == discovered
    assert totals(docker)[2] == given.get("gpu", 0)


def test_a_size_that_is_set_later_is_no_longer_discovered(api, ada, docker, engine):
    answer = api(ada).patch(path(docker, engine), {"gpu": 0, "cpu": 8})
    assert answer.status_code == 200
    assert row(engine)["discovered"] == ["ram_mib"]
    assert totals(docker) == (8000, 0, 0)


def test_members_see_where_it_is_and_nothing_else_of_it(api, vera, docker, engine):
    for address in (path(docker), path(docker, engine)):
        response = api(vera).get(address)
        assert '"url":"tcp://10.0.0.5:2376"' in response.content.decode()
        assert f'"error":"{NOT_YET}"' in response.content.decode()
        assert "BEGIN" not in response.content.decode()
        assert row(engine.endpoint)["secrets"] not in response.content.decode()


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_may_not(api, docker, engine, person, status, request):
    client = api(request.getfixturevalue(person))
    before = row(engine), row(engine.endpoint)
    assert client.post(path(docker), body(name="node-2")).status_code == status
    changed = client.patch(path(docker, engine), {"endpoint": pem("two").body()})
    assert changed.status_code == status
    assert (row(engine), row(engine.endpoint)) == before
    assert counts() == (1, 1)


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        (pem().body(url="unix:///var/run/docker.sock"), {"url": "Only an operator may attach"}),
        (pem().body(url="ssh://root@10.0.0.5"), {"url": "Only an operator may attach"}),
        (pem().body(url="tcp://127.0.0.1:2376"), {"url": "127.0.0.1 is a loopback address"}),
        (pem().body(url="tcp://here.example.org:1"), {"url": "does not resolve, or leads to"}),
        (pem().body(url="tcp://nowhere.example.org:1"), {"url": "does not resolve"}),
        (pem().body(url="tcp://a:hunter2@10.0.0.5:1"), {"url": "must not have a user name"}),
        ({"url": "tcp://10.0.0.5:2376"}, {"ca": "required", "cert": "required", "key": "required"}),
        (pem().body(key=pem("two").key), {"key": "It is not the certificate's key."}),
        (pem("old", ends=-1).body(), {"cert": "It expired on"}),
        (pem().body(ca="x" * 40_000), {"ca": "no more than 32768"}),
        (pem().body(token="x"), {"token": "Unknown field."}),
    ],
)
@pytest.mark.parametrize("call", ["post", "patch"])
def test_a_tenant_may_not_attach_these_addresses(
    api, ada, docker, engine, endpoint, fault, call, woken
):
    woken.clear()
    before = row(docker), row(engine), row(engine.endpoint)
    address = path(docker, engine if call == "patch" else None)
    response = getattr(api(ada), call)(address, {"name": "new", "endpoint": endpoint})
    assert response.status_code == 400
    shown = response.json()["fields"]
    assert list(shown) == ["endpoint"]
    assert list(shown["endpoint"]) == list(fault)
    assert all(said in shown["endpoint"][name][0] for name, said in fault.items())
    assert "hunter2" not in response.content.decode()
    assert (row(docker), row(engine), row(engine.endpoint)) == before
    assert counts() == (1, 1)
    assert woken == []


def test_a_node_without_an_engine_is_refused(api, ada, docker):
    response = api(ada).post(path(docker), {"name": "node-1", **SIZE})
    assert response.json()["fields"] == {"endpoint": ["This field is required."]}
    assert counts() == (0, 0)


def test_an_engine_cannot_be_two_nodes(api, ada, docker, engine):
    response = api(ada).post(path(docker), body(name="node-2"))
    assert response.status_code == 409
    assert response.json() == {
        "detail": "A node of this cluster is attached at tcp://10.0.0.5:2376 already.",
        "code": "url_taken",
    }
    assert counts() == (1, 1)


def test_a_taken_name_leaves_no_endpoint_behind(api, ada, docker, engine):
    given = body(endpoint=pem().body(url="tcp://10.0.0.6:2376"))
    assert api(ada).post(path(docker), given).json()["code"] == "name_taken"
    assert counts() == (1, 1)


def test_a_simulated_node_has_no_endpoint_and_all_its_sizes(api, ada, cluster):
    response = api(ada).post(path(cluster), body(**SIZE))
    assert response.json()["fields"] == {"endpoint": ["Only in a docker cluster."]}
    response = api(ada).post(path(cluster), {"name": "node-1", "cpu": 1})
    assert response.json()["fields"] == {
        name: ["This field is required."] for name in ("ram", "gpu")
    }
    assert counts() == (0, 0)
    node = make_node(cluster)
    response = api(ada).patch(path(cluster, node), {"name": "new", "endpoint": pem().body()})
    assert response.json()["fields"] == {"endpoint": ["Only in a docker cluster."]}
    assert row(node)["name"] == "node-1"


def seen(node):
    """It has answered."""
    Node.objects.update(observed=NodeState.READY, not_ready_since=None)
    Endpoint.objects.update(seen_at="2026-03-01T09:00:00Z", error="x", trusted=True)
    node.refresh_from_db()


def test_new_certificates_of_the_same_engine_leave_it_ready(api, ada, docker, engine):
    seen(engine)
    response = api(ada).patch(path(docker, engine), {"endpoint": pem("two").body()})
    assert response.status_code == 200
    assert response.json()["state"] == "READY"
    assert response.json()["endpoint"]["seen_at"] == "2026-03-01T09:00:00Z"
    assert secrets() == pem("two")._asdict()
    assert (Endpoint.objects.get().trusted, Endpoint.objects.get().error) == (False, "")


def test_at_another_address_it_has_not_been_seen_yet(api, ada, docker, engine):
    seen(engine)
    endpoint = pem().body(url="tcp://gpu-1.example.org:2376")
    response = api(ada).patch(path(docker, engine), {"endpoint": endpoint, "name": "gpu-1"})
    assert response.json()["name"] == "gpu-1"
    assert response.json()["state"] == "NOT_READY"
    assert response.json()["endpoint"] == {
        "url": "tcp://gpu-1.example.org:2376",
        "seen_at": None,
        "error": NOT_YET,
        "away_since": None,
    }
    assert row(engine)["not_ready_since"] is not None
    assert counts() == (1, 1)


def test_a_new_address_needs_its_certificates_again(api, ada, docker, engine):
    before = row(engine.endpoint)
    response = api(ada).patch(path(docker, engine), {"endpoint": {"url": "tcp://10.0.0.6:1"}})
    assert response.status_code == 400
    assert list(response.json()["fields"]["endpoint"]) == ["ca", "cert", "key"]
    assert row(engine.endpoint) == before


def test_an_engines_endpoint_goes_with_it(api, ada, docker, engine):
    assert api(ada).delete(path(docker, engine)).status_code == 204
    assert counts() == (0, 0)
    assert totals(docker) == (0, 0, 0)


def test_it_goes_with_it_once_a_drain_has_emptied_it(api, ada, docker, engine):
    nodes.change_node(engine, {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 2})
    allocate(engine)
    assert api(ada).delete(path(docker, engine) + "?drain=true").status_code == 202
    assert counts() == (1, 1)
    allocate(engine, -1000, -512, -1)
    assert counts() == (0, 0)
    assert totals(docker) == (0, 0, 0)


@pytest.mark.parametrize("action", ["cordon", "drain", "uncordon"])
def test_it_is_closed_and_opened_like_any_other(api, ada, docker, engine, action):
    seen(engine)
    response = api(ada).post(f"{path(docker, engine)}/{action}", {})
    states = {"cordon": "CORDONED", "drain": "DRAINED", "uncordon": "READY"}
    assert response.json()["state"] == states[action]


def test_an_operator_may_attach_this_very_host(docker):
    given = {"name": "local", "endpoint": {"url": "unix:///var/run/docker.sock"}}
    node = attach.add_node(docker, given, trusted=True)
    assert node.endpoint is not None
    assert (node.endpoint.trusted, node.endpoint.secrets) == (True, "")


@pytest.mark.django_db(transaction=True)
def test_of_two_that_attach_one_engine_at_once_one_does(api, ada, org, docker):
    post = partial(api(ada).post, path(docker))
    answers = all_at_once(*(partial(post, body(name=f"node-{number}")) for number in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert counts() == (1, 1)


def test_no_secret_is_logged(api, ada, docker, engine, caplog):
    caplog.set_level("DEBUG")
    api(ada).post(path(docker), body(name="node-2", endpoint=pem().body(url="tcp://10.0.0.6:1")))
    api(ada).patch(path(docker, engine), {"endpoint": pem().body(key=pem("two").key)})
    shown = caplog.text + repr([(record.__dict__, record.args) for record in caplog.records])
    assert "2376" not in shown
    assert "PRIVATE" not in shown
    assert pem().key.splitlines()[1] not in shown


def test_attaching_takes_few_queries(api, ada, docker, django_assert_num_queries):
    # the caller, the cluster, their role; begin; the lock, the same address, the endpoint; begin,
    # the lock, how many there are, the row, their sum, the totals; and two ends
    with django_assert_num_queries(17):  # the database's clock is one, the event another
        assert api(ada).post(path(docker), body()).status_code == 201


def test_nodes_and_their_endpoints_are_one_query(api, vera, docker, django_assert_num_queries):
    for number in range(5):
        endpoint = pem().body(url=f"tcp://10.0.0.{number}:2376")
        attach.add_node(docker, {"name": f"n{number}", "endpoint": endpoint})
    with django_assert_num_queries(4):
        assert len(api(vera).get(path(docker)).json()) == 5
