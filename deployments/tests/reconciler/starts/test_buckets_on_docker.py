"""A deployment with a bucket on a real Docker engine and a real S3 server, from submit to end."""

import json

import pytest

from clusters.models import Sandbox, Volume
from clusters.services.volumes import add_volume
from deployments.models import DeploymentEvent
from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell
from deployments.tests.runtimes.s3 import BUCKET, KEY, KEY_ID
from organizations.models import SecretUse
from organizations.secrets import owners
from organizations.secrets.services import put_secret

pytestmark = [pytest.mark.docker, pytest.mark.django_db(transaction=True)]

KEYS = {"access_key_id": "s3-key-id", "secret_access_key": "s3-key"}
MOUNT = {"name": "sets", "path": "/data", "read_only": False, "sub_path": "deep"}


@pytest.fixture
def offered(
    docker_testbed: DockerTestbed, s3_network: tuple[str, str], fetch_image: str, settings
) -> Volume:
    network, url = s3_network
    settings.FETCH_IMAGE = fetch_image
    cluster = docker_testbed.cluster
    Sandbox.objects.update_or_create(cluster=cluster, defaults={"network": network})
    owner = owners.organization(cluster.organization_id)
    for name, value in (("s3-key-id", KEY_ID), ("s3-key", KEY)):
        put_secret(docker_testbed.people["dev"], owner, name, value)
    source = {"endpoint": url, "bucket": BUCKET, "prefix": "train", "secrets": KEYS}
    body = {"name": "sets", "kind": "S3", "source": source, "read_only": True}
    return add_volume(cluster, body, trusted=True)


def test_it_runs_once_its_data_is_there_and_its_keys_are_nowhere(
    docker_testbed: DockerTestbed, offered: Volume
) -> None:
    row = docker_testbed.submit(volumes=[MOUNT], **shell("wc -c </data/b.bin; env"))
    docker_testbed.run_until(lambda: docker_testbed.status(row) in ("COMPLETED", "FAILED"))
    outcome = docker_testbed.outcome(row)
    assert outcome.status == "COMPLETED", docker_testbed.fresh(row).reason_details
    [(_, _, output)] = outcome.outputs
    assert output.startswith(b"3000000\n")
    assert outcome.events[-1] == "COMPLETED"
    recorded = [*DeploymentEvent.objects.values(), *type(row).objects.values()]
    for secret in (KEY, KEY_ID):
        assert secret not in json.dumps(recorded, default=str)
        assert secret.encode() not in output
    used = SecretUse.objects.values_list("secret__name", "deployment_id")
    assert set(used) == {("s3-key-id", row.pk), ("s3-key", row.pk)}
    assert docker_testbed.engine.client.volumes()["Volumes"] in (None, [])


def test_a_bucket_that_is_not_there_fails_it_at_once_and_blames_no_node(
    docker_testbed: DockerTestbed, offered: Volume
) -> None:
    offered.source["bucket"] = "no-such-bucket"
    offered.save()
    row = docker_testbed.submit(volumes=[MOUNT])
    docker_testbed.run_until(lambda: docker_testbed.status(row) == "FAILED")
    fresh = docker_testbed.fresh(row)
    assert (fresh.status, fresh.reason_code) == ("FAILED", "FETCH_FAILED")
    said = fresh.reason_details["said"]
    assert said.startswith("s3://no-such-bucket/train/deep/: NoSuchBucket: ")
    assert fresh.started_at is None
    node = docker_testbed.cluster.nodes.get()
    assert node.failed_starts in (None, [], {})
    assert docker_testbed.engine.client.volumes()["Volumes"] in (None, [])


def test_one_that_fetches_is_starting_says_so_and_is_evicted_at_once(
    docker_testbed: DockerTestbed, offered: Volume
) -> None:
    offered.source["endpoint"] = offered.source["endpoint"].rpartition(":")[0] + ":9"
    offered.save()
    row = docker_testbed.submit(volumes=[MOUNT], cpu_milli=800)
    docker_testbed.run_until(lambda: docker_testbed.fresh(row).reason_code == "FETCH_DELAYED")
    fresh = docker_testbed.fresh(row)
    assert (fresh.status, fresh.reason_code) == ("STARTING", "FETCH_DELAYED")
    assert "Could not connect" in fresh.reason_details["said"]
    urgent = docker_testbed.submit(priority="HIGH", cpu_milli=800)
    docker_testbed.run_until(lambda: docker_testbed.status(urgent) == "RUNNING")
    assert docker_testbed.status(urgent) == "RUNNING"
    assert docker_testbed.status(row) == "QUEUED"
    assert docker_testbed.fresh(row).retry_count == 0
    names = [each["Names"][0] for each in docker_testbed.engine.client.containers(all=True)]
    assert not [name for name in names if str(row.pk) in name]
