"""Deployments that save before an end that is not their own, through the whole platform."""

from datetime import timedelta
from typing import Any

import pytest

from clusters.models import Node
from clusters.services.nodes import drain
from deployments.lifecycle import deadlines
from deployments.models import Deployment
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell

pytestmark = [pytest.mark.docker, pytest.mark.django_db(transaction=True)]

SAVES = "trap 'echo saved; exit 0' USR1; while true; do sleep 0.1; done"
WARNED: dict[str, Any] = {
    "container": {
        "stop_signal": "SIGUSR1",
        "pre_stop": ["sh", "-c", "echo hook >/proc/1/fd/1"],
    },
    "grace_s": 60,
}


def has_saved(testbed: DockerTestbed, row: Deployment) -> bool:
    """Whether its command ran once, and then its program heard the signal."""
    outputs = testbed.outcome(row).outputs
    return [output.split() for _, _, output in outputs] == [[b"hook", b"saved"]]


def test_an_evicted_job_saves_before_the_other_starts(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    victim = testbed.run(cpu_milli=800, **WARNED, **shell(SAVES))
    urgent = testbed.submit(priority="HIGH", cpu_milli=800)
    testbed.run_until(lambda: testbed.status(urgent) == "RUNNING")
    assert testbed.status(urgent) == "RUNNING"
    assert testbed.status(victim) == "QUEUED"
    assert has_saved(testbed, victim)


def test_a_job_that_is_stopped_saves(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    row = testbed.run(**WARNED, **shell(SAVES))
    stop_deployment(testbed.people["dev"], testbed.fresh(row))
    testbed.run_until(lambda: testbed.status(row) == "STOPPED")
    assert testbed.status(row) == "STOPPED"
    assert has_saved(testbed, row)


def test_a_job_that_is_over_its_limit_saves(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    row = testbed.run(max_runtime_s=3600, **WARNED, **shell(SAVES))
    due_at = testbed.fresh(row).due_at
    assert due_at is not None
    deadlines.finish_due(testbed.cluster.pk, due_at + timedelta(seconds=1))
    testbed.run_until(lambda: testbed.status(row) == "FAILED")
    assert testbed.status(row) == "FAILED"
    assert has_saved(testbed, row)


def test_a_job_whose_node_is_drained_saves(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    row = testbed.run(**WARNED, **shell(SAVES))
    drain(Node.objects.get(cluster=testbed.cluster))
    testbed.run_until(lambda: testbed.status(row) == "QUEUED")
    assert testbed.status(row) == "QUEUED"
    assert has_saved(testbed, row)
