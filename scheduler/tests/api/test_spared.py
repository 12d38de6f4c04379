"""Why nothing is preempted for a HIGH deployment that waits: `reason`, `explain` and `quote` say it
to every member, with the moment from which preemption starts it."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from clusters.models import Cluster, Node, NodeState
from deployments.models import Deployment, PriorityClass, Status, WaitReason
from deployments.reasons.preemption import SENTENCES
from deployments.tests.workloads import make
from mlops_platform.api.ids import moment
from organizations.tests.people import JsonClient, all_at_once, client_for
from scheduler import audit
from scheduler.answers.explain import as_workload
from scheduler.engine.whatif import Cause, WhatIf, occupants
from scheduler.store import part_reader
from scheduler.store import spared as store
from scheduler.tests.api.test_explain import explained
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def firm() -> PriorityClass:
    return PriorityClass.objects.create(name="FIRM", value=10, may_preempt=False, preemptible=False)


def reason_of(user: User, row: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = client_for(user).get(f"/api/deployments/{row.pk}").json()["reason"]
    return found


def policy(cluster: Cluster, **columns: Any) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(**columns)


def ends_at(row: Deployment, exempt_s: int) -> datetime:
    """The end of its exempt time, in whole milliseconds as the planner counts it."""
    row.refresh_from_db()
    assert row.started_at is not None
    at = row.started_at + timedelta(seconds=exempt_s)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


CAUSES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"preempt_exempt_s": 600}, {}, "EXEMPT", "is exempt from preemption until"),
    ({"preemption": "never"}, {}, "PREEMPTION_OFF", "preemption is off"),
    ({"max_preemptions": 0}, {}, "MAX_PREEMPTIONS", "as often as max_preemptions allows"),
    ({}, {"priority": "FIRM"}, "CLASS_NOT_PREEMPTIBLE", "never preempted"),
    ({}, {"priority": "HIGH"}, "SAME_OR_HIGHER_CLASS", "same or a higher class"),
]


@pytest.mark.parametrize(("columns", "running", "cause", "words"), CAUSES)
@pytest.mark.parametrize("others", [0, 20])
def test_each_cause_is_said_in_reason_explanation_and_quote(
    cluster: Cluster,
    submit: Submit,
    dev: User,
    firm: PriorityClass,
    columns: dict[str, Any],
    running: dict[str, Any],
    cause: str,
    words: str,
    others: int,
) -> None:
    """Also where so many wait that no cycle reads it."""
    policy(cluster, **columns)
    submit(**{"priority": "LOW", "gpu": 8, "name": "nightly", **running})
    run_cycle(cluster)
    for _ in range(others):
        submit("LOW", gpu=1)
    waiting = submit("HIGH", gpu=8)
    run_cycle(cluster)
    reason = reason_of(dev, waiting)
    assert reason["code"] == "INSUFFICIENT_CAPACITY"
    assert [(each["cause"], each["count"]) for each in reason["details"]["spared"]] == [(cause, 1)]
    assert words in reason["message"]
    for answer in (explained(dev, waiting), quoted(dev, body(cluster, 8, "HIGH"))):
        (found,) = answer["preemption"]["spared"]
        assert (found["cause"], found["count"]) == (cause, 1)
        assert words in found["message"]
        assert [each["name"] for each in found["deployments"]] == ["nightly"]
        assert answer["reason"]["message"] == reason["message"]
        assert answer["reason"]["details"] == reason["details"]


def test_the_moment_of_the_exempt_times_end_is_said_and_kept(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    policy(cluster, preempt_exempt_s=600)
    low = submit("LOW", gpu=8, max_runtime_s=3600)
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=8)
    run_cycle(cluster)
    promised = ends_at(low, 600)
    (cause,) = reason_of(dev, waiting)["details"]["spared"]
    assert parse_datetime(cause["until"]) == promised
    quote = quoted(dev, body(cluster, 4, "HIGH"))
    found = explained(dev, waiting)
    for each in (found["earliest_start"], found["preemption"]["starts_at"]):
        assert parse_datetime(each) == promised
    assert found["preemption"]["message"].startswith("If nothing else changes, preemption starts")
    assert found["starts_now_with"]["after"]["at"] is not None  # later, by its time limit
    assert quote["earliest_start"] is None  # the one of 8 GPUs goes first, and has no limit
    left = promised - timezone.now()
    Deployment.objects.filter(pk=low.pk).update(started_at=F("started_at") - left)
    run_cycle(cluster)
    waiting.refresh_from_db()
    assert waiting.status == Status.RUNNING
    assert audit.breaches() == []


def test_a_quote_says_the_same_moment_as_the_explanation_of_its_submit(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    policy(cluster, preempt_exempt_s=600)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    given = body(cluster, 8, "HIGH")
    quote = quoted(dev, given)
    assert (quote["outcome"], quote["complete"]) == ("WAITS", True)
    answer = client_for(dev).post("/api/deployments", {**given, "quote": quote["token"]})
    assert answer.status_code == 201, answer.json()
    run_cycle(cluster)
    found = explained(dev, Deployment.objects.get(pk=answer.json()["id"]))
    assert found["earliest_start"] == quote["earliest_start"] is not None
    assert found["preemption"] == quote["preemption"]


def test_where_time_alone_does_not_help_it_is_said(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    policy(cluster, preemption="never")
    submit("LOW", gpu=8)
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=8)
    run_cycle(cluster)
    found = explained(dev, waiting)
    assert (found["earliest_start"], found["complete"]) == (None, True)
    assert found["preemption"]["starts_at"] is None
    assert found["preemption"]["message"].startswith("Time alone does not start it")


def test_members_see_the_names_and_strangers_nothing(
    cluster: Cluster, submit: Submit, ada: User, vera: User, sam: User
) -> None:
    policy(cluster, preempt_exempt_s=600)
    submit("LOW", gpu=8, name="nightly")
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=8)
    run_cycle(cluster)
    for member in (ada, vera):
        (found,) = explained(member, waiting)["preemption"]["spared"]
        assert [each["name"] for each in found["deployments"]] == ["nightly"]
        assert "exempt" in reason_of(member, waiting)["message"]
    for path in (f"/api/deployments/{waiting.pk}", f"/api/deployments/{waiting.pk}/explain"):
        assert client_for(sam).get(path).status_code == 404
        assert client_for(None).get(path).status_code == 401
    assert client_for(sam).post("/api/deployments/quote", body(cluster)).status_code == 404


def test_what_waits_without_the_right_to_preempt_keeps_its_short_reason(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    policy(cluster, preempt_exempt_s=600)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    waiting = submit("LOW", gpu=8)
    run_cycle(cluster)
    assert "spared" not in reason_of(dev, waiting)["details"]
    (found,) = explained(dev, waiting)["preemption"]["spared"]
    assert (found["cause"], found["count"]) == ("CLASS_MAY_NOT_PREEMPT", 1)


def test_a_cycle_stores_nothing_of_it_so_that_time_alone_writes_nothing(
    cluster: Cluster, submit: Submit
) -> None:
    policy(cluster, preempt_exempt_s=600)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    (before,) = WaitReason.objects.values()
    assert "spared" not in before["details"]
    run_cycle(cluster)
    assert list(WaitReason.objects.values()) == [before]


def test_a_page_of_many_that_wait_costs_one_query_more(
    cluster: Cluster, submit: Submit, dev: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    policy(cluster, preempt_exempt_s=600)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    for _ in range(12):
        submit("HIGH", gpu=2)
    run_cycle(cluster)
    page = client_for(dev).get("/api/deployments?limit=20").json()
    waiting = [each for each in page if each["status"] == "QUEUED"]
    assert len(waiting) == 12
    assert {each["reason"]["details"]["spared"][0]["cause"] for each in waiting} == {"EXEMPT"}
    with django_assert_num_queries(1):
        rows = list(Deployment.objects.filter(status="QUEUED").select_related("priority_class"))
    with django_assert_num_queries(1):
        assert len(store.causes_of([(row, {"short": {"gpu": 2}}) for row in rows])) == 12


def test_what_runs_without_gpus_is_not_said_to_spare_any(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    policy(cluster, preempt_exempt_s=600)
    submit("HIGH", gpu=8)
    submit("LOW", gpu=0)
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=8)
    run_cycle(cluster)
    (found,) = reason_of(dev, waiting)["details"]["spared"]
    assert (found["cause"], found["count"]) == ("SAME_OR_HIGHER_CLASS", 1)


def test_nodes_that_cannot_run_it_do_not_count(cluster: Cluster, submit: Submit, dev: User) -> None:
    policy(cluster, preempt_exempt_s=600)
    for name, labels in (("a", {"zone": "x"}), ("b", {})):
        Node.objects.create(
            cluster=cluster, name=name, cpu_milli=32_000, ram_mib=256 * 1024, gpu=4, labels=labels
        )
    for _ in range(2):
        submit("LOW", gpu=4)
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=4, node_selector={"zone": "x"})
    run_cycle(cluster)
    (cause,) = reason_of(dev, waiting)["details"]["spared"]
    assert (cause["cause"], cause["count"]) == ("EXEMPT", 1)
    by_cause = {each["cause"]: each for each in explained(dev, waiting)["preemption"]["spared"]}
    assert {name: each["count"] for name, each in by_cause.items()} == {
        "OTHER_NODES": 1,
        "EXEMPT": 1,
    }
    Node.objects.filter(name="a").update(state=NodeState.CORDONED)
    run_cycle(cluster)
    assert "spared" not in reason_of(dev, waiting)["details"]


def test_of_more_than_one_answer_counts_nothing_is_said(
    cluster: Cluster, submit: Submit, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(cluster, preempt_exempt_s=600)
    for _ in range(4):
        submit("LOW", gpu=2)
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=8)
    run_cycle(cluster)
    monkeypatch.setattr(store, "MOST_COUNTED", 4)
    assert "spared" not in reason_of(dev, waiting)["details"]
    monkeypatch.setattr(store, "MOST_COUNTED", 5)
    assert reason_of(dev, waiting)["details"]["spared"][0]["count"] == 4


def test_the_size_of_a_cluster_counts_whatever_the_question_leaves_out(
    cluster: Cluster, submit: Submit, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a question about GPUs would read all that runs without any."""
    policy(cluster, preempt_exempt_s=600)
    for gpu in (8, 0, 0, 0):
        submit("LOW", gpu=gpu, cpu_milli=100)
    run_cycle(cluster)
    waiting = submit("HIGH", gpu=8, cpu_milli=100)
    run_cycle(cluster)
    assert reason_of(dev, waiting)["details"]["spared"][0]["count"] == 1
    monkeypatch.setattr(store, "MOST_COUNTED", 4)
    assert "spared" not in reason_of(dev, waiting)["details"]


