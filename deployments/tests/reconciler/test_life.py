"""From admitted to running to whatever end, by what the runtimes show."""

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Node
from deployments.lifecycle import deadlines, retry_backoff
from deployments.models import Deployment, DeploymentLog, Status
from deployments.queries import reasons_for
from deployments.runtimes.base import Code, Key
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def reason(row: Deployment) -> dict:
    fresh = Deployment.objects.select_related("priority_class").get(pk=row.pk)
    return reasons_for([fresh])[row.pk] or {}


def test_nothing_starts_before_its_node_has_answered(site: Site, a: Node):
    row = site.submit()
    site.cycle()
    assert site.status(row) == "QUEUED"
    site.look()
    site.cycle()
    assert site.status(row) == "STARTING"


def test_it_starts_runs_and_completes(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.cycle()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.started_at) == ("STARTING", 1, None)
    site.look(str(row.pk))
    fresh = site.fresh(row)
    assert fresh.status == "RUNNING"
    assert fresh.admitted_at is not None
    assert fresh.started_at is not None
    assert fresh.admitted_at <= fresh.started_at <= timezone.now()
    site.twin(a).write(site.key(row), b"done\n")
    site.twin(a).finish(site.key(row), 0)
    site.look(str(row.pk))
    fresh = site.fresh(row)
    assert (fresh.status, fresh.exit_code, fresh.placement) == ("COMPLETED", 0, [])
    assert allocated(site.cluster) == (0, 0, 0)
    assert site.events(row) == ["SUBMITTED", "STARTED", "RUNNING", "COMPLETED"]
    assert site.seen() == set()
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"done\n"


def test_what_is_over_before_anybody_looks_has_run_all_the_same(site: Site, a: Node):
    site.look()
    row = site.submit("hello")
    site.settle()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("COMPLETED", 0)
    assert fresh.started_at is not None


@pytest.mark.parametrize(
    ("image", "code", "message"),
    [
        ("exit:3", "EXITED", "It ended with exit code 3."),
        ("no-command", "COMMAND_FAILED", "Its command could not be started."),
        (
            "out-of-memory",
            "OUT_OF_MEMORY",
            "It needed more memory than the 512 MiB of RAM it asked for.",
        ),
    ],
)
def test_a_failed_attempt_says_why(site: Site, a: Node, image: str, code: str, message: str):
    site.look()
    row = site.submit(image)
    site.settle()
    assert site.status(row) == "FAILED"
    assert (reason(row)["code"], reason(row)["message"]) == (code, message)
    assert allocated(site.cluster) == (0, 0, 0)


def test_a_job_is_tried_again_after_a_pause_as_often_as_it_may(site: Site, a: Node):
    site.look()
    row = site.submit("exit:1", max_retries=2)
    for retry in (1, 2):
        site.settle()
        fresh = site.fresh(row)
        assert (fresh.status, fresh.retry_count, fresh.attempt) == ("QUEUED", retry, retry)
        assert fresh.retry_at is not None
        pause_s = (fresh.retry_at - timezone.now()).total_seconds()
        assert 10 * 2 ** (retry - 1) - 5 < pause_s <= 10 * 2 ** (retry - 1)
        told = reason(row)
        assert told["code"] == "EXITED"
        assert told["details"]["waiting_for"]["code"] == "BACKOFF"
        site.end_pauses()
    site.settle()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count, fresh.attempt) == ("FAILED", 2, 3)
    assert fresh.exit_code == 1


def test_a_pause_ends_by_the_clock_and_not_before(site: Site, a: Node):
    site.look()
    row = site.submit("exit:1", max_retries=1)
    site.settle()
    at = site.fresh(row).retry_at
    assert at is not None
    assert retry_backoff.release(at - timedelta(seconds=1)) == 0
    assert site.fresh(row).retry_at == at
    assert retry_backoff.release(at) == 1
    assert site.fresh(row).retry_at is None
    site.settle()
    assert site.status(row) == "FAILED"


def test_a_service_is_started_again_for_ever_even_after_a_good_end(site: Site, a: Node):
    site.look()
    row = site.submit("exit:0", kind="service")
    for attempt in range(1, 5):
        site.settle()
        fresh = site.fresh(row)
        assert (fresh.status, fresh.attempt, fresh.retry_count) == ("QUEUED", attempt, attempt)
        site.end_pauses()


def test_a_stop_takes_effect_once_the_runtime_has_confirmed_it(site: Site, a: Node, dev):
    site.look()
    row = site.submit("deaf", grace_s=3600)
    site.settle()
    stopped = stop_deployment(dev, site.fresh(row))
    assert stopped.status == "STOPPING"
    site.look()
    assert site.status(row) == "STOPPING"
    assert allocated(site.cluster) == (1000, 512, 1)
    assert stop_deployment(dev, site.fresh(row)).status == "STOPPING"  # twice is fine
    site.overdue(row)
    site.look()
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("STOPPED", 137)
    assert allocated(site.cluster) == (0, 0, 0)
    assert site.seen() == set()


