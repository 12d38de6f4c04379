"""Volumes that only some nodes have: where their deployments start, and why they wait."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from clusters.models import Cluster, Node, NodeState, Volume
from clusters.services.volumes import add_volume, change_volume
from deployments.models import Deployment, Status
from deployments.reasons.reader import reasons_for
from organizations.models import Organization
from organizations.tests.people import client_for
from scheduler import audit
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db

Offer = Callable[..., Volume]


@pytest.fixture
def nodes(cluster: Cluster) -> list[Node]:
    """Two machines of 4 GPUs each, in the zones a and b."""
    return [
        Node.objects.create(
            cluster=cluster,
            name=name,
            labels={"zone": name},
            cpu_milli=32_000,
            ram_mib=256 * 1024,
            gpu=4,
        )
        for name in ("a", "b")
    ]


@pytest.fixture
def offer(cluster: Cluster, nodes: list[Node]) -> Offer:
    def offer(name: str = "data", into: Cluster = cluster, **where: Any) -> Volume:
        return add_volume(into, {"name": name, "kind": "DOCKER_VOLUME", **where})

    return offer


def mounting(*names: str) -> dict[str, Any]:
    mounts = [
        {"name": name, "path": f"/{name}", "read_only": False, "sub_path": ""} for name in names
    ]
    return {"volumes": mounts}


def fresh(deployment: Deployment) -> Deployment:
    found = Deployment.objects.select_related("priority_class", "cluster")
    return found.get(pk=deployment.pk)


def node_of(deployment: Deployment) -> str | None:
    placement = fresh(deployment).placement
    return placement[0]["node"] if placement else None


def reason_of(deployment: Deployment) -> Any:
    return reasons_for([fresh(deployment)])[deployment.pk]


def explained(user: User, deployment: Deployment) -> Any:
    return client_for(user).get(f"/api/deployments/{deployment.pk}/explain").json()


@pytest.mark.parametrize("where", [{"node_names": ["b"]}, {"node_selector": {"zone": "b"}}])
def test_a_deployment_starts_on_a_node_that_has_its_volume(
    cluster: Cluster, offer: Offer, submit: Submit, where: dict[str, Any]
) -> None:
    offer(**where)
    rows = [submit(gpu=2, **mounting("data")) for _ in range(2)]
    free = submit(gpu=4)
    run_cycle(cluster)
    assert [node_of(row) for row in rows] == ["b", "b"]
    assert node_of(free) == "a"
    assert audit.breaches() == []
    for cycle in SchedulingCycle.objects.all():  # a replay knows the volumes too
        plan = make_plan(decode_snapshot(bytes(cycle.snapshot)))
        assert plan == decode_plan(bytes(cycle.plan))


def test_a_gang_starts_beside_its_volume_or_not_at_all(
    cluster: Cluster, offer: Offer, submit: Submit
) -> None:
    offer(node_names=["b"])
    fits = submit(gpu=2, replicas=2, **mounting("data"))
    run_cycle(cluster)
    assert fresh(fits).placement[0]["replicas"] == 2
    too_large = submit(gpu=2, replicas=3, **mounting("data"))
    run_cycle(cluster)
    reason = reason_of(too_large)
    assert reason["code"] == "EXCEEDS_CAPACITY"
    assert reason["details"]["volumes"] == ["data"]


def test_volumes_and_labels_count_together(cluster: Cluster, offer: Offer, submit: Submit) -> None:
    offer("one", node_names=["a"])
    offer("two", node_names=["b"])
    offer("all")
    both = submit(gpu=1, **mounting("one", "two"))
    elsewhere = submit(gpu=1, node_selector={"zone": "b"}, **mounting("one"))
    everywhere = submit(gpu=1, node_selector={"zone": "b"}, **mounting("all"))
    run_cycle(cluster)
    assert node_of(everywhere) == "b"
    assert reason_of(both)["message"] == "No node of the cluster has the volumes one, two."
    assert reason_of(elsewhere)["message"] == (
        "No node of the cluster carries the labels zone=b and has the volume one."
        " Nodes have zone=b (1), but none has all."
    )


def test_what_waits_for_nodes_with_its_volume_says_so(
    cluster: Cluster, offer: Offer, submit: Submit, vera: User
) -> None:
    offer(node_names=["b"])
    submit(gpu=3, **mounting("data"))
    run_cycle(cluster)
    row = submit(gpu=2, **mounting("data"))
    run_cycle(cluster)
    reason = reason_of(row)
    assert reason["code"] == "INSUFFICIENT_CAPACITY"
    assert reason["details"]["volumes"] == ["data"]
    assert reason["message"].endswith("Only nodes that have the volume data count.")
    help_ = explained(vera, row)["starts_now_with"]
    assert help_["without_volumes"] == ["data"]
    assert help_["less"] == [{"field": "required_gpu", "at_most": 1}]


def test_what_only_its_volume_makes_impossible_is_told_what_would_help(
    cluster: Cluster, offer: Offer, submit: Submit, vera: User
) -> None:
    offer("one", node_names=["a"])
    offer("two", node_names=["b"])
    offer("never", node_names=["gone"])
    rows = [submit(gpu=1, **mounting(*names)) for names in (["one", "two"], ["never", "two"])]
    neither = submit(gpu=1, node_selector={"zone": "c"}, **mounting("one"))
    run_cycle(cluster)
    helps = [explained(vera, each)["starts_now_with"]["without_volumes"] for each in rows]
    assert helps == [["one"], ["never"]]
    assert explained(vera, neither)["starts_now_with"]["without_volumes"] == []


def test_where_one_volume_less_is_not_enough_all_are_named(
    cluster: Cluster, offer: Offer, submit: Submit, vera: User
) -> None:
    for name in ("one", "two"):
        offer(name, node_names=["gone"])
    row = submit(gpu=1, **mounting("one", "two"))
    run_cycle(cluster)
    assert explained(vera, row)["starts_now_with"]["without_volumes"] == ["one", "two"]


def test_a_quote_knows_where_the_volume_is(
    cluster: Cluster, offer: Offer, submit: Submit, dev: User
) -> None:
    offer(node_names=["b"])
    submit(gpu=4, node_selector={"zone": "b"})
    run_cycle(cluster)
    body = {"cluster_id": str(cluster.pk), "image": "a", "required_cpu": 1, "required_ram": 1}
    body |= {"required_gpu": 1, "priority": "LOW"}
    call = client_for(dev).post
    assert call("/api/deployments/quote", body).json()["outcome"] == "STARTS_NOW"
    answer = call("/api/deployments/quote", {**body, **mounting("data")}).json()
    assert answer["outcome"] == "WAITS"
    assert answer["reason"]["details"]["volumes"] == ["data"]


def test_only_clusters_that_offer_the_volume_would_take_it(
    cluster: Cluster, offer: Offer, submit: Submit, org: Organization, vera: User
) -> None:
    offer(node_names=["gone"])
    total = {"total_cpu_milli": 9000, "total_ram_mib": 9000, "total_gpu": 4}
    others = [
        Cluster.objects.create(organization=org, name=f"c{number}", **total) for number in range(2)
    ]
    offer(into=others[1])
    row = submit(gpu=1, **mounting("data"))
    run_cycle(cluster)
    found = explained(vera, row)["starts_now_with"]["another_cluster"]
    assert [each["cluster_id"] for each in found] == [str(others[1].pk)]


def test_a_change_of_its_nodes_counts_from_the_next_cycle_on(
    cluster: Cluster, offer: Offer, submit: Submit
) -> None:
    volume = offer(node_names=["gone"])
    row = submit(gpu=1, **mounting("data"))
    run_cycle(cluster)
    assert node_of(row) is None
    change_volume(volume, {"node_names": ["a"]})
    run_cycle(cluster)
    assert node_of(row) == "a"
    change_volume(volume, {"node_names": ["b"]})
    run_cycle(cluster)
    assert fresh(row).status == Status.RUNNING  # what runs runs on
    assert node_of(row) == "a"


def test_equal_requests_with_other_volumes_are_not_taken_for_equal(
    cluster: Cluster, offer: Offer, submit: Submit
) -> None:
    for name in ("one", "two"):
        offer(name, node_names=["a"])
    keys = {
        submit(**mounting(*names)).scheduling_key
        for names in ([], ["one"], ["two"], ["one", "two"], ["two", "one"])
    }
    assert len(keys) == 4


def test_a_preemptor_evicts_where_its_volume_is(
    cluster: Cluster, offer: Offer, submit: Submit
) -> None:
    offer(node_names=["b"])
    here, there = (submit(gpu=4, node_selector={"zone": zone}) for zone in "ba")
    run_cycle(cluster)
    high = submit("HIGH", gpu=1, **mounting("data"))
    run_cycle(cluster)
    assert node_of(high) == "b"
    assert [fresh(each).status for each in (here, there)] == [Status.QUEUED, Status.RUNNING]


def test_closed_nodes_that_lack_the_volume_are_not_counted(
    cluster: Cluster, offer: Offer, nodes: list[Node], submit: Submit
) -> None:
    offer(node_names=["b"])
    Node.objects.update(observed=NodeState.NOT_READY)
    row = submit(gpu=1, **mounting("data"))
    run_cycle(cluster)
    reason = reason_of(row)
    assert reason["details"]["closed_nodes"] == 1
    assert reason["details"]["away_nodes"] == 1


def test_a_cycle_reads_volumes_only_where_a_node_may_lack_one(
    cluster: Cluster, offer: Offer, submit: Submit
) -> None:
    volume = offer()
    for where, reads in (({}, 0), ({"node_names": ["a"]}, 1)):
        change_volume(volume, where)
        submit(gpu=1, **mounting("data"))
        with CaptureQueriesContext(connection) as queries:
            run_cycle(cluster)
        asked = [each for each in queries if 'FROM "clusters_volume"' in each["sql"]]
        assert len(asked) == reads


@pytest.mark.parametrize("where", [{"node_names": ["b"]}, {"node_selector": {"zone": "b"}}])
def test_only_what_runs_beside_its_volume_is_spared_for_it(
    cluster: Cluster, offer: Offer, submit: Submit, vera: User, where: dict[str, Any]
) -> None:
    """So say the statement behind `reason` and the engine behind `explain`."""
    Cluster.objects.update(max_preemptions=0)
    offer(**where)
    for zone in "ab":
        submit("LOW", gpu=4, node_selector={"zone": zone})
    run_cycle(cluster)
    row = submit("HIGH", gpu=1, **mounting("data"))
    run_cycle(cluster)
    counted = [(each["cause"], each["count"]) for each in reason_of(row)["details"]["spared"]]
    found = explained(vera, row)["preemption"]["spared"]
    assert counted == [("MAX_PREEMPTIONS", 1)]
    causes = {each["cause"]: each["count"] for each in found}
    assert causes == {"MAX_PREEMPTIONS": 1, "OTHER_NODES": 1}


def test_a_label_that_no_node_carries_is_told_with_those_that_nodes_carry(
    cluster: Cluster, nodes: list[Node], submit: Submit, vera: User
) -> None:
    submit(gpu=2)
    row = submit(gpu=1, node_selector={"zone": "c"})
    run_cycle(cluster)
    reason = reason_of(row)
    assert reason["code"] == "NO_MATCHING_NODE"
    assert [each["value"] for each in reason["details"]["nearest"]] == ["a", "b"]
    assert reason["message"].endswith("Nodes have zone=a (1), zone=b (1).")
    found = explained(vera, row)
    assert found["starts_now_with"]["without_labels"] == {"zone": "c"}
    assert found["allocated_to"] == []
