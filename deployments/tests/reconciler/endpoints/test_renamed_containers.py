"""Containers that people rename or copy: stopped and removed by their ids."""

import pytest

from deployments.models import Deployment
from deployments.runtimes.docker import containers
from deployments.services.stop import stop_deployment
from deployments.tests.log_readers import log_readers
from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell
from deployments.tests.runtimes.docker.engine import IMAGE

pytestmark = [pytest.mark.docker, pytest.mark.django_db(transaction=True)]


def rename(testbed: DockerTestbed, row: Deployment) -> None:
    testbed.engine.client.rename(containers.name(testbed.key(row)), f"by-hand-{row.pk}")


def copy(testbed: DockerTestbed, row: Deployment) -> str:
    """The id of a container that has the replica's labels and another name, and runs."""
    client = testbed.engine.client
    labels = client.inspect_container(containers.name(testbed.key(row)))["Config"]["Labels"]
    made = client.create_container(IMAGE, ["sleep", "600"], name=f"copy-{row.pk}", labels=labels)
    client.start(made["Id"])
    return str(made["Id"])


def test_a_renamed_container_runs_on_and_stops_with_its_deployment(docker_testbed: DockerTestbed):
    row = docker_testbed.run()
    rename(docker_testbed, row)
    docker_testbed.reconcile(str(row.pk))  # as after the event that the engine sends
    docker_testbed.reconcile()
    assert docker_testbed.outcome(row)[:3] == ("RUNNING", 1, 0)
    stop_deployment(docker_testbed.people["dev"], docker_testbed.fresh(row))
    docker_testbed.run_until(lambda: docker_testbed.containers() == [])
    assert docker_testbed.status(row) == "STOPPED"
    assert docker_testbed.containers() == []


def test_what_a_renamed_container_writes_is_shown_and_kept(docker_testbed: DockerTestbed, api, dev):
    row = docker_testbed.run(**shell("echo one; sleep 600"))
    path = f"/api/deployments/{row.pk}/logs"
    its_copy = copy(docker_testbed, row)
    rename(docker_testbed, row)
    with log_readers():
        assert api(dev).get(path).getvalue() == b"one\n"
    docker_testbed.engine.client.remove_container(its_copy, force=True)
    stop_deployment(dev, docker_testbed.fresh(row))
    docker_testbed.run_until(lambda: docker_testbed.containers() == [])
    assert docker_testbed.outcome(row).outputs == ((1, 0, b"one\n"),)


def test_a_copy_of_a_replica_is_killed_and_the_replica_left(docker_testbed: DockerTestbed):
    row = docker_testbed.run()
    its_own = docker_testbed.runtime.observe()[0].id
    assert copy(docker_testbed, row) != its_own
    docker_testbed.run_until(lambda: len(docker_testbed.containers()) == 1)
    assert [each.id for each in docker_testbed.runtime.observe()] == [its_own]
    assert docker_testbed.outcome(row)[:3] == ("RUNNING", 1, 0)