def test_it_is_told_to_stop_once_and_killed_after_its_grace_only(
    site: Site, a: Node, dev, monkeypatch
):
    site.look()
    row = site.submit("deaf", grace_s=30)
    site.settle()
    told = []
    stop = site.twin(a).stop

    def listen(key: Key, grace_s: int) -> None:
        told.append(grace_s)
        stop(key, grace_s)

    monkeypatch.setattr(site.twin(a), "stop", listen)
    stop_deployment(dev, site.fresh(row))
    for _ in range(3):
        site.look()
    assert told == [30]
    site.overdue(row)
    site.look()
    assert told == [30, 0]


def test_who_was_admitted_and_never_launched_is_gone_at_once(site: Site, a: Node, dev):
    site.look()
    row = site.submit()
    site.cycle()
    stop_deployment(dev, site.fresh(row))
    site.look()
    assert site.status(row) == "STOPPED"
    assert site.twin(a).launches == []


def test_who_runs_too_long_is_stopped_and_has_failed(site: Site, a: Node):
    site.look()
    row = site.submit(max_runtime_s=60)
    site.settle()
    due = site.fresh(row).due_at
    assert due is not None
    assert deadlines.finish_due(due) == 1
    assert (site.status(row), site.fresh(row).next_status) == ("STOPPING", "FAILED")
    site.look()
    site.look()
    assert site.status(row) == "FAILED"
    assert reason(row)["code"] == "MAX_RUNTIME_EXCEEDED"


def test_an_image_is_pulled_first(site: Site, a: Node):
    site.look()
    site.twin(a).missing_images.add("sleep")
    row = site.submit()
    site.settle()
    assert site.status(row) == "RUNNING"
    assert "NOTICE" in site.events(row)


def test_an_image_that_cannot_be_had_fails_it_with_what_the_runtime_said(site: Site, a: Node):
    site.look()
    site.twin(a).unpullable_images.add("nothing")
    row = site.submit("nothing")
    site.settle()
    assert site.status(row) == "FAILED"
    assert reason(row)["code"] == "IMAGE_PULL_FAILED"
    assert "nothing: not found" in reason(row)["message"]


def test_it_runs_only_once_it_is_ready(site: Site, a: Node):
    site.look()
    row = site.submit("warming", readiness={"kind": "tcp", "port": 80, "within_s": 600})
    site.settle()
    assert site.status(row) == "STARTING"
    assert reason(row)["code"] == Code.NOT_READY
    site.twin(a).set_ready(site.key(row))
    site.look()
    assert site.status(row) == "RUNNING"


def test_one_that_does_not_become_ready_in_time_fails(site: Site, a: Node):
    site.look()
    row = site.submit("warming", readiness={"kind": "tcp", "port": 80, "within_s": 0.001})
    site.settle()
    assert site.status(row) == "FAILED"
    assert reason(row)["code"] == "NOT_READY_IN_TIME"
    assert site.seen() == set()


def test_a_gang_runs_once_all_of_it_does_and_fails_as_one(site: Site, a: Node, b: Node):
    site.look()
    row = site.submit(replicas=4, gpu=1)
    site.settle()
    assert site.status(row) == "RUNNING"
    assert len(site.twin(a).observe()) == len(site.twin(b).observe()) == 2
    site.twin(b).finish(site.key(row, 3), 9)
    site.look()
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("FAILED", 9)
    assert reason(row)["details"]["replica"] == 3
    assert site.seen() == set()


def test_a_gang_whose_replicas_end_one_by_one_completes_with_the_last(site: Site, a: Node):
    site.look()
    row = site.submit(replicas=2)
    site.settle()
    site.twin(a).finish(site.key(row, 0), 0)
    site.look()
    assert site.status(row) == "RUNNING"
    site.twin(a).finish(site.key(row, 1), 0)
    site.look()
    assert site.status(row) == "COMPLETED"
    assert DeploymentLog.objects.filter(deployment=row).count() == 2


def test_a_worker_that_read_before_a_stop_writes_nothing_after_it(site: Site, a: Node, dev):
    """What was judged in another state than it is in now is left alone."""
    from deployments.reconciler import status_writer
    from deployments.reconciler.assessment import Assessment, Outcome

    site.look()
    row = site.submit()
    site.cycle()
    stale = site.fresh(row)
    stop_deployment(dev, site.fresh(row))
    assert (
        status_writer.write(site.cluster.pk, [(stale, Assessment(Outcome.CONFIRM))], timezone.now())
        == set()
    )
    assert site.status(row) == Status.STOPPING


def test_a_full_pass_costs_the_same_for_few_and_many(
    site: Site, a: Node, django_assert_num_queries
):
    site.look()
    rows = [site.submit(cpu_milli=1, ram_mib=1, gpu=0) for _ in range(3)]
    site.settle()
    with django_assert_num_queries(6):  # cluster, rows, endpoints, nodes, registries, who is seen
        site.look()
    rows += [site.submit(cpu_milli=1, ram_mib=1, gpu=0) for _ in range(20)]
    site.settle()
    assert {site.status(row) for row in rows} == {"RUNNING"}
    with django_assert_num_queries(6):
        site.look()
