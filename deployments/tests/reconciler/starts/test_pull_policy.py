"""Images that are pulled at each start, and the digest that a deployment has run."""

from dataclasses import replace
from typing import Any

import pytest

from clusters.models import Node
from deployments.models import Deployment
from deployments.reconciler.starts import image_pulls
from deployments.runtimes.base import Key
from deployments.tests.reconciler.testbed import Testbed, endpoint_of, reason
from mlops_platform.coordination.redis import redis_client

IMAGE = "registry.test/train:1"
DIGEST, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
ALWAYS: dict[str, Any] = {"container": {"pull_policy": "always"}}


@pytest.fixture(autouse=True)
def ready(testbed: Testbed, a: Node) -> None:
    testbed.reconcile()


def test_an_image_that_its_node_has_is_pulled_only_where_each_start_asks_for_it(
    testbed: Testbed, a: Node
):
    asking, other = testbed.submit(IMAGE, **ALWAYS), testbed.submit(IMAGE)
    testbed.settle()
    assert [testbed.status(each) for each in (asking, other)] == ["RUNNING", "RUNNING"]
    assert testbed.runtime_of(a).pulled == [IMAGE]


def test_a_later_start_pulls_again_and_one_that_was_placed_before_the_pull_does_not(
    testbed: Testbed, a: Node
):
    first, beside = testbed.submit(IMAGE, **ALWAYS), testbed.submit(IMAGE, **ALWAYS)
    testbed.settle()
    assert testbed.status(beside) == "RUNNING"
    assert testbed.runtime_of(a).pulled == [IMAGE]
    testbed.runtime_of(a).finish(Key(str(first.pk), 1, 0), 1)
    testbed.reconcile()
    assert testbed.status(first) == "FAILED"
    later = testbed.submit(IMAGE, **ALWAYS)
    testbed.settle()
    assert testbed.status(later) == "RUNNING"
    assert testbed.runtime_of(a).pulled == [IMAGE, IMAGE]


def test_all_replicas_on_a_node_start_from_one_pull(testbed: Testbed, a: Node):
    gang = testbed.submit(IMAGE, replicas=3, gpu=0, **ALWAYS)
    testbed.settle()
    assert testbed.status(gang) == "RUNNING"
    assert testbed.runtime_of(a).pulled == [IMAGE]


def test_without_its_registry_it_waits_although_its_node_has_the_image(testbed: Testbed, a: Node):
    testbed.runtime_of(a).delayed_images[IMAGE] = "no such host"
    testbed.runtime_of(a).missing_images.clear()
    row = testbed.submit(IMAGE, **ALWAYS)
    testbed.settle()
    assert testbed.status(row) == "STARTING"
    assert reason(row)["code"] == "IMAGE_PULL_DELAYED"
    assert testbed.runtime_of(a).launch_specs == []


def test_an_image_that_is_gone_from_its_registry_fails_the_start(testbed: Testbed, a: Node):
    testbed.runtime_of(a).unpullable_images.add(IMAGE)
    row = testbed.submit(IMAGE, **ALWAYS)
    testbed.settle()
    assert (testbed.status(row), reason(row)["code"]) == ("FAILED", "IMAGE_PULL_FAILED")
    assert testbed.runtime_of(a).launch_specs == []


def test_it_is_pulled_once_more_where_redis_has_forgotten_the_pull(testbed: Testbed, a: Node):
    row = testbed.submit(IMAGE, **ALWAYS)
    testbed.cycle()
    row = testbed.fresh(row)
    image_pulls.pull(endpoint_of(a), IMAGE)
    redis_client().flushdb()
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert testbed.runtime_of(a).pulled == [IMAGE, IMAGE]


def test_a_pull_that_was_broken_off_counts_as_none(testbed: Testbed, a: Node):
    row = testbed.submit(IMAGE, **ALWAYS)
    testbed.cycle()

    def broken_off(_own, _image, wanted):
        assert not wanted()

    testbed.intercept(a, "pull", broken_off)
    image_pulls.pull(endpoint_of(a), IMAGE, lambda: False)
    admitted_at = testbed.fresh(row).admitted_at
    assert admitted_at is not None
    assert not image_pulls.was_pulled_since(endpoint_of(a), IMAGE, admitted_at)
    testbed.intercept(a, "pull", None)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert testbed.runtime_of(a).pulled == [IMAGE]


def shows(digest: str):
    """An answer to `observe` whose replicas have this digest."""

    def observe(own, *arguments):
        return [replace(each, image_digest=digest) for each in own(*arguments)]

    return observe


def test_what_has_run_is_shown_until_another_attempt_has_run(testbed: Testbed, a: Node):
    row = testbed.submit(IMAGE, max_retries=1)
    assert row.image_digest == ""
    testbed.intercept(a, "observe", shows(DIGEST))
    testbed.settle()
    assert testbed.fresh(row).image_digest == DIGEST
    testbed.runtime_of(a).finish(Key(str(row.pk), 1, 0), 1)
    testbed.reconcile()
    assert testbed.status(row) == "QUEUED"
    assert testbed.fresh(row).image_digest == DIGEST
    Deployment.objects.update(retry_at=None)
    testbed.intercept(a, "observe", shows(OTHER))
    testbed.settle()
    assert testbed.fresh(row).image_digest == OTHER


def test_what_ended_before_it_was_seen_to_run_has_one_too(testbed: Testbed, a: Node):
    testbed.intercept(a, "observe", shows(DIGEST))
    row = testbed.submit("exit:0")
    testbed.settle()
    assert testbed.status(row) == "COMPLETED"
    assert testbed.fresh(row).image_digest == DIGEST


def test_what_failed_before_it_was_seen_to_run_has_one_too(testbed: Testbed, a: Node):
    testbed.intercept(a, "observe", shows(DIGEST))
    row = testbed.submit("exit:3")
    testbed.settle()
    assert testbed.status(row) == "FAILED"
    assert testbed.fresh(row).image_digest == DIGEST
