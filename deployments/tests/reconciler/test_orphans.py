"""Containers of no row, containers that vanish, and containers that others end."""

import pytest

from clusters.models import Node
from deployments.runtimes.base import Code
from deployments.tests.reconciler.testbed import Testbed, launch_spec, reason

pytestmark = pytest.mark.django_db


def test_a_container_of_no_deployment_is_removed(testbed: Testbed, a: Node):
    testbed.reconcile()
    testbed.runtime_of(a).start(launch_spec("01a20000-0000-7000-8000-000000000000"))
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.runtime_of(a).observe() == []


def test_a_container_of_an_older_attempt_is_removed_and_the_present_one_left(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit("exit:1", max_retries=1)
    testbed.settle()
    testbed.end_retry_pauses()
    testbed.cycle()
    testbed.runtime_of(a).start(launch_spec(str(row.pk), attempt=1))
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.runtime_of(a).observe() == []
    assert testbed.status(row) == "FAILED"
    assert testbed.fresh(row).attempt == 2


def test_a_deployment_whose_container_is_gone_is_started_again_after_a_pause(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.runtime_of(a).vanish(testbed.key(row))
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert fresh.retry_at is not None
    assert reason(row)["code"] == "CONTAINER_LOST"
    testbed.end_retry_pauses()
    testbed.settle()
    assert (testbed.status(row), testbed.fresh(row).attempt) == ("RUNNING", 2)


def test_a_container_that_vanishes_before_it_was_ready_is_started_once_more(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit("warming")
    testbed.settle()
    testbed.runtime_of(a).vanish(testbed.key(row))
    testbed.reconcile()
    assert len(testbed.runtime_of(a).launch_specs) == 2
    assert (testbed.status(row), testbed.fresh(row).attempt) == ("STARTING", 1)


def test_a_container_that_was_created_and_never_started_is_started(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.cycle()
    testbed.runtime_of(a).create(testbed.key(row), "a")
    testbed.reconcile()
    assert (testbed.status(row), len(testbed.runtime_of(a).launch_specs)) == ("RUNNING", 1)


def test_a_deployment_that_its_machine_ended_has_not_failed(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.runtime_of(a).finish(testbed.key(row), 137, Code.DISRUPTED)
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.retry_count, fresh.retry_at) == ("QUEUED", 0, None)


@pytest.mark.parametrize("exit_code", [137, 143, 255])
def test_a_job_that_ends_itself_as_a_stop_would_end_it_has_failed(
    testbed: Testbed, a: Node, exit_code: int
):
    testbed.reconcile()
    job, retried = testbed.submit(max_retries=0), testbed.submit(max_retries=1)
    testbed.settle()
    for row in (job, retried):
        testbed.runtime_of(a).finish(testbed.key(row), exit_code)
    testbed.reconcile()
    fresh = testbed.fresh(job)
    assert (fresh.status, fresh.exit_code) == ("FAILED", exit_code)
    fresh = testbed.fresh(retried)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 1)


@pytest.mark.parametrize("exit_code", [0, 143])
def test_a_deployment_that_others_stopped_has_not_failed(testbed: Testbed, a: Node, exit_code: int):
    """As `kubectl delete pod` does, or an eviction by Kubernetes."""
    testbed.reconcile()
    row = testbed.submit("deaf")
    testbed.settle()
    testbed.runtime_of(a).stop(testbed.key(row), 60)
    testbed.runtime_of(a).finish(testbed.key(row), exit_code)
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert reason(row)["code"] == "DISRUPTED"
