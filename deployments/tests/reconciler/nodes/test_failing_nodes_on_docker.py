"""A real engine that can start no container is cordoned, and opened again once it can."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from clusters.models import Node, Sandbox
from clusters.nodes.failed_starts import FailedStarts
from deployments.tests.reconciler.docker_testbed import DockerTestbed
from deployments.tests.reconciler.testbed import reason
from deployments.tests.runtimes.docker.engine import IMAGE
from mlops_platform.database.clock import database_now

pytestmark = [pytest.mark.docker, pytest.mark.django_db]


def node_of(testbed: DockerTestbed) -> Node:
    return Node.objects.get(cluster=testbed.cluster)


def end_pause(node: Node) -> None:
    past = (database_now() - timedelta(seconds=1)).isoformat()
    node.failed_starts = {**(node.failed_starts or {}), "next_try_at": past}
    node.save(update_fields=["failed_starts"])


def test_an_engine_that_starts_nothing_is_cordoned_until_a_probe_runs_there(
    docker_testbed: DockerTestbed, settings: Settings
):
    testbed, client = docker_testbed, docker_testbed.engine.client
    settings.NODE_FAILED_STARTS = 3
    images = [f"mlops-platform-tests/sound:{number}" for number in range(5)]
    for image in images:
        client.tag(IMAGE, *image.split(":"))
    try:
        sandbox = Sandbox.objects.create(cluster=testbed.cluster, network="of-nobody")
        for image in images[:3]:
            testbed.submit(image)
        testbed.run_until(lambda: node_of(testbed).effective_state == "CORDONED")
        node = node_of(testbed)
        assert node.effective_state == "CORDONED"
        assert "of-nobody" in node.reason
        waiting = testbed.submit(images[3])
        testbed.cycle()
        assert testbed.status(waiting) == "QUEUED"
        assert reason(waiting)["details"]["failing_nodes"] == 1
        # The engine is tried while it is still broken, and once more when it is sound.
        end_pause(node)
        testbed.run_until(lambda: testbed.status(waiting) == "FAILED")
        node = node_of(testbed)
        assert node.effective_state == "CORDONED"
        assert FailedStarts.read(node.failed_starts).pause_s == 2 * settings.NODE_RETRY_FIRST_S
        sandbox.network = "none"
        sandbox.save()
        end_pause(node)
        probe = testbed.submit(images[4])
        testbed.run_until(lambda: testbed.status(probe) == "RUNNING")
        assert testbed.status(probe) == "RUNNING"
        assert node_of(testbed).effective_state == "READY"
    finally:
        for image in images:
            client.remove_image(image, force=True)
