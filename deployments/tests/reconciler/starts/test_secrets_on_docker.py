"""Secrets on their way into a real container, and into the next one after a rotation."""

import pytest

from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell
from organizations.models import SecretUse
from organizations.secrets import owners
from organizations.secrets.services import put_secret

pytestmark = pytest.mark.docker

REFERENCES = [
    {"name": "hub", "env": "HUB"},
    {"name": "key", "file": "git/key"},
]


def write(testbed: DockerTestbed, **values: str) -> None:
    owner = owners.organization(testbed.cluster.organization_id)
    for name, value in values.items():
        put_secret(testbed.people["dev"], owner, name, value)


def test_each_attempt_reads_the_newest_versions(docker_testbed: DockerTestbed) -> None:
    write(docker_testbed, hub="first-hub", key="first-key\n")
    work = shell('echo "$HUB"; cat /run/secrets/git/key; exec sleep 600')
    row = docker_testbed.run(**work, secrets=REFERENCES, max_retries=1)
    write(docker_testbed, hub="second-hub", key="second-key\n")
    docker_testbed.signal(row, "SIGKILL")
    docker_testbed.run_until(
        lambda: docker_testbed.fresh(row).attempt == 2 and docker_testbed.status(row) == "RUNNING"
    )
    docker_testbed.signal(row, "SIGKILL")
    docker_testbed.run_until(lambda: docker_testbed.status(row) == "FAILED")
    assert [text for _, _, text in docker_testbed.outcome(row).outputs] == [
        b"first-hub\nfirst-key\n",
        b"second-hub\nsecond-key\n",
    ]
    used = SecretUse.objects.values_list("secret__name", "attempt", "version").order_by("pk")
    assert set(used) == {("hub", 1, 1), ("key", 1, 1), ("hub", 2, 2), ("key", 2, 2)}
