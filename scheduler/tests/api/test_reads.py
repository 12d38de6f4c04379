"""A cluster's /status, /queue and /cycles, and /api/cycles/{id}: owner, teammate, stranger."""

import pytest
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from clusters.models import Cluster, State
from clusters.tests.allocation import make_node
from deployments.models import Deployment
from mlops_platform.coordination.redis import redis_client
from organizations.tests.people import client_for
from scheduler.api.plan_serializers import RULE
from scheduler.models import SchedulingCycle
from scheduler.queues.queue_sync import mend
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def paths(cluster: Cluster, submit: Submit) -> dict[str, str]:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    base = f"/api/clusters/{cluster.pk}"
    cycle = SchedulingCycle.objects.get()
    return {
        "status": f"{base}/status",
        "queue": f"{base}/queue",
        "cycles": f"{base}/cycles",
        "cycle": f"/api/cycles/{cycle.pk}",
    }


@pytest.mark.parametrize("call", ["status", "queue", "cycles", "cycle"])
def test_members_read_and_strangers_find_nothing(
    paths: dict[str, str], call: str, ada: User, vera: User, sam: User
) -> None:
    for member in (ada, vera):
        assert client_for(member).get(paths[call]).status_code == 200
    answer = client_for(sam).get(paths[call])
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert client_for(None).get(paths[call]).status_code == 401


