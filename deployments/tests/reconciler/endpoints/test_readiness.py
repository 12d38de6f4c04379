"""What runs and is not ready any more, services that are not alive, and paused containers."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from clusters.models import Node
from deployments import wakeup
from deployments.lifecycle import due
from deployments.models import Deployment, DeploymentEvent
from deployments.reconciler import readiness
from deployments.services.stop import stop_deployment
from deployments.tests.feed.guard import every_change_needs_an_event
from deployments.tests.reconciler.docker_testbed import DockerTestbed
from deployments.tests.reconciler.testbed import Testbed, reason
from mlops_platform.coordination.redis import redis_client

pytestmark = pytest.mark.django_db(transaction=True)

PROBE = {"kind": "tcp", "port": 80, "within_s": 600}


def run(testbed: Testbed, liveness: dict[str, Any] | None = None, **columns: Any) -> Deployment:
    """A deployment with a probe that has passed."""
    testbed.reconcile()
    probe = {**PROBE, **({"liveness": liveness} if liveness else {})}
    row = testbed.submit(readiness=probe, **columns)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    return row


def make_unready(testbed: Testbed, node: Node, row: Deployment) -> None:
    testbed.runtime_of(node).set_ready(testbed.key(row), False)
    testbed.reconcile(str(row.pk))


def pass_time(row: Deployment, seconds: float) -> None:
    """As if the row had been not ready for so much longer."""
    fresh = Deployment.objects.get(pk=row.pk)
    since = readiness.unready_since(fresh)
    assert since is not None
    earlier = (since - timedelta(seconds=seconds)).isoformat()
    details = {**fresh.reason_details, "since": earlier}
    Deployment.objects.filter(pk=row.pk).update(reason_details=details)


def codes(row: Deployment) -> list[str]:
    notices = DeploymentEvent.objects.filter(deployment=row, type="NOTICE").order_by("id")
    return [each.details["code"] for each in notices]


def test_a_deployment_that_is_not_ready_any_more_says_so_and_since_when(testbed: Testbed, a: Node):
    row = run(testbed)
    with every_change_needs_an_event():
        make_unready(testbed, a, row)
        first = reason(row)
        testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    assert first["code"] == "NOT_READY"
    assert first["details"]["since"] <= timezone.now().isoformat()
    assert reason(row) == first
    assert codes(row) == ["NOT_READY"]


def test_it_says_so_no_more_once_it_is_ready_again(testbed: Testbed, a: Node):
    row = run(testbed)
    make_unready(testbed, a, row)
    pass_time(row, 31)
    testbed.runtime_of(a).set_ready(testbed.key(row))
    with every_change_needs_an_event():
        testbed.reconcile()
    assert reason(row) == {}
    assert codes(row) == ["NOT_READY", "READY"]


def test_a_readiness_that_flaps_writes_little(testbed: Testbed, a: Node):
    row = run(testbed)
    for ready in [False, True] * 10:
        testbed.runtime_of(a).set_ready(testbed.key(row), ready)
        testbed.reconcile(str(row.pk))
    assert codes(row) == ["NOT_READY"]
    assert reason(row)["code"] == "NOT_READY"
    pass_time(row, 31)
    testbed.reconcile(str(row.pk))
    assert reason(row) == {}


@pytest.mark.parametrize("then", ["restart", "fail"])
def test_a_service_that_is_not_alive_is_restarted_or_failed_as_its_rule_says(
    testbed: Testbed, a: Node, then: str
):
    row = run(testbed, {"after_s": 60, "then": then}, kind="service")
    make_unready(testbed, a, row)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    pass_time(row, 61)
    testbed.reconcile()
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert fresh.status == ("QUEUED" if then == "restart" else "FAILED")
    assert fresh.retry_count == (1 if then == "restart" else 0)
    assert reason(row)["code"] == "NOT_ALIVE"
    assert testbed.replicas() == set()


def test_an_end_says_what_the_probe_answered_last_and_the_timeline_its_first_answer_alone(
    testbed: Testbed, a: Node
):
    row = run(testbed, {"after_s": 60, "then": "fail"}, kind="service")
    for number in range(3):
        testbed.runtime_of(a).set_ready(testbed.key(row), False, f"HTTP status 50{number}")
        testbed.reconcile()
    assert codes(row) == ["NOT_READY"]
    assert reason(row)["message"].endswith(": HTTP status 500.")
    pass_time(row, 61)
    testbed.reconcile()
    testbed.reconcile()
    assert reason(row)["code"] == "NOT_ALIVE"
    assert reason(row)["message"].endswith(": HTTP status 502.")


def test_a_start_that_takes_too_long_says_what_the_probe_answered(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("warming", readiness=PROBE)
    testbed.cycle()
    testbed.reconcile()
    for number in range(2):
        testbed.runtime_of(a).set_ready(testbed.key(row), False, f"exit code {number}: not yet")
        testbed.reconcile()
    assert codes(row) == ["NOT_READY", "NOT_READY"]  # without an answer, and with the first one
    assert reason(row)["details"] == {"said": "exit code 0: not yet"}
    long_ago = timezone.now() - timedelta(seconds=601)
    testbed.runtime_of(a).began_at(testbed.key(row), long_ago)
    testbed.reconcile()
    assert reason(row)["code"] == "NOT_READY_IN_TIME"
    said = "It ran, but was not ready within 600 s: exit code 1: not yet."
    assert reason(row)["message"] == said


def test_the_moment_at_which_it_is_not_alive_wakes_the_worker(testbed: Testbed, a: Node):
    row = run(testbed, {"after_s": 20, "then": "restart"}, kind="service")
    redis_client().delete(wakeup.MOMENTS)
    make_unready(testbed, a, row)
    moments: list[Any] = redis_client().zrange(wakeup.MOMENTS, 0, -1, withscores=True)
    [(moment, at)] = moments
    since = readiness.unready_since(testbed.fresh(row))
    assert since is not None
    assert at / 1000 == pytest.approx(since.timestamp() + 20, abs=5)
    wakeup.clear_flag(testbed.cluster.pk)
    redis_client().zadd(wakeup.MOMENTS, {moment: 0})
    due.wake_all()
    assert wakeup.is_flag_set(testbed.cluster.pk)


def test_without_a_rule_a_service_may_stay_unready(testbed: Testbed, a: Node):
    row = run(testbed, kind="service")
    make_unready(testbed, a, row)
    pass_time(row, 24 * 3600)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"


def test_a_node_that_does_not_answer_is_no_fault_of_the_service(testbed: Testbed, a: Node):
    row = run(testbed, {"after_s": 1, "then": "fail"}, kind="service")
    make_unready(testbed, a, row)
    pass_time(row, 3600)
    testbed.disconnect(a)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    assert reason(row)["code"] == "NODE_AWAY"


def test_a_stopped_deployment_does_not_say_that_it_runs(testbed: Testbed, a: Node, dev):
    row = run(testbed)
    make_unready(testbed, a, row)
    stop_deployment(dev, testbed.fresh(row))
    testbed.settle()
    assert testbed.status(row) == "STOPPED"
    assert reason(row) == {}


@pytest.mark.parametrize("probe", [None, {**PROBE, "within_s": 1}])
def test_a_paused_container_is_not_running_until_that_is_undone(
    testbed: Testbed, a: Node, probe: dict[str, Any] | None
):
    testbed.reconcile()
    row = testbed.submit(readiness=probe, max_runtime_s=3600)
    testbed.settle()
    before = testbed.fresh(row)
    with every_change_needs_an_event():
        testbed.runtime_of(a).pause(testbed.key(row))
        testbed.reconcile(str(row.pk))
    assert testbed.status(row) == "STARTING"
    assert reason(row)["code"] == "PAUSED"
    assert a.name in reason(row)["message"]
    testbed.reconcile()
    with every_change_needs_an_event():
        testbed.runtime_of(a).pause(testbed.key(row), paused=False)
        testbed.reconcile()
    after = testbed.fresh(row)
    assert (after.status, after.attempt, after.retry_count) == ("RUNNING", 1, 0)
    assert after.due_at == before.due_at
    assert reason(row) == {}


def test_a_paused_deployment_ends_at_its_time_limit(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(max_runtime_s=3600, max_retries=3)
    testbed.settle()
    testbed.runtime_of(a).pause(testbed.key(row))
    redis_client().delete(wakeup.MOMENTS)
    testbed.reconcile()
    assert testbed.status(row) == "STARTING"
    due_at = testbed.fresh(row).due_at
    assert due_at is not None
    moments: list[Any] = redis_client().zrange(wakeup.MOMENTS, 0, -1, withscores=True)
    [(_, at)] = moments
    assert at / 1000 == pytest.approx(due_at.timestamp(), abs=5)
    Deployment.objects.filter(pk=row.pk).update(due_at=timezone.now())
    with every_change_needs_an_event():
        testbed.reconcile()
        testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.retry_count, fresh.due_at) == ("FAILED", 0, None)
    assert reason(row)["code"] == "MAX_RUNTIME_EXCEEDED"
    assert testbed.replicas() == set()


def test_what_was_not_ready_before_it_was_paused_does_not_fail_for_that(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(readiness={**PROBE, "within_s": 1})
    testbed.settle()
    make_unready(testbed, a, row)
    started_at = timezone.now() - timedelta(hours=1)
    testbed.runtime_of(a).began_at(testbed.key(row), started_at)
    testbed.runtime_of(a).pause(testbed.key(row))
    testbed.reconcile()
    assert (testbed.status(row), reason(row)["code"]) == ("STARTING", "PAUSED")
    testbed.runtime_of(a).pause(testbed.key(row), paused=False)
    testbed.runtime_of(a).set_ready(testbed.key(row), False)
    testbed.reconcile()
    testbed.reconcile()
    after = testbed.fresh(row)
    assert (after.status, after.attempt) == ("RUNNING", 1)
    assert reason(row)["code"] == "NOT_READY"


def test_a_paused_container_can_be_stopped(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.runtime_of(a).pause(testbed.key(row))
    testbed.reconcile()
    stop_deployment(dev, testbed.fresh(row))
    testbed.settle()
    assert testbed.status(row) == "STOPPED"


@pytest.mark.docker
def test_a_container_that_is_paused_at_its_engine_is_not_running(docker_testbed: DockerTestbed):
    row = docker_testbed.run(grace_s=1)
    name = f"mlops-{row.pk}-1-0"
    docker_testbed.engine.client.pause(name)
    docker_testbed.reconcile(str(row.pk))
    assert docker_testbed.status(row) == "STARTING"
    assert reason(row)["code"] == "PAUSED"
    docker_testbed.engine.client.unpause(name)
    docker_testbed.reconcile()
    assert docker_testbed.outcome(row)[:3] == ("RUNNING", 1, 0)
    docker_testbed.engine.client.pause(name)
    docker_testbed.reconcile()
    stop_deployment(docker_testbed.people["dev"], docker_testbed.fresh(row))
    docker_testbed.run_until(lambda: docker_testbed.status(row) == "STOPPED")
    assert docker_testbed.status(row) == "STOPPED"


@pytest.mark.docker
def test_a_probe_that_fails_later_shows_on_a_real_engine(docker_testbed: DockerTestbed):
    probe = {"kind": "command", "command": ["test", "!", "-e", "/unready"], "interval_s": 1}
    row = docker_testbed.run(readiness={**probe, "timeout_s": 5, "within_s": 600})
    client = docker_testbed.engine.client
    made = client.exec_create(f"mlops-{row.pk}-1-0", ["touch", "/unready"])
    client.exec_start(made["Id"])
    docker_testbed.run_until(lambda: reason(row).get("code") == "NOT_READY")
    assert docker_testbed.status(row) == "RUNNING"
    assert reason(row)["code"] == "NOT_READY"
    assert reason(row)["details"]["said"] == "exit code 1"
