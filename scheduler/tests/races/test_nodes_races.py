"""Changes to nodes against cycles and stops that come at the same moment, on connections of their
own: the first to lock the cluster wins, and all is in order afterwards.
"""

from functools import partial
from typing import Any

import pytest
from rest_framework.exceptions import APIException

from clusters.models import Cluster, Node
from clusters.services import nodes
from clusters.tests.allocation import make_node
from deployments.models import Deployment, Status
from deployments.services.stop import stop_deployment
from organizations.tests.people import all_at_once
from scheduler import audit, cycle
from scheduler.models import Trigger
from scheduler.tests.conftest import Submit

pytestmark = pytest.mark.django_db(transaction=True)

TIMES = 8


@pytest.fixture
def node(transactional_db: None, cluster: Cluster) -> Node:
    return machine(cluster)


def machine(cluster: Cluster, name: str = "a", gpu: int = 4) -> Node:
    return make_node(cluster, name=name, cpu_milli=32_000, ram_mib=256 * 1024, gpu=gpu)


def run(cluster: Cluster) -> Any:
    return cycle.run(cluster.pk, Trigger.SUBMITTED)


def assert_in_order() -> None:
    assert audit.breaches() == []
    for row in Deployment.objects.filter(status=Status.RUNNING):
        for place in row.placement:
            assert place["node_id"] is None or Node.objects.filter(pk=place["node_id"]).exists()


def raised(answers: list[Any]) -> list[Any]:
    """The codes of those refused; anything else that was raised fails."""
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    refused = [error for error in errors if isinstance(error, APIException)]
    assert refused == errors
    return [error.get_codes() for error in refused]


@pytest.mark.parametrize("drain", [False, True])
def test_a_deletion_against_a_cycle_that_places_there(
    cluster: Cluster, node: Node, submit: Submit, drain: bool
) -> None:
    machine(cluster, "small", gpu=1)
    for number in range(TIMES):
        target = machine(cluster, f"b{number}", gpu=16)  # the only one with so many
        row = submit("HIGH", gpu=16)
        answers = all_at_once(
            partial(nodes.delete_node, target, drain=drain), partial(run, cluster)
        )
        row.refresh_from_db()
        gone = not Node.objects.filter(pk=target.pk).exists()
        assert (row.status == Status.QUEUED) == gone
        assert raised(answers) == ([] if gone or drain else ["node_in_use"])
        assert_in_order()
        if drain and not gone:
            run(cluster)
            assert not Node.objects.filter(pk=target.pk).exists()
        stop_deployment(row.owner, row)
        if not (gone or drain):
            nodes.delete_node(target)
    assert_in_order()


def test_a_stop_against_the_cycle_that_drains(cluster: Cluster, node: Node, submit: Submit) -> None:
    machine(cluster, "other", gpu=0)
    for _ in range(TIMES):
        rows = [submit(gpu=2), submit(gpu=2)]
        run(cluster)
        nodes.delete_node(node, drain=True)
        stop = partial(stop_deployment, rows[0].owner, rows[0])
        assert raised(all_at_once(stop, partial(run, cluster))) == []
        run(cluster)
        assert not Node.objects.filter(pk=node.pk).exists()
        assert_in_order()
        stop_deployment(rows[1].owner, Deployment.objects.get(pk=rows[1].pk))
        node = machine(cluster)


def test_a_shrink_against_a_cycle_that_places_there(
    cluster: Cluster, node: Node, submit: Submit
) -> None:
    for _ in range(TIMES):
        row = submit(gpu=4)
        answers = all_at_once(partial(nodes.change_node, node, {"gpu": 3}), partial(run, cluster))
        row.refresh_from_db()
        refused = ["below_allocated"] if row.status == Status.RUNNING else []
        assert raised(answers) == refused
        assert_in_order()
        stop_deployment(row.owner, row)
        nodes.change_node(node, {"gpu": 4})


def test_a_first_node_against_a_cycle_of_the_pool(
    transactional_db: None, cluster: Cluster, submit: Submit
) -> None:
    row = submit(gpu=8)
    answers = all_at_once(partial(machine, cluster), partial(run, cluster))
    row.refresh_from_db()
    pool = row.status == Status.RUNNING
    assert raised(answers) == (["cluster_in_use"] if pool else [])
    assert Node.objects.count() == (not pool)
    assert_in_order()


def test_cordon_drain_and_deletion_all_at_once(
    cluster: Cluster, node: Node, submit: Submit
) -> None:
    machine(cluster, "other", gpu=0)
    submit(gpu=1)
    run(cluster)
    answers = all_at_once(
        partial(nodes.cordon, node),
        partial(nodes.drain, node),
        partial(nodes.delete_node, node, drain=True),
        partial(nodes.change_node, node, {"gpu": 0}, drain=True),
        partial(nodes.uncordon, node),
        partial(run, cluster),
    )
    assert set(raised(answers)) <= {"node_leaving", "not_found"}
    assert_in_order()
