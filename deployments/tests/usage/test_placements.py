"""GET /api/deployments/{id}: on which nodes it was."""

from collections.abc import Callable

import pytest

from accounts.models import User
from clusters.models import Node, NodeState
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.usage.conftest import Show
from organizations.tests.people import JsonClient

pytestmark = pytest.mark.django_db


def test_nodes_and_times_stay_readable_after_the_end(
    testbed: Testbed, show: Show, api: Callable[[User], JsonClient], dev: User
):
    node = testbed.add_node("a")
    Node.objects.update(observed=NodeState.READY)
    row = testbed.submit(max_retries=1)
    client = api(dev)

    def placements() -> list[tuple[object, ...]]:
        found = client.get(f"/api/deployments/{row.pk}").json()["placements"]
        names = ("attempt", "node_id", "node", "replicas", "outcome")
        return [(*(each[name] for name in names), each["end"] is None) for each in found]

    assert placements() == []
    testbed.cycle()
    assert placements() == [(1, str(node.pk), "a", 1, "", True)]
    show(row, Assessment(Outcome.FAIL, "EXITED", exit_code=1))
    testbed.end_retry_pauses()
    testbed.cycle()
    show(row, Assessment(Outcome.COMPLETE))
    Node.objects.filter(pk=node.pk).update(name="renamed")
    assert placements() == [
        (2, str(node.pk), "a", 1, "completed", False),
        (1, str(node.pk), "a", 1, "failed", False),
    ]
