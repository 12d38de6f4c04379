"""Containers that nobody knows, that are not where they should be, or that others have ended."""

import pytest

from clusters.models import Node
from deployments.runtimes.base import Code, Phase, ReplicaStatus
from deployments.tests.reconciler.conftest import Site, launch
from deployments.tests.reconciler.test_life import reason

pytestmark = pytest.mark.django_db


def test_a_container_of_no_deployment_is_removed(site: Site, a: Node):
    site.look()
    site.twin(a).start(launch("01a20000-0000-7000-8000-000000000000"))
    site.look()
    site.look()
    assert site.twin(a).observe() == []


def test_a_container_of_an_older_attempt_is_removed_and_the_present_one_left(site: Site, a: Node):
    site.look()
    row = site.submit("exit:1", max_retries=1)
    site.settle()
    site.end_pauses()
    site.cycle()
    site.twin(a).start(launch(str(row.pk), attempt=1))
    site.look()
    site.look()
    assert site.twin(a).observe() == []
    assert site.status(row) == "FAILED"
    assert site.fresh(row).attempt == 2


def test_a_container_that_is_gone_is_started_again_after_a_pause(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).vanish(site.key(row))
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert fresh.retry_at is not None
    assert reason(row)["code"] == "CONTAINER_LOST"
    site.end_pauses()
    site.settle()
    assert (site.status(row), site.fresh(row).attempt) == ("RUNNING", 2)


def test_one_that_vanishes_before_it_ran_is_launched_once_more(site: Site, a: Node):
    site.look()
    row = site.submit("warming")
    site.settle()
    site.twin(a).vanish(site.key(row))
    site.look()
    assert len(site.twin(a).launches) == 2
    assert (site.status(row), site.fresh(row).attempt) == ("STARTING", 1)


def test_one_that_was_made_but_never_told_to_begin_is_launched_once_more(
    site: Site, a: Node, monkeypatch
):
    site.look()
    row = site.submit()
    site.cycle()
    made = ReplicaStatus(site.key(row), Phase.PENDING, begun=False, node="a")
    twin = site.twin(a)
    twin_observe = twin.observe
    monkeypatch.setattr(twin, "observe", lambda ids: twin_observe(ids) if twin.launches else [made])
    site.look()
    assert (site.status(row), len(twin.launches)) == ("RUNNING", 1)


def test_what_the_machine_ended_is_nobodys_failure(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).finish(site.key(row), 137, Code.DISRUPTED)
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count, fresh.retry_at) == ("QUEUED", 0, None)


@pytest.mark.parametrize("exit_code", [0, 143])
def test_what_somebody_else_told_to_end_is_nobodys_failure(site: Site, a: Node, exit_code: int):
    """As `kubectl delete pod` does, or an eviction by Kubernetes."""
    site.look()
    row = site.submit("deaf")
    site.settle()
    site.twin(a).stop(site.key(row), 60)
    site.twin(a).finish(site.key(row), exit_code)
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert reason(row)["code"] == "DISRUPTED"
