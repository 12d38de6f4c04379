"""The operators' home: what it says of each part, with few queries, however slow the tables are."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, NodeState, Runtime
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery
from deployments.tests.workloads import make
from mlops_platform.coordination import presence
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from scheduler import audits, tasks, wakeup
from scheduler.home import lights, page, reading
from scheduler.home.lights import Light, Tone
from scheduler.models import AuditResult, DatabaseSize, PeriodicJob, SchedulingCycle, Trigger
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.timer import jobs

pytestmark = pytest.mark.django_db
LONG = timedelta(minutes=20)


@pytest.fixture
def at_work() -> None:
    """A timer and workers are at work, and an audit has found nothing."""
    for job in jobs.claim_due():
        PeriodicJob.objects.filter(name=job.name).update(ran_at=Now())
    presence.beat("celery@one", ["scheduler"])
    presence.beat("runtimes@one", ["runtimes"])
    audits.run()


def light(name: str) -> Light:
    return next(each for each in page.home().lights if each.name == name)


def test_all_is_well_where_all_is(at_work: None, submit: Submit, cluster: Cluster) -> None:
    submit("LOW")
    run_cycle(cluster)
    wakeup.clear_flag(cluster.pk)
    home = page.home()
    wrong = [each for each in home.lights if each.tone != Tone.GOOD and each.name != "Disk"]
    assert wrong == []
    assert len(home.lights) == 11


def ended() -> None:
    PeriodicJob.objects.update(next_at=Now() - LONG, ran_at=Now() - LONG)
    redis_client().delete(presence.KEY)


def overlook(cluster: Cluster, dev: User) -> None:
    row = make(cluster, dev)
    Deployment.objects.filter(pk=row.pk).update(queued_at=Now() - LONG)


def fail(cluster: Cluster, dev: User) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    with pytest.raises(ZeroDivisionError):
        wakeup.run(cluster.pk, broken)


def slow(cluster: Cluster, dev: User) -> None:
    counts = ("evaluated", "started", "evicted", "waiting")
    SchedulingCycle.objects.create(
        cluster=cluster,
        trigger=Trigger.SWEEP,
        load_ms=1,
        plan_ms=12_000,
        apply_ms=1,
        engine_version="1",
        snapshot=b"",
        plan=b"",
        **{f"{name}_count": 0 for name in counts},
    )


def away(cluster: Cluster, dev: User) -> None:
    real = make_cluster(cluster.organization, name="real", runtime=Runtime.DOCKER)
    Endpoint.objects.create(cluster=real, url="tcp://gone:1", away_since=Now() - LONG)
    Node.objects.create(
        cluster=real, name="n1", cpu_milli=1, ram_mib=1, gpu=0, observed=NodeState.NOT_READY
    )


def hook(cluster: Cluster, **columns: Any) -> Webhook:
    return Webhook.objects.create(
        organization=cluster.organization,
        url="https://hooks.example.org",
        life="",
        transaction_id=0,
        row=0,
        **columns,
    )


def due(cluster: Cluster, ago: timedelta, **columns: Any) -> None:
    webhook = hook(cluster, **columns)
    for at in (Now() - ago, Now() + LONG):
        WebhookDelivery.objects.create(webhook=webhook, type="STOPPED", body="{}", next_at=at)
    WebhookDelivery.objects.create(
        webhook=webhook,
        type="STOPPED",
        body="{}",
        next_at=Now() - 3 * LONG,
        status=DeliveryStatus.DELIVERED,
    )


def miscount(cluster: Cluster, dev: User) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(allocated_gpu=3)
    audits.run()


def grow(cluster: Cluster, dev: User) -> None:
    DatabaseSize.objects.create(at=Now() - timedelta(days=2), size=1)


FAILS = {"failing_since": Now() - timedelta(hours=73)}
OLD = {"failing_since": Now() - timedelta(hours=97), "enabled": False}


@pytest.mark.parametrize(
    ("happens", "tone", "sentence"),
    [
        (lambda _: None, Tone.GOOD, "There are none."),
        (lambda at: due(at, timedelta(0)), Tone.GOOD, "Of 1 the receivers of 0 fail, 0 were"),
        (lambda at: due(at, LONG / 10), Tone.WATCH, "that is due waits for 2 min, of "),
        (lambda at: due(at, LONG), Tone.ACT, "that is due waits for 20 min, of "),
        (lambda at: due(at, LONG, not_before=Now() - LONG / 10), Tone.WATCH, "for 2 min, of "),
        (lambda at: due(at, LONG, not_before=Now() + LONG, **FAILS), Tone.GOOD, "of 1 fail, 0"),
        (lambda at: due(at, LONG, enabled=False), Tone.GOOD, "of 0 fail, 0 were switched off"),
        (lambda at: hook(at, enabled=False, **FAILS), Tone.WATCH, "of 0 fail, 1 were switched"),
        (lambda at: hook(at, **OLD), Tone.GOOD, "Of 1 the receivers of 0 fail, 1 were switched"),
    ],
)
def test_webhooks_are_judged_by_what_is_due_and_by_what_was_switched_off_lately(
    cluster: Cluster, happens: Callable[[Cluster], object], tone: Tone, sentence: str
) -> None:
    happens(cluster)
    found = light("Webhooks")
    assert (found.tone, sentence in found.sentence) == (tone, True), found.sentence


def test_webhooks_of_a_deleted_organization_are_not_judged(cluster: Cluster) -> None:
    due(cluster, LONG)
    Organization.objects.update(deleted_at=Now())
    assert light("Webhooks").sentence == "There are none."


@pytest.mark.parametrize(
    ("happens", "name", "tone", "sentence"),
    [
        (lambda *_: ended(), "Timer", Tone.ACT, "No timer has taken a turn for 20 min"),
        (lambda *_: ended(), "Answers of workers", Tone.ACT, "No worker has answered for 20 min"),
        (lambda *_: ended(), "Heartbeats of workers", Tone.ACT, "0 of scheduler, 0 of runtimes"),
        (overlook, "Not looked at", Tone.ACT, "waits for 20 min, in pool."),
        (fail, "Cycles", Tone.ACT, "The cycles of 1 cluster fail and are tried again."),
        (slow, "Cycles", Tone.ACT, "Of 1 in 10 minutes the longest took 12002 ms, in pool."),
        (away, "Endpoints", Tone.ACT, "1 of 1 away, the first for 20 min, of real. 1 of 1 nodes"),
        (miscount, "Audit", Tone.ACT, "1 invariant is broken, as of"),
        (grow, "Database", Tone.GOOD, "MiB a day within 2 days."),
    ],
)
def test_what_is_wrong_turns_its_light(
    at_work: None,
    cluster: Cluster,
    dev: User,
    happens: Callable[[Cluster, User], None],
    name: str,
    tone: Tone,
    sentence: str,
) -> None:
    happens(cluster, dev)
    found = light(name)
    assert sentence in found.sentence
    assert found.tone == tone
    if tone != Tone.GOOD:
        assert name in page.home().summary


def test_a_wake_up_that_no_worker_takes_is_a_backlog(at_work: None, cluster: Cluster) -> None:
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    assert light("Backlog") == Light(
        "Backlog", Tone.GOOD, "Messages that wait: 1 of scheduler, 0 of runtimes."
    )
    redis_client().zincrby("wakeups:scheduler.tasks.schedule_cluster", -600_000, str(cluster.pk))
    found = light("Backlog")
    assert found.tone == Tone.ACT
    assert re.search(r"The oldest wake-up is 10 min late\.", found.sentence)


def test_without_redis_the_home_says_so(at_work: None, no_redis: None) -> None:
    assert light("Backlog").tone == Tone.ACT
    assert "Redis is away" in light("Heartbeats of workers").sentence
    assert light("Cycles").tone == Tone.UNKNOWN


def test_the_audit_command_records_what_it_finds_and_old_results_are_amber(
    cluster: Cluster,
) -> None:
    assert light("Audit").tone == Tone.WATCH  # none yet
    call_command("audit")
    assert light("Audit").tone == Tone.GOOD
    AuditResult.objects.update(ran_at=Now() - timedelta(days=1))
    assert light("Audit") == Light("Audit", Tone.WATCH, "All invariants held 24 h ago.")
    Cluster.objects.filter(pk=cluster.pk).update(allocated_gpu=3)
    with pytest.raises(CommandError):
        call_command("audit")
    assert AuditResult.objects.get().sentences[0].startswith(f"cluster {cluster.pk}")


def test_the_size_is_measured_and_forgotten_after_a_month() -> None:
    DatabaseSize.objects.create(at=Now() - timedelta(days=31), size=1)
    tasks.measure_database()
    assert DatabaseSize.objects.get().size > 1_000_000


def test_clusters_stand_by_trouble_and_owners_by_what_they_have(
    at_work: None, cluster: Cluster, org: Organization, dev: User, admin_client: Client
) -> None:
    overlook(cluster, dev)
    away(cluster, dev)
    make(cluster, dev, Status.RUNNING, gpu=2, replicas=2)
    home = page.home()
    assert home.clusters is not None
    assert [each.name for each in home.clusters] == ["real", "pool"]
    assert home.clusters[0].troubles == ["1 endpoint is away", "1 node does not answer"]
    assert home.clusters[1].troubles == ["the first waits for 20 min"]
    (organization,), (user,) = home.organizations or [], home.users or []
    assert (organization.name, organization.gpu) == (org.name, 4)
    assert (user.name, user.gpu, user.running) == (dev.username, 4, 1)
    text = admin_client.get("/admin/").content.decode()
    for words in ("Look at: ", "1 endpoint is away", "1 of 1 nodes do not answer", dev.username):
        assert words in text


def test_a_cluster_whose_cycles_fail_comes_first(
    at_work: None, cluster: Cluster, dev: User
) -> None:
    away(cluster, dev)
    fail(cluster, dev)
    found = page.home().clusters or []
    assert found[0].troubles[0] == "its cycles fail"


@pytest.mark.parametrize("late", [False, True])
def test_the_home_takes_few_queries(
    at_work: None, cluster: Cluster, late: bool, django_assert_max_num_queries: Any
) -> None:
    if late:
        ended()
    with django_assert_max_num_queries(12):
        page.home()


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_a_table_that_cannot_be_read_makes_unknown_what_rests_on_it_and_nothing_else(
    at_work: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_MS", 50)
    locked, done = threading.Event(), threading.Event()

    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE deployments_deployment IN ACCESS EXCLUSIVE MODE")
            locked.set()
            done.wait(60)
            cursor.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        assert locked.wait(30)
        home = page.home()
    finally:
        done.set()
        thread.join()
    assert (home.clusters, home.organizations, home.users) == (None, None, None)
    unknown = [each.name for each in home.lights if each.tone == Tone.UNKNOWN]
    assert unknown == ["Not looked at"]
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() != ("50ms",)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (7200, "2 h"), (345_600, "4 days")],
)
def test_spans_are_short(seconds: float, words: str) -> None:
    assert lights.span(seconds) == words
