"""Images whose registry does not answer: tried again with growing pauses, and never a failure."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from clusters.models import Node
from deployments import wakeup
from deployments.lifecycle import due
from deployments.models import Deployment, EventType
from deployments.reconciler.starts import pull_pauses
from deployments.tests.reconciler.testbed import Testbed, endpoint_of, reason
from mlops_platform.coordination.redis import redis_client

AWAY = "dial tcp: lookup registry.test: no such host"
IMAGE = "registry.test/train:1"


@pytest.fixture
def waiting(testbed: Testbed, a: Node) -> Deployment:
    """Waits for an image whose registry is away."""
    testbed.reconcile()
    testbed.runtime_of(a).delayed_images[IMAGE] = AWAY
    row = testbed.submit(IMAGE, max_retries=0)
    testbed.settle()
    return row


def end_pause(node: Node) -> None:
    """As if the pause before the next pull were over."""
    key = pull_pauses._key(endpoint_of(node), IMAGE)
    before = pull_pauses.read(endpoint_of(node), IMAGE)
    assert before is not None
    text = str(redis_client().get(key)).replace(
        before.retry_at.isoformat(), timezone.now().isoformat()
    )
    redis_client().set(key, text)


def pause_s(row: Deployment, asked_at: datetime) -> float:
    retry_at = datetime.fromisoformat(reason(row)["details"]["retry_at"])
    return (retry_at - asked_at).total_seconds()


def test_a_deployment_says_since_when_its_image_cannot_be_pulled_and_when_the_next_try_is(
    testbed: Testbed, waiting: Deployment
):
    assert testbed.status(waiting) == "STARTING"
    shown = reason(waiting)
    assert shown["code"] == "IMAGE_PULL_DELAYED"
    assert AWAY in shown["message"]
    assert shown["details"]["tries"] == 1
    since = datetime.fromisoformat(shown["details"]["since"])
    assert timezone.now() - timedelta(minutes=1) < since < timezone.now()
    assert datetime.fromisoformat(shown["details"]["retry_at"]) > since


def test_each_pause_is_longer_than_the_one_before_and_five_minutes_at_most(
    testbed: Testbed, a: Node, waiting: Deployment
):
    since, pauses = reason(waiting)["details"]["since"], []
    for tries in range(2, 9):
        end_pause(a)
        asked_at = timezone.now()
        testbed.reconcile()
        pauses.append(round(pause_s(waiting, asked_at), -1))
        assert reason(waiting)["details"]["tries"] == tries
        assert reason(waiting)["details"]["since"] == since
    assert pauses == [20, 40, 80, 160, 300, 300, 300]
    assert testbed.status(waiting) == "STARTING"


def test_nothing_is_pulled_nor_written_during_a_pause(
    testbed: Testbed, a: Node, waiting: Deployment
):
    pulled: list[str] = []
    testbed.intercept(a, "pull", lambda own, image, *_: pulled.append(image))
    before = testbed.events(waiting)
    testbed.reconcile()
    testbed.reconcile()
    assert pulled == []
    assert testbed.events(waiting) == before


def test_the_deployment_runs_once_the_registry_is_back(
    testbed: Testbed, a: Node, waiting: Deployment
):
    testbed.runtime_of(a).delayed_images.clear()
    testbed.runtime_of(a).missing_images.add(IMAGE)
    end_pause(a)
    testbed.reconcile()
    assert testbed.status(waiting) == "RUNNING"
    assert testbed.fresh(waiting).retry_count == 0
    assert pull_pauses.read(endpoint_of(a), IMAGE) is None


def test_an_image_that_turns_out_not_to_exist_fails_it_then(
    testbed: Testbed, a: Node, waiting: Deployment
):
    testbed.runtime_of(a).delayed_images.clear()
    testbed.runtime_of(a).unpullable_images.add(IMAGE)
    end_pause(a)
    testbed.reconcile()
    assert testbed.status(waiting) == "FAILED"
    assert reason(waiting)["code"] == "IMAGE_PULL_FAILED"


def test_what_waits_too_long_gives_its_capacity_back_and_has_not_failed(
    testbed: Testbed, a: Node, waiting: Deployment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("deployments.reconciler.actions.TRY_FOR", timedelta(0))
    testbed.reconcile()
    row = testbed.fresh(waiting)
    assert row.status == "QUEUED"
    assert row.retry_count == 0
    assert row.retry_at is not None
    assert reason(row)["code"] == "IMAGE_PULL_DELAYED"
    assert reason(row)["details"]["waiting_for"]["code"] == "BACKOFF"
    assert testbed.fresh(row).cluster.allocated_gpu == 0


def test_the_next_try_wakes_the_worker_at_its_moment(testbed: Testbed, waiting: Deployment):
    wakeup.clear_flag(testbed.cluster.pk)
    due.wake_all()
    assert not wakeup.is_flag_set(testbed.cluster.pk)
    moments: list[Any] = redis_client().zrange(wakeup.MOMENTS, 0, -1, withscores=True)
    [(moment, at)] = moments
    assert str(testbed.cluster.pk) in moment
    assert at / 1000 == pytest.approx(
        datetime.fromisoformat(reason(waiting)["details"]["retry_at"]).timestamp(), abs=5
    )
    redis_client().zadd(wakeup.MOMENTS, {moment: 0})
    due.wake_all()
    assert wakeup.is_flag_set(testbed.cluster.pk)
    assert not redis_client().exists(wakeup.MOMENTS)


def test_the_timeline_has_each_failure(testbed: Testbed, a: Node, waiting: Deployment):
    end_pause(a)
    testbed.reconcile()
    notices = waiting.events.filter(type=EventType.NOTICE).order_by("id")
    seen = [(each.details["code"], each.details.get("tries")) for each in notices]
    expected = [("PULLING_IMAGE", None), ("IMAGE_PULL_DELAYED", 1), ("IMAGE_PULL_DELAYED", 2)]
    assert list(dict.fromkeys(seen)) == expected
