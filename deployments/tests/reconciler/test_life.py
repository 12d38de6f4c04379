"""From admission to every kind of end, by what the runtimes show."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from clusters.models import Node
from deployments.models import Deployment, DeploymentLog, Status
from deployments.runtimes.base import Code, Key, LaunchSpec
from deployments.services.stop import stop_deployment
from deployments.tests import clock
from deployments.tests.reconciler.testbed import Testbed, reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def test_a_deployment_starts_with_the_values_of_its_env(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(env={"TOKEN": "hunter2", "EMPTY": ""})
    started: list[Mapping[str, str]] = []

    def start(own: Callable[[LaunchSpec], None], spec: LaunchSpec) -> None:
        started.append(spec.env)
        own(spec)

    testbed.intercept(a, "start", start)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    [given] = started
    assert {name: given[name] for name in ("TOKEN", "EMPTY")} == {"TOKEN": "hunter2", "EMPTY": ""}


def test_a_deployment_whose_env_no_key_opens_says_so_and_starts_once_the_key_is_back(
    testbed: Testbed, a: Node, settings: Any
):
    testbed.reconcile()
    row, other = testbed.submit(env={"TOKEN": "hunter2"}), testbed.submit()
    keys, settings.CREDENTIALS_KEYS = settings.CREDENTIALS_KEYS, [Fernet.generate_key().decode()]
    testbed.settle()
    assert (testbed.status(row), testbed.status(other)) == ("STARTING", "RUNNING")
    assert reason(row)["code"] == "ENV_SEALED"
    assert testbed.events(row) == ["SUBMITTED", "STARTED", "NOTICE"]
    settings.CREDENTIALS_KEYS = keys
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"


def test_a_deployment_whose_env_no_key_opens_for_ten_minutes_has_failed(
    testbed: Testbed, a: Node, settings: Any
):
    testbed.reconcile()
    row = testbed.submit(env={"TOKEN": "hunter2"})
    testbed.cycle()
    settings.CREDENTIALS_KEYS = [Fernet.generate_key().decode()]
    Deployment.objects.update(admitted_at=timezone.now() - timedelta(minutes=11))
    testbed.reconcile()
    assert testbed.status(row) == "FAILED"
    assert reason(row)["code"] == "ENV_SEALED"
    assert allocated(testbed.cluster) == (0, 0, 0)


def test_a_deployment_starts_only_after_its_node_has_answered(testbed: Testbed, a: Node):
    row = testbed.submit()
    testbed.cycle()
    assert testbed.status(row) == "QUEUED"
    testbed.reconcile()
    testbed.cycle()
    assert testbed.status(row) == "STARTING"


def test_a_job_starts_runs_and_completes(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.cycle()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.started_at) == ("STARTING", 1, None)
    testbed.reconcile(str(row.pk))
    fresh = testbed.fresh(row)
    assert fresh.status == "RUNNING"
    assert fresh.admitted_at is not None
    assert fresh.started_at is not None
    assert fresh.admitted_at <= fresh.started_at <= timezone.now()
    testbed.runtime_of(a).write(testbed.key(row), b"done\n")
    testbed.runtime_of(a).finish(testbed.key(row), 0)
    testbed.reconcile(str(row.pk))
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.exit_code, fresh.placement) == ("COMPLETED", 0, [])
    assert allocated(testbed.cluster) == (0, 0, 0)
    assert testbed.events(row) == ["SUBMITTED", "STARTED", "RUNNING", "COMPLETED"]
    assert testbed.replicas() == set()
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"done\n"


def test_a_job_that_ends_before_a_pass_sees_it_run_has_run_all_the_same(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("hello")
    testbed.settle()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("COMPLETED", 0)
    assert fresh.started_at is not None


@pytest.mark.parametrize(
    ("image", "code", "message"),
    [
        ("exit:3", "EXITED", "It ended with exit code 3."),
        ("no-command", "COMMAND_FAILED", "Its command could not be started."),
        (
            "out-of-memory",
            "OUT_OF_MEMORY",
            "It needed more memory than the 512 MiB of RAM it asked for.",
        ),
    ],
)
def test_a_failed_attempt_says_why(testbed: Testbed, a: Node, image: str, code: str, message: str):
    testbed.reconcile()
    row = testbed.submit(image)
    testbed.settle()
    assert testbed.status(row) == "FAILED"
    assert (reason(row)["code"], reason(row)["message"]) == (code, message)
    assert allocated(testbed.cluster) == (0, 0, 0)


def test_a_failed_job_is_tried_again_after_a_pause_until_its_retries_are_used_up(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit("exit:1", max_retries=2)
    for retry in (1, 2):
        testbed.settle()
        fresh = testbed.fresh(row)
        assert (fresh.status, fresh.retry_count, fresh.attempt) == ("QUEUED", retry, retry)
        assert fresh.retry_at is not None
        pause_s = (fresh.retry_at - timezone.now()).total_seconds()
        assert 10 * 2 ** (retry - 1) - 5 < pause_s <= 10 * 2 ** (retry - 1)
        found = reason(row)
        assert found["code"] == "EXITED"
        assert found["details"]["waiting_for"]["code"] == "BACKOFF"
        testbed.end_retry_pauses()
    testbed.settle()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.retry_count, fresh.attempt) == ("FAILED", 2, 3)
    assert fresh.exit_code == 1


def test_a_retry_pause_ends_by_the_clock_and_not_before(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("exit:1", max_retries=1)
    testbed.settle()
    at = testbed.fresh(row).retry_at
    assert at is not None
    assert clock.end_pauses(at - timedelta(seconds=1)) == 0
    assert testbed.fresh(row).retry_at == at
    assert clock.end_pauses(at) == 1
    assert testbed.fresh(row).retry_at is None
    testbed.settle()
    assert testbed.status(row) == "FAILED"


def test_a_service_is_started_again_for_ever_even_after_exit_code_0(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("exit:0", kind="service")
    for attempt in range(1, 5):
        testbed.settle()
        fresh = testbed.fresh(row)
        assert (fresh.status, fresh.attempt, fresh.retry_count) == ("QUEUED", attempt, attempt)
        testbed.end_retry_pauses()


def test_a_stop_takes_effect_once_the_runtime_has_confirmed_it(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    row = testbed.submit("deaf", grace_s=3600)
    testbed.settle()
    stopped = stop_deployment(dev, testbed.fresh(row))
    assert stopped.status == "STOPPING"
    testbed.reconcile()
    assert testbed.status(row) == "STOPPING"
    assert allocated(testbed.cluster) == (1000, 512, 1)
    assert (
        stop_deployment(dev, testbed.fresh(row)).status == "STOPPING"
    )  # a second stop changes nothing
    testbed.expire_grace(row)
    testbed.reconcile()
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("STOPPED", 137)
    assert allocated(testbed.cluster) == (0, 0, 0)
    assert testbed.replicas() == set()


def test_a_deployment_is_stopped_once_and_killed_only_after_its_grace(
    testbed: Testbed, a: Node, dev
):
    testbed.reconcile()
    row = testbed.submit("deaf", grace_s=30)
    testbed.settle()
    graces: list[int] = []

    def stop(own: Callable[..., None], key: Key, grace_s: int, seen: str) -> None:
        graces.append(grace_s)
        own(key, grace_s, seen)

    testbed.intercept(a, "stop", stop)
    stop_deployment(dev, testbed.fresh(row))
    for _ in range(3):
        testbed.reconcile()
    assert graces == [30]
    testbed.expire_grace(row)
    testbed.reconcile()
    assert graces == [30, 0]


def test_an_admitted_deployment_that_never_started_stops_at_once(testbed: Testbed, a: Node, dev):
    testbed.reconcile()
    row = testbed.submit()
    testbed.cycle()
    stop_deployment(dev, testbed.fresh(row))
    testbed.reconcile()
    assert testbed.status(row) == "STOPPED"
    assert testbed.runtime_of(a).launch_specs == []


def test_a_deployment_that_runs_too_long_is_stopped_and_has_failed(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(max_runtime_s=60)
    testbed.settle()
    due = testbed.fresh(row).due_at
    assert due is not None
    assert clock.finish_due(due) == 1
    assert (testbed.status(row), testbed.fresh(row).next_status) == ("STOPPING", "FAILED")
    testbed.reconcile()
    testbed.reconcile()
    assert testbed.status(row) == "FAILED"
    assert reason(row)["code"] == "MAX_RUNTIME_EXCEEDED"


def test_a_missing_image_is_pulled_first(testbed: Testbed, a: Node):
    testbed.reconcile()
    testbed.runtime_of(a).missing_images.add("sleep")
    row = testbed.submit()
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert "NOTICE" in testbed.events(row)


def test_an_image_that_cannot_be_pulled_fails_the_deployment_with_the_runtimes_message(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    testbed.runtime_of(a).unpullable_images.add("nothing")
    row = testbed.submit("nothing")
    testbed.settle()
    assert testbed.status(row) == "FAILED"
    assert reason(row)["code"] == "IMAGE_PULL_FAILED"
    assert "nothing: not found" in reason(row)["message"]


def test_a_deployment_with_a_probe_runs_only_once_it_is_ready(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("warming", readiness={"kind": "tcp", "port": 80, "within_s": 600})
    testbed.settle()
    assert testbed.status(row) == "STARTING"
    assert reason(row)["code"] == Code.NOT_READY
    testbed.runtime_of(a).set_ready(testbed.key(row))
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"


def test_a_deployment_that_is_not_ready_in_time_fails(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("warming", readiness={"kind": "tcp", "port": 80, "within_s": 0.001})
    testbed.settle()
    assert testbed.status(row) == "FAILED"
    assert reason(row)["code"] == "NOT_READY_IN_TIME"
    assert testbed.replicas() == set()


def test_a_gang_runs_once_all_its_replicas_run_and_fails_as_one(testbed: Testbed, a: Node, b: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=4, gpu=1)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert len(testbed.runtime_of(a).observe()) == len(testbed.runtime_of(b).observe()) == 2
    testbed.runtime_of(b).finish(testbed.key(row, 3), 9)
    testbed.reconcile()
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("FAILED", 9)
    assert reason(row)["details"]["replica"] == 3
    assert testbed.replicas() == set()


def test_a_gang_whose_replicas_end_one_by_one_completes_with_the_last(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=2)
    testbed.settle()
    testbed.runtime_of(a).finish(testbed.key(row, 0), 0)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    testbed.runtime_of(a).finish(testbed.key(row, 1), 0)
    testbed.reconcile()
    assert testbed.status(row) == "COMPLETED"
    assert DeploymentLog.objects.filter(deployment=row).count() == 2


def test_a_worker_that_read_before_a_stop_writes_nothing_after_it(testbed: Testbed, a: Node, dev):
    """A row that has changed since it was assessed stays as it is."""
    from deployments.reconciler import status_writer
    from deployments.reconciler.assessment import Assessment, Outcome

    testbed.reconcile()
    row = testbed.submit()
    testbed.cycle()
    stale = testbed.fresh(row)
    stop_deployment(dev, testbed.fresh(row))
    assert (
        status_writer.write(
            testbed.cluster.pk, [(stale, Assessment(Outcome.CONFIRM))], timezone.now()
        )
        == set()
    )
    assert testbed.status(row) == Status.STOPPING


def test_a_full_pass_costs_the_same_for_few_and_many(
    testbed: Testbed, a: Node, django_assert_num_queries
):
    testbed.reconcile()
    rows = [testbed.submit(cpu_milli=1, ram_mib=1, gpu=0) for _ in range(3)]
    testbed.settle()
    with django_assert_num_queries(
        7
    ):  # cluster, rows, endpoints, nodes, registries, the time, rows of the replicas
        testbed.reconcile()
    rows += [testbed.submit(cpu_milli=1, ram_mib=1, gpu=0) for _ in range(20)]
    testbed.settle()
    assert {testbed.status(row) for row in rows} == {"RUNNING"}
    with django_assert_num_queries(7):
        testbed.reconcile()
