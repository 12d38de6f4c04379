"""Volumes and scratch through the whole platform, on a real engine."""

from typing import Any

import pytest

from clusters.services.volumes import add_volume
from deployments.reasons.reader import reasons_for
from deployments.runtimes.docker.files import scratch
from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell

pytestmark = [pytest.mark.docker, pytest.mark.django_db]

MOUNT = {"name": "data", "path": "/data", "read_only": False, "sub_path": ""}
WRITES = "dd if=/dev/zero of=/file bs=1M count=8 2>/dev/null; exec sleep 600"


def test_what_a_job_leaves_in_a_volume_the_next_job_reads(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    add_volume(testbed.cluster, {"name": "data", "kind": "DOCKER_VOLUME"})
    rows = []
    for line in ("echo saved > /data/checkpoint", "grep saved /data/checkpoint"):
        rows.append(testbed.submit(volumes=[MOUNT], **shell(line)))
        testbed.run_until(lambda: testbed.status(rows[-1]) in {"COMPLETED", "FAILED"})
    assert [testbed.status(row) for row in rows] == ["COMPLETED", "COMPLETED"]


def test_a_job_that_fails_goes_on_from_what_it_had_saved(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    add_volume(testbed.cluster, {"name": "data", "kind": "DOCKER_VOLUME"})
    line = "test -e /data/checkpoint || { touch /data/checkpoint; exit 1; }"
    row = testbed.submit(volumes=[MOUNT], max_retries=1, **shell(line))
    testbed.run_until(lambda: testbed.fresh(row).retry_at is not None)
    testbed.end_retry_pauses()
    testbed.run_until(lambda: testbed.status(row) in {"COMPLETED", "FAILED"})
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.attempt) == ("COMPLETED", 2)


def test_a_job_that_writes_too_much_fails_and_is_ended(docker_testbed, monkeypatch):
    monkeypatch.setattr(scratch, "EVERY_S", 0.0)
    testbed = docker_testbed
    row = testbed.submit(container={"ephemeral_mib": 4}, **shell(WRITES))
    testbed.run_until(lambda: testbed.status(row) == "FAILED")
    fresh = testbed.fresh(row)
    assert fresh.status == "FAILED"
    reason: Any = reasons_for([fresh])[row.pk]
    assert reason["code"] == "OUT_OF_DISK"
    assert reason["details"]["ephemeral_mib"] == 4
    assert reason["message"] == (
        "It wrote more scratch than it may, 4 MiB: it has written 8 MiB, and may write 4."
    )
    assert fresh.placement == []
