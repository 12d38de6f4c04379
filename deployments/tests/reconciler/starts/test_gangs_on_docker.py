"""A gang on a real Docker engine, from its submit to its end."""

import pytest

from clusters.models import Cluster
from clusters.services.deletion import delete_cluster, take_turn
from deployments.models import DeploymentLog
from deployments.runtimes.peers import group_of
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell
from deployments.tests.runtimes.docker.test_gangs import RENDEZVOUS

pytestmark = [pytest.mark.docker, pytest.mark.django_db(transaction=True)]


def networks(testbed: DockerTestbed) -> list[str]:
    label = f"mlops-platform.cluster={testbed.cluster.pk}"
    return [each["Name"] for each in testbed.engine.client.networks(filters={"label": label})]


def test_two_processes_meet_and_complete_and_their_network_goes(docker_testbed: DockerTestbed):
    row = docker_testbed.submit(replicas=2, **shell(RENDEZVOUS))
    docker_testbed.run_until(lambda: docker_testbed.status(row) == "COMPLETED")
    assert docker_testbed.status(row) == "COMPLETED"
    logs = DeploymentLog.objects.filter(deployment=row).order_by("replica")
    assert [bytes(log.output) for log in logs] == [b"", b"welcome to 2\n"]
    assert docker_testbed.containers() == []
    assert networks(docker_testbed) == []


def test_one_that_fails_ends_its_peers_and_the_next_attempt_meets_anew(
    docker_testbed: DockerTestbed,
):
    """Rank 1 fails in the first attempt, while rank 0 waits for it for ever."""
    line = f'[ $MLOPS_ATTEMPT$RANK = 11 ] && exit 7; echo "at $MASTER_ADDR"; {RENDEZVOUS}'
    row = docker_testbed.submit(replicas=2, max_retries=1, **shell(line))
    docker_testbed.run_until(lambda: docker_testbed.status(row) == "COMPLETED")
    fresh = docker_testbed.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("COMPLETED", 2, 1)
    first_of_each = DeploymentLog.objects.filter(deployment=row, replica=0).order_by("attempt")
    said = [bytes(log.output).decode().splitlines()[0] for log in first_of_each]
    assert said == [f"at replica-0.mlops-{row.pk}-{attempt}" for attempt in (1, 2)]
    assert networks(docker_testbed) == []


def test_the_network_of_a_start_that_was_given_up_goes_with_its_cluster(
    docker_testbed: DockerTestbed, dev
):
    """A worker is killed after it has made the network, the deployment is stopped, and the cluster
    deleted: no pass comes to it any more."""
    docker_testbed.reconcile()
    row = docker_testbed.submit(replicas=2)
    client = docker_testbed.engine.client
    label = {"mlops-platform.cluster": str(docker_testbed.cluster.pk)}
    client.create_network(group_of(str(row.pk), 1), labels=label)
    stop_deployment(dev, row)
    docker_testbed.reconcile()
    assert len(networks(docker_testbed)) == 1  # its start may be about to use it
    assert delete_cluster(docker_testbed.cluster) is not None  # no request calls an engine
    assert len(networks(docker_testbed)) == 1
    take_turn(docker_testbed.cluster.pk)
    assert not Cluster.with_deleted.exists()
    assert networks(docker_testbed) == []
