"""FRAGMENTED for a deployment that may preempt: `reason`, `explain`, `quote` and lists say the
same, whether or not a cycle reads it."""

from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster, Node
from deployments.models import WaitReason
from organizations.tests.people import client_for
from scheduler.tests.api.test_explain import explained
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db

SENTENCE = (
    "Enough is free or could be preempted in all, but not on one node: asks for 8 GPUs, "
    "the best has 2."
)


def machine(cluster: Cluster, name: str, **more: Any) -> Node:
    sizes = {"cpu_milli": 64_000, "ram_mib": 512 * 1024, "gpu": 8}
    return Node.objects.create(cluster=cluster, name=name, **sizes, **more)


@pytest.fixture
def nodes(cluster: Cluster, submit: Submit) -> list[Node]:
    """Four machines of 8 GPUs, each with 6 allocated to HIGH and 2 to LOW."""
    totals = {"total_cpu_milli": 256_000, "total_ram_mib": 2**21, "total_gpu": 32}
    Cluster.objects.filter(pk=cluster.pk).update(**totals)
    found = []
    for name in "abcd":
        found.append(machine(cluster, name))
        submit("HIGH", gpu=6)
        submit("LOW", gpu=2)
        run_cycle(cluster)
    return found


@pytest.mark.parametrize("others", [0, 12])
def test_what_is_enough_in_all_but_on_no_node_is_fragmented_wherever_it_is_said(
    cluster: Cluster, nodes: list[Node], submit: Submit, dev: User, others: int
) -> None:
    """Also where so many wait that no cycle reads it."""
    for number in range(others):
        submit("LOW", gpu=1, cpu=number + 1)
    row = submit("HIGH", gpu=8)
    run_cycle(cluster)
    stored = WaitReason.objects.filter(scheduling_key=row.scheduling_key)
    assert stored.exists() == (not others)
    listed = client_for(dev).get("/api/deployments?priority=HIGH&status=QUEUED").json()
    [reason] = [each["reason"] for each in listed if each["id"] == str(row.pk)]
    assert (reason["code"], reason["message"].startswith(SENTENCE)) == ("FRAGMENTED", True)
    gpus = [reason["details"][name]["gpu"] for name in ("free", "evictable", "best_node")]
    assert gpus == [0, 8, 2]
    assert explained(dev, row)["reason"] == reason
    quote = quoted(dev, body(cluster, gpu=8, priority="HIGH"))
    assert quote["reason"] == reason


@pytest.mark.parametrize("others", [0, 12])
def test_what_stays_or_leaves_anyway_does_not_count(
    cluster: Cluster, nodes: list[Node], submit: Submit, dev: User, others: int
) -> None:
    """Node d drains, so that only 6 GPUs could be preempted."""
    Node.objects.filter(pk=nodes[3].pk).update(state="DRAINING")
    for number in range(others):
        submit("LOW", gpu=1, cpu=number + 1)
    row = submit("HIGH", gpu=8)
    run_cycle(cluster)
    assert explained(dev, row)["reason"]["code"] == "INSUFFICIENT_CAPACITY"
    assert quoted(dev, body(cluster, gpu=8, priority="HIGH"))["reason"]["code"] == (
        "INSUFFICIENT_CAPACITY"
    )
