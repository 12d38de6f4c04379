"""Whole nodes and all GPUs of nodes, from the submit to the end, in the tables and the answers."""

from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster, Node
from deployments.models import Deployment, Status
from deployments.reasons.reader import reasons_for
from deployments.services.stop import stop_deployment
from organizations.tests.people import client_for
from scheduler import audit
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nodes(cluster: Cluster) -> list[Node]:
    """Two machines: small has 2 GPUs and 16 cores, large has 6 and 48."""
    sizes = {"small": (16_000, 128 * 1024, 2), "large": (48_000, 384 * 1024, 6)}
    return [
        Node.objects.create(cluster=cluster, name=name, cpu_milli=cpu, ram_mib=ram, gpu=gpu)
        for name, (cpu, ram, gpu) in sizes.items()
    ]


def fresh(deployment: Deployment) -> Deployment:
    return Deployment.objects.get(pk=deployment.pk)


def free(name: str) -> tuple[int, int, int]:
    node = Node.objects.get(name=name)
    return node.free_cpu_milli, node.free_ram_mib, node.free_gpu


def node_of(row: Deployment) -> str:
    return str(fresh(row).placement[0]["node"])


def shown(row: Deployment, user: User, what: str = "") -> dict[str, Any]:
    found: dict[str, Any] = client_for(user).get(f"/api/deployments/{row.pk}{what}").json()
    return found


def reason(row: Deployment) -> tuple[str, str]:
    found = reasons_for([fresh(row)])[row.pk]
    assert found is not None
    return found["code"], found["message"]


def test_it_has_all_of_its_node_until_it_ends(cluster: Cluster, submit: Submit, dev: User) -> None:
    row = submit("LOW", exclusive=True, name="whole")
    run_cycle(cluster)
    assert (node_of(row), free("small")) == ("small", (0, 0, 0))
    assert audit.breaches() == []
    found = shown(row, dev)
    assert found["given"] == {"cpu": 16, "ram": 128 * 1024, "gpu": 2}
    assert (found["required_cpu"], found["required_gpu"], found["exclusive"]) == (1, 0, True)
    beside = submit("LOW", cpu=1)
    run_cycle(cluster)
    assert node_of(beside) == "large"
    stop_deployment(dev, fresh(row))
    assert free("small") == (16_000, 128 * 1024, 2)
    assert audit.breaches() == []
    assert shown(row, dev)["given"]["gpu"] == 2  # what it had