def test_status_shows_capacity_queues_and_the_last_cycle(
    cluster: Cluster, submit: Submit, vera: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit("LOW", gpu=6, cpu=16)
    run_cycle(cluster)
    submit("HIGH", gpu=9)
    submit("LOW", gpu=4)
    mend(cluster.pk)
    client = client_for(vera)
    with django_assert_num_queries(9):  # user, cluster, membership, status_of's five, closed nodes
        body = client.get(f"/api/clusters/{cluster.pk}/status").json()
    assert body["available_gpu"] == 2
    assert body["utilisation"] == {"cpu": 0.25, "ram": 0.002, "gpu": 0.75}
    assert body["queue_lengths"] == {"HIGH": 1, "LOW": 1}
    assert body["running"] == 1
    assert body["last_cycle"]["started"] == 1
    assert set(body["nodes"].values()) == {0}


def test_status_counts_the_nodes_by_state(cluster: Cluster, vera: User) -> None:
    states = {"READY": 2, "CORDONED": 1, "DRAINING": 2, "DRAINED": 1, "NOT_READY": 1}
    for state, count in states.items():
        for number in range(count):
            make_node(cluster, name=f"{state}-{number}", state=state)
    body = client_for(vera).get(f"/api/clusters/{cluster.pk}/status").json()
    counts = {state.lower(): count for state, count in states.items()}
    assert body["nodes"] == {"total": 7, **counts}
    assert body["total_gpu"] == 14  # closed ones count too


def test_the_queue_is_in_scheduling_order_with_positions_and_reasons(
    cluster: Cluster, submit: Submit, vera: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    small, big = submit("LOW", gpu=1), submit("LOW", gpu=4)
    high, impossible = submit("HIGH", gpu=9), submit("LOW", gpu=9)
    run_cycle(cluster)
    client = client_for(vera)
    # user, cluster, membership, rows, reasons, classes
    with django_assert_num_queries(7):
        rows = client.get(f"/api/clusters/{cluster.pk}/queue").json()
    assert [row["id"] for row in rows] == [str(d.pk) for d in (big, small, high, impossible)]
    assert [row["position"] for row in rows] == [1, 2, 3, 4]
    assert [row["reason"]["code"] for row in rows] == [
        "INSUFFICIENT_CAPACITY",
        "INSUFFICIENT_CAPACITY",
        "EXCEEDS_CAPACITY",
        "EXCEEDS_CAPACITY",
    ]


def test_what_the_cluster_could_never_run_is_in_front_of_nothing(
    cluster: Cluster, submit: Submit, vera: User, dev: User
) -> None:
    """In rows, in a quote, and whatever its class; the more urgent of these comes first."""
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    never = [submit("LOW", gpu=9), submit("HIGH", cpu=65), submit("HIGH", gpu=5, replicas=2)]
    rows = [submit("LOW", gpu=1), submit("HIGH", gpu=2), submit("LOW", gpu=3)]
    run_cycle(cluster)
    client = client_for(vera)

    def position(row: Deployment) -> int:
        found: int = client.get(f"/api/deployments/{row.pk}").json()["queue_position"]
        return found

    assert [position(row) for row in rows] == [3, 1, 2]
    assert [position(row) for row in never] == [6, 4, 5]
    assert quoted(dev, body(cluster, gpu=3))["queue_position"] == 3
    assert quoted(dev, body(cluster, gpu=9, priority="HIGH"))["queue_position"] == 6
    assert quoted(dev, body(cluster, gpu=9))["queue_position"] == 7


def test_the_queue_pages_without_losing_or_repeating_anybody(
    cluster: Cluster, submit: Submit, vera: User
) -> None:
    Cluster.objects.update(state=State.PAUSED)
    expected = {str(submit(("LOW", "HIGH")[n % 2], gpu=n % 3).pk) for n in range(11)}
    client, url = client_for(vera), f"/api/clusters/{cluster.pk}/queue?limit=3"
    seen: list[str] = []
    while url:
        answer = client.get(url)
        seen += [row["id"] for row in answer.json()]
        link = answer.headers.get("Link", "")
        url = link.partition("<")[2].partition(">")[0]
    assert len(seen) == 11
    assert set(seen) == expected


def test_a_cycle_shows_victims_preemptors_and_reasons(
    cluster: Cluster, submit: Submit, vera: User
) -> None:
    low = submit("LOW", gpu=8)
    run_cycle(cluster)
    high = submit("HIGH", gpu=1)
    run_cycle(cluster)
    client = client_for(vera)
    newest = client.get(f"/api/clusters/{cluster.pk}/cycles?limit=1").json()[0]
    assert (newest["started"], newest["evicted"]) == (1, 1)
    plan = client.get(f"/api/cycles/{newest['id']}").json()["plan"]
    assert plan["starts"] == [
        {
            "deployment_id": str(high.pk),
            "name": "busybox of dev",
            "placement": [{"node_id": None, "node": None, "replicas": 1}],
            "victims": [str(low.pk)],
            "victim_names": ["busybox of dev"],
            "rule": RULE,
            "proved_cheapest": True,
            "next_best": [],
            "next_best_names": [],
            "next_best_cost": 0.0,
        }
    ]
    (eviction,) = plan["evictions"]
    assert (eviction["deployment_id"], eviction["by"]) == (str(low.pk), str(high.pk))
    assert (eviction["name"], eviction["by_name"]) == ("busybox of dev", "busybox of dev")
    assert eviction["reason"]["code"] == "PREEMPTED"
    assert "Made room for busybox of dev (HIGH)" in eviction["reason"]["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=!", "cursor"), ("sort=x", "sort")],
)
def test_a_bad_query_names_the_parameter(
    paths: dict[str, str], vera: User, query: str, field: str
) -> None:
    for call in ("queue", "cycles"):
        answer = client_for(vera).get(f"{paths[call]}?{query}")
        assert answer.status_code == 400
        assert field in answer.json()["fields"]


def test_a_plan_of_another_version_is_null(
    paths: dict[str, str], cluster: Cluster, vera: User
) -> None:
    SchedulingCycle.objects.update(plan=b"another version")
    answer = client_for(vera).get(paths["cycle"])
    assert (answer.status_code, answer.json()["plan"]) == (200, None)


def test_lengths_come_from_the_table_while_the_queues_are_empty(
    cluster: Cluster, submit: Submit, vera: User
) -> None:
    submit("LOW", gpu=9)
    redis_client().flushdb()
    body = client_for(vera).get(f"/api/clusters/{cluster.pk}/status").json()
    assert body["queue_lengths"] == {"HIGH": 0, "LOW": 1}


def test_the_largest_numbers_that_may_be_asked_for_can_be_ordered(
    cluster: Cluster, submit: Submit, vera: User
) -> None:
    Cluster.objects.update(total_cpu_milli=10**15, state=State.PAUSED)
    submit("LOW")
    Deployment.objects.update(cpu_milli=10**10, replicas=1000)
    assert client_for(vera).get(f"/api/clusters/{cluster.pk}/queue").status_code == 200
