"""An explanation and a quote cost about the same whatever waits, and say where it was too much."""

import time
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster, Queueing
from deployments.models import Deployment, PriorityClass
from deployments.scheduling_key import key_of
from mlops_platform.api.ids import time_of
from organizations.tests.people import client_for
from scheduler import audit
from scheduler.answers import budget
from scheduler.tests.api.test_explain import NO_END, explained
from scheduler.tests.api.test_quote import SUBMIT, body, quoted
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


def queue_many(cluster: Cluster, owner: User, count: int, gpu: int = 0) -> None:
    """Queue so many different requests, each for one core or more."""
    low = PriorityClass.objects.get(name="LOW")
    rows = []
    for number in range(count):
        id_ = uuid7()
        row = Deployment(
            id=id_,
            created_at=time_of(id_),
            queued_at=time_of(id_),
            cluster=cluster,
            owner=owner,
            name="any",
            image="any",
            priority_class=low,
            cpu_milli=1000 + number,
            ram_mib=1024,
            gpu=gpu,
        )
        row.scheduling_key = key_of(row)
        rows.append(row)
    Deployment.objects.bulk_create(rows)


@pytest.fixture
def crowded(cluster: Cluster, submit: Submit, dev: User) -> Cluster:
    """A strict queue whose head waits for all GPUs, before more different requests that would fit
    than one answer considers."""
    Cluster.objects.update(queueing=Queueing.STRICT)
    submit("LOW", gpu=1, max_runtime_s=3600)
    run_cycle(cluster)
    submit("LOW", gpu=8)
    queue_many(cluster, dev, 2500)
    run_cycle(cluster)
    return cluster


def test_a_quote_behind_more_than_is_considered_promises_nothing(
    crowded: Cluster, dev: User
) -> None:
    given = body(crowded, gpu=0, required_cpu=0.5)
    quote = quoted(dev, given)
    assert (quote["outcome"], quote["complete"], quote["preempts"]) == ("UNKNOWN", False, [])
    assert (quote["reason"]["code"], quote["earliest_start"]) == ("NOT_YET_EVALUATED", None)
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert (answer.status_code, answer.json()["status"]) == (201, "QUEUED")
    assert audit.breaches() == []


def test_a_quote_ahead_of_those_not_considered_is_kept(crowded: Cluster, dev: User) -> None:
    given = body(crowded, gpu=7, priority="HIGH")
    quote = quoted(dev, given)
    assert quote["outcome"] == "STARTS_NOW"
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert (answer.status_code, answer.json()["status"]) == (201, "RUNNING")
    assert audit.breaches() == []


def test_an_explanation_behind_more_than_is_considered_says_so(crowded: Cluster, dev: User) -> None:
    last = Deployment.objects.order_by("cpu_milli").exclude(gpu__gt=0).first()
    assert last is not None
    found = explained(dev, last)
    assert found["complete"] is False
    help_ = found["starts_now_with"]
    assert (help_["nothing_changed"], help_["less"]) == (None, [])
    assert help_["after"] == NO_END
    assert help_["priority"]["priority"] == "HIGH"  # that one is ahead of all others


def test_what_does_not_fit_is_in_the_way_of_no_answer(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    """However many different requests wait for GPUs of which none is free."""
    submit("LOW", gpu=8)
    run_cycle(cluster)
    queue_many(cluster, dev, 2500, gpu=8)
    given = body(cluster, gpu=0)
    quote = quoted(dev, given)
    assert (quote["outcome"], quote["complete"]) == ("STARTS_NOW", True)
    answer = client_for(dev).post(SUBMIT, {**given, "quote": quote["token"]})
    assert (answer.status_code, answer.json()["status"]) == (201, "RUNNING")


def test_an_answer_takes_little_time_of_the_processor_whatever_waits(
    crowded: Cluster, dev: User
) -> None:
    last = Deployment.objects.order_by("-created_at").first()
    assert last is not None
    for ask in (lambda: explained(dev, last), lambda: quoted(dev, body(crowded, gpu=0))):
        began = time.thread_time()
        ask()
        assert time.thread_time() - began < 1.5


@pytest.mark.parametrize("limit", ["CPU_S", "WALL_S"])
def test_an_answer_ends_with_its_budget(
    cluster: Cluster, submit: Submit, dev: User, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    waiting = submit("LOW", gpu=2)
    monkeypatch.setattr(budget, limit, 0.0)
    found = explained(dev, waiting)
    nothing: dict[str, Any] = {
        "nothing_changed": None,
        "less": [],
        "without_volumes": [],
        "without_exclusive": False,
        "without_labels": {},
        "max_runtime_s": None,
        "priority": None,
        "another_cluster": [],
        "after": NO_END,
    }
    assert (found["starts_now_with"], found["complete"]) == (nothing, False)
    assert len(found["allocated_to"]) == 1
    quote = quoted(dev, body(cluster, gpu=0))
    assert (quote["outcome"], quote["complete"]) == ("UNKNOWN", False)