def test_all_gpus_of_its_node_and_no_more_of_the_rest(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    submit("LOW", gpu=1)
    run_cycle(cluster)
    row = submit("LOW", gpu="all", cpu=4)
    run_cycle(cluster)
    assert (node_of(row), free("large")) == ("large", (44_000, 383 * 1024, 0))
    assert shown(row, dev)["required_gpu"] == "all"
    assert audit.breaches() == []


def test_an_evicted_one_asks_again_for_what_it_asked_for(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    row = submit("LOW", exclusive=True, gpu=1)
    run_cycle(cluster)
    blocker = submit("HIGH", gpu=6)
    other = submit("HIGH", gpu=2)
    run_cycle(cluster)
    found = fresh(row)
    assert found.status == Status.QUEUED
    assert (found.cpu_milli, found.ram_mib, found.gpu) == (1000, 1024, 1)
    assert found.scheduling_key == "LOW/1000/1024/1x1/wn"
    assert reason(row)[0] == "PREEMPTED"
    assert audit.breaches() == []
    stop_deployment(dev, fresh(blocker))
    run_cycle(cluster)
    assert node_of(row) == "large"
    assert fresh(row).gpu == 6
    stop_deployment(dev, fresh(other))
    assert audit.breaches() == []


def test_its_victims_are_all_that_is_on_the_node_and_the_cycle_replays(
    cluster: Cluster, submit: Submit
) -> None:
    rows = [submit("LOW", gpu=1) for _ in range(2)] + [submit("HIGH", gpu=6)]
    run_cycle(cluster)
    taker = submit("HIGH", exclusive=True)
    run_cycle(cluster)
    assert node_of(taker) == "small"
    assert [fresh(row).status for row in rows] == ["QUEUED", "QUEUED", "RUNNING"]
    assert audit.breaches() == []
    record = SchedulingCycle.objects.order_by("-id")[0]
    assert make_plan(decode_snapshot(bytes(record.snapshot))) == decode_plan(bytes(record.plan))


def test_the_reason_says_that_no_node_is_empty(cluster: Cluster, submit: Submit) -> None:
    first, second = submit("HIGH", gpu=1), submit("HIGH", gpu=6)
    run_cycle(cluster)
    row = submit("HIGH", exclusive=True)
    run_cycle(cluster)
    code, message = reason(row)
    assert code == "NO_EMPTY_NODE"
    assert message.startswith("2 nodes would be large enough, none is empty")
    gpus = submit("HIGH", gpu="all")
    run_cycle(cluster)
    code, message = reason(gpus)
    assert code == "GPUS_IN_USE"
    assert message.startswith("2 nodes would be large enough, none has all GPUs free")
    assert {first.status, second.status} == {"QUEUED"}  # as submitted; both run since


def test_explain_says_what_would_let_it_start(cluster: Cluster, submit: Submit, dev: User) -> None:
    for gpu in (1, 2):
        submit("LOW", gpu=gpu)
    run_cycle(cluster)
    whole, gpus = submit("LOW", exclusive=True, gpu=1), submit("LOW", gpu="all")
    Deployment.objects.filter(pk=whole.pk).update(status=Status.STOPPED)
    run_cycle(cluster)
    help_ = shown(gpus, dev, "/explain")["starts_now_with"]
    assert {"field": "required_gpu", "at_most": 5} in help_["less"]
    assert help_["without_exclusive"] is False
    Deployment.objects.filter(pk=whole.pk).update(status=Status.QUEUED)
    run_cycle(cluster)
    found = shown(whole, dev, "/explain")
    assert found["starts_now_with"]["without_exclusive"] is True
    assert len(found["starts_now_with"]["after"]["any_one_of"]) == 2


def test_a_quote_foresees_it_and_its_token_admits_it(cluster: Cluster, dev: User) -> None:
    client = client_for(dev)
    asked = {
        "cluster_id": str(cluster.pk),
        "image": "busybox",
        "required_cpu": 1,
        "required_ram": 10,
        "required_gpu": "all",
        "exclusive": True,
    }
    quote = client.post("/api/deployments/quote", asked).json()
    assert quote["outcome"] == "STARTS_NOW", quote
    answer = client.post("/api/deployments", {**asked, "quote": quote["token"]})
    assert answer.status_code == 201, answer.json()
    row = Deployment.objects.get()
    assert (row.status, row.gpu, node_of(row)) == (Status.RUNNING, 2, "small")
    assert audit.breaches() == []


def test_a_gang_takes_equal_nodes(cluster: Cluster, submit: Submit, nodes: list[Node]) -> None:
    row = submit("LOW", gpu="all", exclusive=True, replicas=2)
    run_cycle(cluster)
    assert reason(row) == (
        "EXCEEDS_CAPACITY",
        "Each of its 2 replicas takes a whole node, and only 1 large enough node has the same "
        "size.",
    )
    Node.objects.create(cluster=cluster, name="third", cpu_milli=48_000, ram_mib=384 * 1024, gpu=6)
    Cluster.objects.filter(pk=cluster.pk).update(
        total_cpu_milli=112_000, total_ram_mib=896 * 1024, total_gpu=14
    )
    run_cycle(cluster)
    assert {each["node"] for each in fresh(row).placement} == {"large", "third"}
    assert audit.breaches() == []


def test_the_reason_names_the_node_that_is_empty_next(cluster: Cluster, submit: Submit) -> None:
    submit("HIGH", gpu=2, name="later", max_runtime_s=900)
    first = submit("HIGH", gpu=6, name="first", max_runtime_s=60)
    run_cycle(cluster)
    whole, gpus = submit("HIGH", exclusive=True), submit("HIGH", gpu="all")
    large = submit("HIGH", exclusive=True, gpu=3, name="large")
    run_cycle(cluster)
    assert reason(whole)[1].startswith(
        "2 nodes would be large enough, none is empty; large is empty when first of dev ends."
    )
    assert "large has all of them free when first of dev ends." in reason(gpus)[1]
    stop_deployment(first.owner, fresh(first))
    run_cycle(cluster)
    assert node_of(large) == "large"  # it has more GPUs to ask for, and goes first
    assert "small is empty when later of dev ends." in reason(whole)[1]
    Node.objects.filter(name="small").update(state="CORDONED")
    run_cycle(cluster)
    assert "large is empty when large of dev ends. 1 node is closed." in reason(whole)[1]
