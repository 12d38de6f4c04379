"""GET /api/deployments/{id}/peers"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.models import Node, Sandbox
from clusters.tests.allocation import make_node
from deployments.models import Deployment
from deployments.reasons.warnings import is_ordinary
from deployments.tests.workloads import body

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"


@pytest.fixture
def gang(api, dev, cluster):
    answer = api(dev).post(PATH, body(cluster, replicas=2, required_gpu=0))
    return answer.json()["id"]


def test_a_gang_shows_how_each_replica_finds_the_others_also_in_simulation(api, dev, gang):
    answer = api(dev).get(f"{PATH}/{gang}/peers?replica=1")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["replica"], shown["unreachable"]) == (1, None)
    assert shown["name"] == f"replica-1.mlops-{gang}-1"
    assert shown["variables"]["RANK"] == "1"
    assert shown["variables"]["MASTER_ADDR"] == f"replica-0.mlops-{gang}-1"
    assert shown["hostfile"].splitlines() == [
        f"replica-{number}.mlops-{gang}-1 slots=1" for number in (0, 1)
    ]


def test_no_value_of_a_users_env_is_shown(api, dev, cluster):
    given = {"MASTER_ADDR": "10.0.0.1", "WORLD_SIZE": "16", "TOKEN": "hunter2"}
    made = api(dev).post(PATH, body(cluster, replicas=2, env=given)).json()
    answer = api(dev).get(f"{PATH}/{made['id']}/peers")
    assert not given.keys() & answer.json()["variables"].keys()
    for value in ("10.0.0.1", "hunter2"):
        assert value not in answer.content.decode()


def test_a_deployment_of_one_replica_has_no_peers(api, dev, cluster):
    made = api(dev).post(PATH, body(cluster)).json()
    assert api(dev).get(f"{PATH}/{made['id']}/peers").json() == {
        "replica": 0,
        "name": None,
        "variables": {},
        "hostfile": None,
        "unreachable": None,
    }


def test_where_no_network_connects_them_the_answer_says_why(api, dev, cluster, gang):
    type(cluster).objects.update(runtime="docker")
    Sandbox.objects.create(cluster=cluster, network="none")
    shown = api(dev).get(f"{PATH}/{gang}/peers").json()
    assert "no network" in shown["unreachable"]
    assert (shown["name"], shown["hostfile"]) == (None, None)
    assert "MASTER_ADDR" not in shown["variables"]
    assert shown["variables"]["WORLD_SIZE"] == "2"


def test_the_names_are_those_of_the_present_attempt(api, dev, gang):
    Deployment.objects.update(attempt=3)
    shown = api(dev).get(f"{PATH}/{gang}/peers").json()
    assert shown["name"] == f"replica-0.mlops-{gang}-3"


@pytest.mark.parametrize("text", ["2", "-1", "x", "1000", "", "1&replica=0"])
def test_a_replica_that_it_does_not_have_is_refused(api, dev, gang, text):
    answer = api(dev).get(f"{PATH}/{gang}/peers?replica={text}")
    assert answer.status_code == 400
    assert "replica" in answer.json()["fields"]


def test_owner_teammate_and_stranger(api, dev, vera, sam, gang):
    path = f"{PATH}/{gang}/peers"
    codes = [api(user).get(path).status_code for user in (dev, vera, sam)]
    assert codes == [200, 200, 404]


@pytest.mark.parametrize(
    ("runtime", "network", "engines", "replicas", "codes"),
    [
        ("docker", "bridge", 1, 2, []),
        ("docker", "bridge", 2, 1, []),
        ("docker", "bridge", 2, 2, ["PEERS_MAY_BE_UNREACHABLE"]),
        ("docker", "bridge", 2, 5, ["PEERS_UNREACHABLE"]),  # of which an engine takes four
        ("docker", "overlay", 2, 5, []),
        ("docker", "none", 1, 2, ["PEERS_UNREACHABLE"]),
        ("kubernetes", "bridge", 2, 5, []),
        ("simulated", "bridge", 2, 5, []),
    ],
)
def test_a_submit_and_a_quote_warn_of_a_gang_whose_replicas_cannot_meet(
    api, dev, cluster, runtime, network, engines, replicas, codes
):
    type(cluster).objects.update(runtime=runtime)
    Sandbox.objects.create(cluster=cluster, network=network)
    for number in range(engines):
        Node.objects.create(
            cluster=cluster, name=f"n{number}", cpu_milli=64000, ram_mib=262144, gpu=4
        )
    asked = body(cluster, replicas=replicas, required_gpu=1)
    answers = [api(dev).post(path, asked) for path in (f"{PATH}/quote", PATH)]
    assert [each.status_code for each in answers] == [200, 201]
    for answer in answers:
        warnings = answer.json()["warnings"]
        assert [each["code"] for each in warnings] == codes
        assert {each["field"] for each in warnings} == ({"replicas"} if codes else set())
    rerun = f"{PATH}/{answers[1].json()['id']}/rerun"
    for path, given in ((PATH, asked), (f"{PATH}/bulk", {"deployments": [asked]}), (rerun, {})):
        for _ in range(2):
            again = api(dev).post(path, given, HTTP_IDEMPOTENCY_KEY=path[-9:])
            assert again.status_code == 201, again.content
            [shown] = again.json() if path.endswith("bulk") else [again.json()]
            assert shown["warnings"] == warnings
        assert "Idempotency-Replayed" in again.headers


def test_items_of_a_bulk_have_their_own_warnings_by_as_many_queries_as_one(api, dev, cluster):
    type(cluster).objects.update(runtime="docker")
    for number in range(2):
        make_node(cluster, name=f"n{number}", gpu=4)
    items = [body(cluster, replicas=1 + number % 3, required_gpu=2) for number in range(9)]
    items[2] |= {"exclusive": True, "replicas": 2}
    bulk = f"{PATH}/bulk"
    api(dev).post(bulk, {"deployments": items})  # counts the queue
    counts = []
    for given in (items[2:3], items):
        with CaptureQueriesContext(connection) as queries:
            answer = api(dev).post(bulk, {"deployments": given})
        assert answer.status_code == 201, answer.content
        counts.append(len(queries))
    assert counts[0] == counts[1]
    codes = [[each["code"] for each in item["warnings"]] for item in answer.json()]
    perhaps, never = ["PEERS_MAY_BE_UNREACHABLE"], ["PEERS_UNREACHABLE"]
    assert codes == [[], perhaps, never] + [[], perhaps, never] * 2


def test_one_replica_costs_one_query_for_its_warnings(api, dev, cluster, django_assert_num_queries):
    type(cluster).objects.update(runtime="docker")
    row = Deployment(cluster=type(cluster).objects.get(), replicas=1, cpu_milli=1, ram_mib=1, gpu=0)
    with django_assert_num_queries(1):
        assert is_ordinary(row)
