"""Checkpoints that deployments report by writing a file."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from clusters.models import Node
from deployments.models import Deployment, DeploymentEvent
from deployments.reconciler import checkpoint_files
from deployments.runtimes.base import RuntimeUnavailable
from deployments.services.checkpoint import report_checkpoint
from deployments.services.stop import stop_deployment
from deployments.tests.feed.guard import every_change_needs_an_event
from deployments.tests.reconciler.docker_testbed import DockerTestbed, shell
from deployments.tests.reconciler.testbed import Testbed
from mlops_platform.coordination.redis import redis_client

pytestmark = pytest.mark.django_db(transaction=True)

FILE = "/out/model.pt"
WITH_FILE: dict[str, Any] = {"container": {"checkpoint_file": FILE}}


def run(testbed: Testbed, **columns: Any) -> Deployment:
    """A deployment that runs, and began an hour ago."""
    testbed.reconcile()
    row = testbed.submit(**{**WITH_FILE, **columns})
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    hour_ago = timezone.now() - timedelta(hours=1)
    Deployment.objects.filter(pk=row.pk).update(started_at=hour_ago)
    return row


def look_again(testbed: Testbed) -> None:
    """A pass at which every look is due."""
    client = redis_client()
    if keys := client.keys("deployment:*:checkpoint-look:*"):
        client.delete(*keys)
    testbed.reconcile()


def reports(row: Deployment) -> list[Any]:
    found = DeploymentEvent.objects.filter(deployment=row, type="CHECKPOINTED").order_by("id")
    return [each.details["at"] for each in found]


def test_a_file_that_is_written_is_a_report_of_its_time(testbed: Testbed, a: Node):
    row = run(testbed)
    assert testbed.fresh(row).checkpoint_at is None
    at = timezone.now() - timedelta(minutes=5)
    testbed.runtime_of(a).touch(testbed.key(row), FILE, at)
    with every_change_needs_an_event():
        look_again(testbed)
    assert testbed.fresh(row).checkpoint_at == at
    assert reports(row) == [at.isoformat()]


def test_a_file_that_has_not_been_written_since_is_no_news(testbed: Testbed, a: Node):
    row = run(testbed)
    first = timezone.now() - timedelta(minutes=5)
    testbed.runtime_of(a).touch(testbed.key(row), FILE, first)
    look_again(testbed)
    look_again(testbed)
    assert reports(row) == [first.isoformat()]
    second = first + timedelta(minutes=1)
    testbed.runtime_of(a).touch(testbed.key(row), FILE, second)
    look_again(testbed)
    assert testbed.fresh(row).checkpoint_at == second


def test_the_rules_are_those_of_a_report(testbed: Testbed, a: Node, dev: Any):
    row = run(testbed)
    now, hour = timezone.now(), timedelta(hours=1)
    for at in (now - 2 * hour, now + hour):  # before its start, in the future
        testbed.runtime_of(a).touch(testbed.key(row), FILE, at)
        look_again(testbed)
        assert testbed.fresh(row).checkpoint_at is None
    newer = timezone.now()
    report_checkpoint(dev, testbed.fresh(row), newer)
    testbed.runtime_of(a).touch(testbed.key(row), FILE, now - hour / 2)
    look_again(testbed)
    assert testbed.fresh(row).checkpoint_at == newer


def test_of_a_gang_the_newest_file_counts(testbed: Testbed, a: Node):
    row = run(testbed, replicas=2, gpu=0)
    older = timezone.now() - timedelta(minutes=5)
    newer = older + timedelta(minutes=1)
    for replica, at in ((0, newer), (1, older)):
        testbed.runtime_of(a).touch(testbed.key(row, replica), FILE, at)
    look_again(testbed)
    assert testbed.fresh(row).checkpoint_at == newer


def test_a_container_is_looked_at_once_in_a_while_and_only_where_it_has_a_file(
    testbed: Testbed, a: Node
):
    row = run(testbed)
    run(testbed, container={})
    looks = testbed.runtime_of(a).looks
    look_again(testbed)
    before = len(looks)
    for _ in range(3):
        testbed.reconcile()
        testbed.reconcile(str(row.pk))
    assert len(looks) == before
    assert {key.deployment_id for key, _ in looks} == {str(row.pk)}
    [key] = redis_client().keys("deployment:*:checkpoint-look:*")
    assert 0 < redis_client().ttl(key) <= checkpoint_files.EVERY_S


def test_what_stops_is_not_looked_at(testbed: Testbed, a: Node, dev: Any):
    row = run(testbed, image="deaf")
    stop_deployment(dev, testbed.fresh(row))
    testbed.runtime_of(a).looks.clear()
    look_again(testbed)
    assert testbed.status(row) == "STOPPING"
    assert testbed.runtime_of(a).looks == []


def test_a_file_that_cannot_be_looked_at_disturbs_nothing_and_is_left_alone(
    testbed: Testbed, a: Node
):
    row = run(testbed)

    def away(*_: Any) -> None:
        raise RuntimeUnavailable("its file server is away")

    testbed.intercept(a, "touched_at", away)
    look_again(testbed)
    assert testbed.status(row) == "RUNNING"
    assert testbed.fresh(row).checkpoint_at is None
    node = Node.objects.get(pk=a.pk)
    assert node.observed == "READY"
    [key] = redis_client().keys("deployment:*:checkpoint-look:*")
    assert redis_client().ttl(key) > checkpoint_files.EVERY_S


@pytest.mark.docker
def test_a_file_that_a_real_container_writes_moves_its_checkpoint(docker_testbed: DockerTestbed):
    testbed = docker_testbed
    line = "mkdir /out; while true; do touch /out/model.pt; sleep 0.2; done"
    row = testbed.run(container={"checkpoint_file": FILE}, **shell(line))

    def is_saved() -> bool:
        look_again(testbed)
        return testbed.fresh(row).checkpoint_at is not None

    testbed.run_until(is_saved)
    fresh = testbed.fresh(row)
    assert fresh.started_at is not None
    assert fresh.checkpoint_at is not None
    assert fresh.started_at <= fresh.checkpoint_at <= timezone.now()
