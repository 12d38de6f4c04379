"""One-minute samples of clusters: taken by timers, read as a curve, forgotten after a while."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import User
from clusters.models import Cluster, NodeState, State
from clusters.tests.allocation import allocate, make_cluster, make_node
from deployments.models import Status
from deployments.tests.workloads import make
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from organizations.tests.people import client_for
from scheduler.models import ClusterSample, PeriodicJob
from scheduler.retention import turn
from scheduler.retention.kinds import KINDS
from scheduler.samples import reading, taking
from scheduler.samples.reading import DAY_S, MOST_POINTS, STEPS, Span, points_in, usual_step_s
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.timer.turn import Turn

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AMOUNTS = {
    f"{word}_{name}": 0
    for word in ("total", "allocated", "closed")
    for name in ("cpu_milli", "ram_mib", "gpu")
}


def taken(cluster: Cluster) -> dict[str, Any]:
    taking.take()
    values = ClusterSample.objects.filter(cluster=cluster).values().get()
    return {name: value for name, value in values.items() if name not in ("id", "cluster_id", "at")}


def test_a_sample_says_what_is_allocated_closed_waiting_and_running(
    submit: Submit, cluster: Cluster, org: Organization
) -> None:
    empty = make_cluster(org, name="empty")
    submit("HIGH", gpu=6, replicas=1)
    run_cycle(cluster)
    for priority in ("LOW", "LOW", "HIGH"):
        submit(priority, gpu=5)
    found = taken(cluster)
    assert (found["total_gpu"], found["allocated_gpu"], found["closed_gpu"]) == (8, 6, 0)
    assert (found["total_cpu_milli"], found["allocated_cpu_milli"]) == (64_000, 1_000)
    assert (found["total_ram_mib"], found["allocated_ram_mib"]) == (512 * 1024, 1024)
    assert (found["waiting"], found["running"]) == (3, 1)
    assert found["waiting_by_priority"] == {"HIGH": 1, "LOW": 2}
    other = ClusterSample.objects.get(cluster=empty)
    assert (other.waiting, other.running, other.waiting_by_priority) == (0, 0, {})
    assert (other.at.second, other.at.microsecond) == (0, 0)


def test_what_is_free_on_nodes_that_are_not_open_is_closed_and_all_of_a_paused_cluster(
    org: Organization,
) -> None:
    cluster, paused = make_cluster(org), make_cluster(org, name="paused", state=State.PAUSED)
    nodes = [make_node(cluster, name=f"n{number}") for number in range(4)]
    allocate(nodes[0])
    for node, column, state in zip(
        nodes, ("state", "observed", "judged"), ("DRAINING", "NOT_READY", "CORDONED"), strict=False
    ):
        type(node).objects.filter(pk=node.pk).update(**{column: NodeState(state)})
    found = taken(cluster)
    assert (found["closed_cpu_milli"], found["closed_gpu"]) == (11_000, 5)
    sample = ClusterSample.objects.get(cluster=paused)
    assert (sample.closed_cpu_milli, sample.closed_gpu) == (8_000, 4)


def test_a_victim_that_has_yielded_runs_no_more_and_a_deleted_cluster_has_no_samples(
    cluster: Cluster, org: Organization, dev: User
) -> None:
    make(cluster, dev, Status.STOPPING, yielded=True)
    gone = make_cluster(org, name="gone", deleted_at=Now())
    assert taken(cluster)["running"] == 0
    assert not ClusterSample.objects.filter(cluster=gone).exists()


def test_timers_take_one_sample_a_minute_with_one_statement_and_no_worker(
    cluster: Cluster, django_assert_num_queries: Any
) -> None:
    Turn().take()
    assert ClusterSample.objects.count() == 1
    assert PeriodicJob.objects.get(pk="take-samples").ran_at is None  # no worker has answered
    assert redis_client().exists("job:take-samples:wanted") == 0
    with django_assert_num_queries(1):
        taking.take()
    assert ClusterSample.objects.count() <= 2  # another one only where a minute has begun


def sample(cluster: Cluster, at: datetime, **columns: Any) -> None:
    given = {"waiting": 0, "running": 0, **AMOUNTS, **columns}
    ClusterSample.objects.create(cluster=cluster, at=at, **given)


def minutes(*numbers: float) -> list[datetime]:
    return [NOON + timedelta(minutes=number) for number in numbers]


def test_a_curve_has_the_means_of_each_step_and_leaves_out_what_was_not_sampled(
    cluster: Cluster, dev: User, django_assert_num_queries: Any
) -> None:
    for at, gpu, classes in zip(
        minutes(0, 1, 4, 10, 15),
        (2, 4, 6, 8, 1),
        ({"LOW": 3}, {}, {"LOW": 3, "HIGH": 1}, {}, {}),
        strict=True,
    ):
        sample(
            cluster,
            at,
            total_gpu=8,
            allocated_gpu=gpu,
            total_cpu_milli=1500,
            waiting=sum(classes.values()),
            waiting_by_priority=classes,
        )
    with django_assert_num_queries(1):
        found = reading.utilization(cluster.pk, Span(NOON, NOON + timedelta(minutes=15), 300))
    first, second = found
    assert [each["at"] for each in found] == minutes(0, 10)
    assert (first["allocated_gpu"], first["available_gpu"], first["total_cpu"]) == (4, 4, 1.5)
    assert (first["waiting"], first["waiting_by_priority"]) == (2.33, {"LOW": 2, "HIGH": 0.33})
    assert (second["allocated_gpu"], second["available_gpu"]) == (8, 0)
    query = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:15:00Z", "step": "300"}
    answer = client_for(dev).get(f"/api/clusters/{cluster.pk}/utilization", query).json()
    assert answer["step_s"] == 300
    assert [each["at"] for each in answer["points"]] == [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:10:00Z",
    ]
    assert answer["points"][0]["waiting_by_priority"] == {"LOW": 2, "HIGH": 0.33}


def test_without_parameters_it_is_the_last_day_of_this_cluster_alone(
    cluster: Cluster, org: Organization, dev: User
) -> None:
    now = datetime.now(UTC)
    sample(cluster, now - timedelta(hours=2), running=3)
    sample(cluster, now - timedelta(hours=30), running=9)
    sample(make_cluster(org), now - timedelta(hours=2), running=9)
    answer = client_for(dev).get(f"/api/clusters/{cluster.name}/utilization").json()
    assert answer["step_s"] == 300
    assert [each["running"] for each in answer["points"]] == [3]


@pytest.mark.parametrize("step_s", STEPS)
def test_what_is_not_said_makes_a_picture(step_s: int) -> None:
    longest = timedelta(seconds=step_s * 299)
    assert usual_step_s(NOON - longest, NOON) <= step_s
    assert points_in(NOON - longest, NOON, usual_step_s(NOON - longest, NOON)) <= 300
    assert usual_step_s(NOON - timedelta(days=4000), NOON) == DAY_S


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"from": "yesterday"}, "from", "A time with its zone"),
        ({"from": "2026-03-01T12:00:00"}, "from", "A time with its zone"),
        ({"to": "2026-13-01T12:00:00Z"}, "to", "A time with its zone"),
        ({"to": "0001-01-01T00:00:00Z"}, "to", "A time with its zone"),
        ({"step": "59"}, "step", "Whole minutes"),
        ({"step": "61"}, "step", "Whole minutes"),
        ({"step": "86460"}, "step", "Whole minutes"),
        ({"step": "1e3"}, "step", "Whole minutes"),
        ({"step": "9" * 5000}, "step", "Whole minutes"),
        ({"from": "2999-01-01T00:00:00Z"}, "from", "Earlier than now."),
        ({"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:00:00Z"}, "to", "Later than from."),
        ({"from": "2026-03-01T12:00:00Z", "step": "60"}, "step", f"{MOST_POINTS} at most"),
        ({"from": "0001-01-01T00:00:00Z"}, "from", f"{MOST_POINTS} at most"),
        ({"since": "2026-03-01T12:00:00Z"}, "since", "Unknown parameter."),
    ],
)
def test_a_faulty_parameter_is_named(
    cluster: Cluster, dev: User, query: dict[str, str], field: str, words: str
) -> None:
    answer = client_for(dev).get(f"/api/clusters/{cluster.pk}/utilization", query)
    assert answer.status_code == 400
    assert words in answer.json()["fields"][field][0]


def test_as_many_points_as_may_be_are_answered(cluster: Cluster, dev: User) -> None:
    since = NOON - timedelta(minutes=MOST_POINTS)
    given = {"from": since.isoformat(), "to": NOON.isoformat(), "step": "60"}
    path = f"/api/clusters/{cluster.pk}/utilization"
    assert client_for(dev).get(path, given).status_code == 200
    given["from"] = (since - timedelta(seconds=1)).isoformat()
    assert client_for(dev).get(path, given).status_code == 400


def test_old_samples_go_by_the_retention_and_all_of_a_deleted_cluster(
    cluster: Cluster, org: Organization, settings: Settings
) -> None:
    settings.SAMPLES_RETENTION_DAYS = 10
    now = datetime.now(UTC)
    for days in (9, 11, 12):
        sample(cluster, now - timedelta(days=days))
    turn.take_turn([kind for kind in KINDS if kind.name == "samples"])
    assert ClusterSample.objects.count() == 1
    other = make_cluster(org)
    sample(other, now)
    assert taking.delete_some_rows(cluster.pk, 10) == 1
    assert taking.delete_some_rows(cluster.pk, 10) == 0
    assert ClusterSample.objects.filter(cluster=other).count() == 1