Counts = Mapping[str, tuple[int, datetime | None]]


def by_sql(waiting: Deployment, details: dict[str, Any]) -> Counts:
    found = store.causes_of([(waiting, details)]).get(waiting.pk, [])
    return {each["cause"]: (each["count"], _moment(each["until"])) for each in found}


def by_planner(cluster: Cluster, waiting: Deployment) -> Counts:
    snapshot, workload = part_reader(cluster.pk).ever.snapshot, as_workload(waiting)
    found = WhatIf(snapshot, workload).spared(occupants(snapshot, workload))
    return {
        str(each.cause): (each.count, moment(each.until_ms) if each.until_ms else None)
        for each in found
        if each.cause in store.COUNTED
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_datetime(text)


@pytest.mark.parametrize("seed", range(12))
def test_postgresql_counts_as_the_planner_does(
    cluster: Cluster, dev: User, firm: PriorityClass, seed: int
) -> None:
    choose = random.Random(seed)
    PriorityClass.objects.create(name="MID", value=500)
    policy(
        cluster,
        preempt_exempt_s=choose.choice([0, 300, 300]),
        max_preemptions=choose.choice([0, 2, 5]),
        preemption=choose.choice(["lower_priority"] * 3 + ["never"]),
        total_gpu=100,
    )
    for _ in range(30):
        row = make(
            cluster,
            dev,
            choose.choice([Status.RUNNING, Status.RUNNING, Status.STARTING, Status.STOPPING]),
            priority=choose.choice(["LOW", "MID", "HIGH", "FIRM"]),
            gpu=choose.choice([0, 1, 2]),
            preemption_count=choose.randrange(4),
        )
        began = timezone.now() - timedelta(seconds=choose.randrange(600), microseconds=1)
        starting = row.status == Status.STARTING
        Deployment.objects.filter(pk=row.pk).update(
            started_at=None if starting else began, admitted_at=began
        )
    for priority in ("HIGH", "MID"):
        since = timezone.now() - timedelta(seconds=choose.choice([0, 0, 200, 600]))
        waiting = make(cluster, dev, priority=priority, gpu=90, queued_at=since)
        assert by_sql(waiting, {"short": {"gpu": 1}}) == by_planner(cluster, waiting) != {}


def test_every_cause_has_a_sentence() -> None:
    assert list(SENTENCES) == [str(cause) for cause in Cause]


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_answers_stay_whole_while_exempt_times_end_victims_leave_and_others_stop(
    cluster: Cluster, submit: Submit, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scope in ("explain", "quote"):
        monkeypatch.setitem(JsonClient.rates(), scope, "10000/min")
    policy(cluster, preempt_exempt_s=600)
    lows = [submit("LOW", gpu=1) for _ in range(8)]
    run_cycle(cluster)
    waiting = [submit("HIGH", gpu=2) for _ in range(4)]
    run_cycle(cluster)

    def change() -> None:
        for row in lows[:6]:
            old = timezone.now() - timedelta(hours=1)
            Deployment.objects.filter(pk=row.pk, status="RUNNING").update(started_at=old)
            run_cycle(cluster)
        client_for(dev).post(f"/api/deployments/{lows[7].pk}/stop")
        run_cycle(cluster)

    def ask() -> list[int]:
        statuses = []
        for _ in range(6):
            for row in waiting:
                for path in ("", "/explain"):
                    answer = client_for(dev).get(f"/api/deployments/{row.pk}{path}")
                    statuses.append(answer.status_code)
            answer = client_for(dev).post("/api/deployments/quote", body(cluster, 2, "HIGH"))
            statuses.append(answer.status_code)
        return statuses

    _, *answers = all_at_once(change, ask, ask)
    assert [set(each) for each in answers] == [{200}, {200}]
    assert audit.breaches() == []
    rows = Deployment.objects.filter(pk__in=[row.pk for row in waiting], status="RUNNING")
    assert rows.count() == 3
