"""Whether the scheduler is at work, in /readyz and in the reasons of what waits."""

import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment
from deployments.reasons.reader import reasons_for
from mlops_platform.coordination import presence
from mlops_platform.tests.equipment.workers import StartTimer
from organizations.tests.people import client_for
from scheduler import freshness, tasks
from scheduler.models import PeriodicJob
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.timer import jobs

PATIENCE_S = 60.0
LONG = timedelta(minutes=2)
SILENT = "scheduler_silent_since"
LOOK = jobs.JOBS[0]


def readiness(client: Client) -> dict[str, Any]:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def reason_of(row: Deployment) -> dict[str, Any]:
    found = reasons_for([Deployment.objects.get(pk=row.pk)])[row.pk]
    assert found is not None
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_and_a_killed_timer_show_in_readyz_and_in_the_reason_of_what_waits(
    submit: Submit,
    start_timer: StartTimer,
    start_worker: Callable[..., "subprocess.Popen[bytes]"],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freshness, "LATE_S", 4.0)
    timer, worker = start_timer(), start_worker(concurrency=1)
    wait_for(lambda: readiness(client)["checks"]["scheduler"] == "ok")
    large = submit("HIGH", gpu=9)
    wait_for(lambda: reason_of(large)["code"] == "EXCEEDS_CAPACITY")

    for process in (timer, worker):
        process.kill()
        process.wait()
    late = submit("LOW")
    wait_for(lambda: len(readiness(client)["problems"]) == 2)
    found = readiness(client)
    assert (found["status"], found["checks"]["scheduler"]) == ("degraded", "away")
    assert found["problems"][0].startswith("No worker has answered since 20")
    assert found["problems"][1].startswith("No timer has taken a turn since 20")
    for row, code in ((large, "EXCEEDS_CAPACITY"), (late, "NOT_YET_EVALUATED")):
        shown = reason_of(row)
        assert shown["code"] == code
        assert shown["message"].count("The scheduler has not answered since 20") == 1

    start_timer(), start_worker(concurrency=1)
    wait_for(lambda: readiness(client)["checks"]["scheduler"] == "ok")
    assert SILENT not in reason_of(large)["details"]


def work() -> None:
    """As a timer and a worker do, every other second."""
    jobs.claim_due()
    jobs.ask_for(LOOK)
    tasks.run_job(LOOK.name)


def make_late(*, timer: bool, worker: bool) -> None:
    """As if one of them, or both, had ended a while ago."""
    if timer:
        PeriodicJob.objects.update(next_at=Now() - LONG)
    if worker:
        PeriodicJob.objects.update(ran_at=Now() - LONG)
        Cluster.objects.update(evaluated_at=Now() - LONG)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("late", "beats", "named", "is_silent"),
    [
        ({"timer": False, "worker": False}, False, [], False),
        ({"timer": False, "worker": True}, True, ["No worker"], True),  # it beats, and runs nothing
        ({"timer": True, "worker": False}, False, ["No timer"], False),
        ({"timer": True, "worker": True}, True, ["No timer"], False),  # nothing is asked of it
        ({"timer": True, "worker": True}, False, ["No worker", "No timer"], True),
    ],
)
def test_what_is_late_is_named_and_silence_is_that_of_workers(
    submit: Submit,
    client: Client,
    late: dict[str, bool],
    beats: bool,
    named: list[str],
    is_silent: bool,
) -> None:
    row = submit("LOW")
    work()
    make_late(**late)
    if beats:
        presence.beat("celery@one", ["scheduler"])
    presence.beat("runtimes@one", ["runtimes"])  # runs no cycles
    found = readiness(client)
    assert [" ".join(problem.split()[:2]) for problem in found["problems"]] == named
    assert found["checks"]["scheduler"] == ("away" if named else "ok")
    assert (SILENT in reason_of(row)["details"]) is is_silent


@pytest.mark.django_db
def test_a_worker_that_is_busy_with_cycles_has_answered(submit: Submit, cluster: Cluster) -> None:
    row = submit("HIGH", gpu=9)
    work()
    make_late(timer=False, worker=True)
    assert SILENT in reason_of(row)["details"]
    run_cycle(cluster)
    assert freshness.silent_since() is None
    assert SILENT not in reason_of(row)["details"]


@pytest.mark.django_db
def test_before_anything_ran_readyz_says_so_and_reasons_do_not(
    submit: Submit, client: Client
) -> None:
    row = submit("LOW")
    assert readiness(client)["problems"] == [
        "No worker has answered yet: nothing is started.",
        "No timer has taken a turn yet: nothing ends by the clock, and what is lost is not asked "
        "for again.",
    ]
    assert reason_of(row)["details"] == {}


@pytest.mark.django_db
def test_a_clock_that_was_put_back_makes_nothing_look_fresh_for_long(submit: Submit) -> None:
    row = submit("LOW")
    work()
    PeriodicJob.objects.update(ran_at=Now() + LONG)
    Cluster.objects.update(evaluated_at=Now() - LONG)
    assert SILENT in reason_of(row)["details"]


@pytest.mark.django_db
def test_explanations_and_waits_for_an_attempt_say_it_too_and_nothing_is_written(
    submit: Submit, dev: User
) -> None:
    waits, tried = submit("HIGH", gpu=9), submit("LOW")
    Deployment.objects.filter(pk=tried.pk).update(retry_at=Now() - LONG)
    dependent = submit("LOW", depends_on=[str(waits.pk)])
    work()
    make_late(timer=True, worker=True)
    for row in (waits, tried):
        for path in ("", "/explain"):
            reason = client_for(dev).get(f"/api/deployments/{row.pk}{path}").json()["reason"]
            assert " The scheduler has not answered since 20" in reason["message"], path
            assert reason["details"][SILENT].startswith("20"), path
        assert not Deployment.objects.get(pk=row.pk).reason_code
    assert SILENT not in reason_of(dependent)["details"]  # it waits for another deployment


@pytest.mark.django_db
def test_the_question_costs_no_query_while_the_scheduler_answers(
    submit: Submit, cluster: Cluster, django_assert_num_queries: Callable[..., Any]
) -> None:
    row = submit("HIGH", gpu=9)
    run_cycle(cluster)
    work()
    found = Deployment.objects.select_related("priority_class").get(pk=row.pk)
    with django_assert_num_queries(1):
        reasons_for([found])
