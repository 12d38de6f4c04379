"""Every transaction that changes what a deployment's answer shows also writes an event of it: else
clients that follow would not learn of the change."""

import pytest
from django.db import InternalError

from clusters.models import Node
from clusters.services.nodes import change_node
from deployments.models import Deployment, Status
from deployments.services.checkpoint import report_checkpoint
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_deployment
from deployments.tests.feed.guard import every_change_needs_an_event
from deployments.tests.reconciler.testbed import Testbed

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_guard_refuses_a_change_without_an_event(testbed: Testbed, a: Node):
    row = testbed.submit()
    with every_change_needs_an_event(), pytest.raises(InternalError):
        Deployment.objects.filter(pk=row.pk).update(name="other")


def test_lives_in_a_real_runtime_have_events_of_all_changes(testbed: Testbed, a: Node, dev):
    with every_change_needs_an_event():
        testbed.reconcile()
        long, failing, ending = (
            testbed.submit(),
            testbed.submit("exit:1", max_retries=1, gpu=0),
            testbed.submit(gpu=0),
        )
        testbed.settle()
        change_deployment(dev, testbed.fresh(long), {"name": "other"})
        change_node(testbed.node_of(testbed.fresh(long)), {"name": "renamed"})
        change_node(testbed.node_of(testbed.fresh(long)), {"name": "a"})
        report_checkpoint(dev, testbed.fresh(long))
        testbed.end_retry_pauses()
        testbed.settle()
        testbed.runtime_of(a).finish(testbed.key(ending), 0)
        testbed.settle()
        urgent = testbed.submit(priority="HIGH", gpu=a.gpu)
        testbed.settle()
        testbed.settle()
        stop_deployment(dev, testbed.fresh(urgent))
        testbed.settle()
        stop_deployment(dev, testbed.fresh(long))
        testbed.settle()
    assert [testbed.status(row) for row in (failing, ending, urgent, long)] == [
        Status.FAILED,
        Status.COMPLETED,
        Status.STOPPED,
        Status.STOPPED,
    ]
    assert "PREEMPTED" in testbed.events(long)
