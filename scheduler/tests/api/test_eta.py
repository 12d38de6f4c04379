"""When a deployment starts, by forecast: in rows, explanations and quotes; owner, teammate,
stranger."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime
from pytest_django import Settings
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status
from mlops_platform.coordination.redis import redis_client
from mlops_platform.database.clock import database_now
from organizations.models import Organization
from organizations.tests.people import client_for
from scheduler.models import StartForecast, Trigger
from scheduler.retention.kinds import KINDS
from scheduler.start_times import inputs, records, single, turns
from scheduler.tasks import schedule_cluster
from scheduler.tests.api.test_explain import explained
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.wakeup import set_flag

pytestmark = pytest.mark.django_db


def times(eta: dict[str, Any] | None) -> tuple[datetime | None, datetime | None, str | None]:
    assert eta is not None
    p50, p90 = (None if eta[name] is None else parse_datetime(eta[name]) for name in ("p50", "p90"))
    return p50, p90, eta["basis"]


def want(cluster: Cluster) -> None:
    """As a cycle does."""
    redis_client().zadd(turns.WANTED, {str(cluster.pk): 0}, nx=True)


def row_of(user: User, deployment: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = client_for(user).get(f"/api/deployments/{deployment.pk}").json()
    return found


@pytest.fixture
def full(cluster: Cluster, submit: Submit) -> Deployment:
    """What has all GPUs for an hour, by its limit."""
    running = submit("HIGH", gpu=8, max_runtime_s=3600)
    run_cycle(cluster)
    running.refresh_from_db()
    return running


def end_of(running: Deployment) -> datetime:
    assert running.started_at is not None
    assert running.max_runtime_s is not None
    at = running.started_at + timedelta(seconds=running.max_runtime_s)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def test_members_see_when_it_starts_and_strangers_find_nothing(
    cluster: Cluster, full: Deployment, submit: Submit, dev: User, vera: User, sam: User
) -> None:
    first = submit("LOW", gpu=8, max_runtime_s=600)
    mine = submit("LOW", gpu=8)
    run_cycle(cluster)
    at = end_of(full)
    for member in (dev, vera):
        assert times(explained(member, first)["eta"]) == (at, at, "limits")
        later = at + timedelta(seconds=600)
        assert times(explained(member, mine)["eta"]) == (later, later, "limits")
    assert client_for(sam).get(f"/api/deployments/{mine.pk}/explain").status_code == 404
    quote = quoted(dev, body(cluster, gpu=8))  # behind one that runs for ever
    assert (times(quote["eta"]), quote["eta"]["message"]) == (
        (None, None, None),
        "What it waits for has no time limit, and too little like it has ended here.",
    )
    assert times(quoted(dev, body(cluster, gpu=8, priority="HIGH"))["eta"])[1:] == (at, "limits")


def test_rows_and_lists_show_what_the_last_turn_found(
    cluster: Cluster, full: Deployment, submit: Submit, dev: User, vera: User
) -> None:
    waiting = submit("LOW", gpu=8)
    run_cycle(cluster)
    assert row_of(dev, waiting)["eta"] is None
    turns.forecast_cluster(cluster.pk)
    at = end_of(full)
    for member in (dev, vera):
        assert times(row_of(member, waiting)["eta"]) == (at, at, "limits")
        assert row_of(member, full)["eta"] is None
    listed = client_for(dev).get("/api/deployments?status=QUEUED").json()
    assert [times(each["eta"])[1] for each in listed] == [at]
    redis_client().flushdb()
    assert row_of(dev, waiting)["eta"] is None


def end(deployment: Deployment, after: timedelta) -> None:
    """As if it had run for so long, until now."""
    row = Deployment.objects.get(pk=deployment.pk)
    assert row.started_at is not None
    Deployment.objects.filter(pk=row.pk).update(
        status=Status.COMPLETED,
        placement=[],
        finished_at=row.started_at,
        started_at=row.started_at - after,
    )
    Cluster.objects.update(allocated_cpu_milli=0, allocated_ram_mib=0, allocated_gpu=0)


def test_without_limits_it_learns_from_what_has_ended_in_the_cluster(
    cluster: Cluster, submit: Submit, dev: User, ada: User
) -> None:
    for hours in (1, 2, 3, 4, 5):
        done = submit("LOW", gpu=8, name=f"train-{hours}")
        run_cycle(cluster)
        end(done, timedelta(hours=hours))
    running = submit("LOW", gpu=8, name="train-9")
    run_cycle(cluster)
    running.refresh_from_db()
    assert running.started_at is not None
    mine = submit("LOW", gpu=8)
    run_cycle(cluster)
    p50, p90, basis = times(explained(dev, mine)["eta"])
    assert basis == "history"
    assert p50 is not None
    assert p90 is not None
    assert abs(p50 - running.started_at - timedelta(hours=3)) < timedelta(minutes=1)
    assert abs(p90 - running.started_at - timedelta(hours=5)) < timedelta(minutes=1)


def test_what_a_simulated_deployment_says_of_its_run_time_is_known(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    running = submit("LOW", gpu=8, simulated_runtime_s=90)
    run_cycle(cluster)
    running.refresh_from_db()
    assert running.started_at is not None
    eta = times(explained(dev, submit("LOW", gpu=8))["eta"])
    assert eta[1] is not None
    assert abs(eta[1] - running.started_at - timedelta(seconds=90)) < timedelta(milliseconds=2)
    assert eta[2] == "limits"


@pytest.mark.parametrize(
    ("change", "basis", "word"),
    [
        ({"state": "PAUSED"}, None, "starts nothing"),
        ({"total_gpu": 8}, None, "empty cluster"),
    ],
)
def test_where_nothing_can_be_said_it_says_why(
    cluster: Cluster,
    full: Deployment,
    submit: Submit,
    dev: User,
    change: dict[str, Any],
    basis: str | None,
    word: str,
) -> None:
    waiting = submit("LOW", gpu=8 if "state" in change else 9)
    Cluster.objects.filter(pk=cluster.pk).update(**change)
    eta = explained(dev, waiting)["eta"]
    assert times(eta) == (None, None, basis)
    assert word in eta["message"]


def test_beyond_what_is_considered_the_last_turns_forecast_stays(
    cluster: Cluster, full: Deployment, submit: Submit, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = submit("LOW", gpu=8, max_runtime_s=60), submit("LOW", gpu=8)
    monkeypatch.setattr(inputs, "MOST_IN_LINE", 1)
    assert times(explained(dev, first)["eta"])[2] == "limits"
    eta = explained(dev, last)["eta"]
    assert (times(eta), eta["message"]) == (
        (None, None, "too_large"),
        "Too much runs or waits ahead of it for a forecast.",
    )
    monkeypatch.undo()
    turns.forecast_cluster(cluster.pk)
    kept = times(row_of(dev, last)["eta"])
    assert kept[2] == "limits"
    monkeypatch.setattr(inputs, "MOST_RUNNING", 0)
    assert times(explained(dev, last)["eta"]) == kept


def test_the_queries_of_an_eta_do_not_follow_what_runs_or_waits(
    cluster: Cluster, submit: Submit, dev: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(8):
        submit("LOW", gpu=1)
    run_cycle(cluster)
    for _ in range(5):
        submit("LOW", gpu=1)
    run_cycle(cluster)
    # settle (2), whether any waits, savepoint (2), cluster, classes, reservations, running, line,
    # traits, history, outcomes, records
    with django_assert_num_queries(14):
        turns.forecast_cluster(cluster.pk)
    assert single.CPU_S < turns.CPU_S


# --- Records --------------------------------------------------------------------------------------


def test_the_first_forecast_is_recorded_with_the_start_that_followed(
    cluster: Cluster, full: Deployment, submit: Submit, dev: User, vera: User, sam: User
) -> None:
    waiting, gone = submit("LOW", gpu=8), submit("LOW", gpu=8)
    run_cycle(cluster)
    turns.forecast_cluster(cluster.pk)
    first = StartForecast.objects.get(pk=waiting.pk)
    turns.forecast_cluster(cluster.pk)
    assert StartForecast.objects.get(pk=waiting.pk).made_at == first.made_at
    assert first.p90_ms == pytest.approx(3_600_000, abs=60_000)
    end(full, timedelta(hours=1))
    run_cycle(cluster)
    Deployment.objects.filter(pk=gone.pk).update(status=Status.STOPPED)
    turns.forecast_cluster(cluster.pk)
    row = StartForecast.objects.get(pk=waiting.pk)
    waiting.refresh_from_db()
    assert waiting.admitted_at is not None
    assert row.waited_ms == pytest.approx(
        (waiting.admitted_at - row.made_at).total_seconds() * 1000, abs=1
    )
    assert not StartForecast.objects.filter(pk=gone.pk).exists()
    for member in (dev, vera):
        status = client_for(member).get(f"/api/clusters/{cluster.pk}/status").json()
        assert status["forecasts"]["count"] == 1
        assert status["forecasts"]["p90_kept"] == 1.0
        assert status["forecasts"]["median_error_s"] == pytest.approx(3600, abs=60)
    assert client_for(sam).get(f"/api/clusters/{cluster.pk}/status").status_code == 404
    metrics = client_for(None).get("/metrics").content.decode()
    assert f'mlops_scheduler_forecast_p90_kept_ratio{{cluster="{cluster.name}",' in metrics


def test_what_waits_beyond_p90_counts_before_it_starts(
    cluster: Cluster, full: Deployment, submit: Submit
) -> None:
    """Else long waits would be missing for as long as they last."""
    late, early = submit("LOW", gpu=8), submit("LOW", gpu=8)
    run_cycle(cluster)
    hour_ago = database_now() - timedelta(hours=1)
    for row, p90_s in ((late, 600), (early, 86_400)):
        StartForecast.objects.create(
            deployment=row,
            cluster=cluster,
            made_at=hour_ago,
            basis="history",
            p50_ms=300_000,
            raw_p90_ms=p90_s * 1000,
            p90_ms=p90_s * 1000,
        )
    (outcome,) = records.outcomes_of(cluster.pk)
    assert outcome.p90_ms == 600_000
    assert outcome.waited_ms > 3_000_000
    found = records.calibrations([cluster.pk])[cluster.pk]
    assert (found.forecasts, found.p90_kept) == (1, 0.0)


def test_waits_that_were_longer_than_forecast_make_the_next_p90_later(
    cluster: Cluster, full: Deployment, submit: Submit, dev: User
) -> None:
    now = database_now()
    for _ in range(30):
        row = submit("LOW", gpu=1)
        StartForecast.objects.create(
            deployment=row,
            cluster=cluster,
            made_at=now,
            basis="limits",
            p50_ms=600_000,
            raw_p90_ms=600_000,
            p90_ms=600_000,
            waited_ms=1_200_000,
        )
        Deployment.objects.filter(pk=row.pk).update(status=Status.STOPPED)
    p50, p90, _ = times(explained(dev, submit("LOW", gpu=8))["eta"])
    at = end_of(full)
    assert p50 == at
    assert p90 is not None
    assert abs((p90 - now) - 2 * (at - now)) < timedelta(minutes=1)


def test_recorded_forecasts_are_kept_for_the_days_that_are_set(
    cluster: Cluster, full: Deployment, submit: Submit, settings: Settings
) -> None:
    old, fresh = submit("LOW", gpu=8, max_runtime_s=60), submit("LOW", gpu=8)
    run_cycle(cluster)
    turns.forecast_cluster(cluster.pk)
    settings.FORECASTS_RETENTION_DAYS = 2
    StartForecast.objects.filter(pk=old.pk).update(made_at=database_now() - timedelta(days=3))
    kind = next(each for each in KINDS if each.name == "forecasts")
    assert sum(kind.forget()) == 1
    assert list(StartForecast.objects.values_list("pk", flat=True)) == [fresh.pk]


# --- Turns ----------------------------------------------------------------------------------------


def test_clusters_take_turns_fairly_between_organizations(
    org: Organization, dev: User, cluster: Cluster, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Organization.objects.create(name="another")
    size = {"total_cpu_milli": 64_000, "total_ram_mib": 64_000, "total_gpu": 8}
    crowd = [Cluster.objects.create(organization=org, name=f"c{n}", **size) for n in range(3)]
    single_one = Cluster.objects.create(organization=other, name="theirs", **size)
    done: list[Any] = []
    monkeypatch.setattr(turns, "forecast_cluster", done.append)
    for each in (*crowd, single_one):
        want(each)
    turns.take_turn()
    assert sorted(done, key=str) == sorted((each.pk for each in (*crowd, single_one)), key=str)
    assert done.index(single_one.pk) <= 1
    done.clear()
    turns.take_turn()
    assert done == []  # nothing waits there, and no cycle has asked


def test_a_cycle_asks_for_a_forecast_of_its_cluster(
    cluster: Cluster, full: Deployment, submit: Submit
) -> None:
    assert redis_client().zrange(turns.WANTED, 0, -1) == []
    submit("LOW", gpu=8)
    set_flag(cluster.pk, Trigger.SUBMITTED)
    schedule_cluster(str(cluster.pk))
    assert redis_client().zrange(turns.WANTED, 0, -1) == [str(cluster.pk)]


def test_a_turn_is_asked_of_the_runtimes_workers_and_only_where_a_cluster_wants_it(
    cluster: Cluster,
) -> None:
    turns.request()
    assert redis_client().llen("runtimes") == 0
    want(cluster)
    turns.request()
    assert redis_client().llen("runtimes") == 1


def test_a_cluster_with_a_queue_is_forecast_again_and_not_sooner_than_set(
    cluster: Cluster, full: Deployment, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("LOW", gpu=8)
    done: list[Any] = []
    monkeypatch.setattr(turns, "forecast_cluster", done.append)
    want(cluster)
    for _ in range(2):
        turns.take_turn()
        want(cluster)
    assert done == [cluster.pk]
    redis_client().zadd(turns.WANTED, {str(cluster.pk): 1})  # as if the pause were over
    turns.take_turn()
    assert done == [cluster.pk] * 2


@pytest.mark.usefixtures("no_redis")
def test_without_redis_nothing_fails(cluster: Cluster, submit: Submit, dev: User) -> None:
    turns.request()
    assert row_of(dev, submit("LOW", gpu=1))["eta"] is None
