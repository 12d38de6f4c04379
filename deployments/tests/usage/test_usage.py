"""GET /api/orgs/{id}/usage"""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.keys.services import create_key
from accounts.models import User
from clusters.models import Cluster
from deployments.api.usage import answering, parameters
from deployments.models import AllocationInterval, Price
from deployments.tests.workloads import make
from deployments.usage import rollups
from mlops_platform.api.ids import milliseconds
from mlops_platform.api.scopes import KeyScope
from mlops_platform.api.throttling import concurrency
from mlops_platform.api.throttling.concurrency import slot
from organizations.models import Organization
from organizations.tests.people import JsonClient

pytestmark = pytest.mark.django_db
Api = Callable[[User], JsonClient]

DAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOBODY = UUID(int=7)


def path(org: Organization, **parameters: str) -> str:
    given = {"from": "2026-03-01", "to": "2026-03-11", **parameters}
    return f"/api/orgs/{org.pk}/usage?" + "&".join(f"{k}={v}" for k, v in given.items())


def record(
    org: Organization, user: User, begin: datetime, end: datetime | None, **columns: Any
) -> AllocationInterval:
    """4 cores, 2 GiB and 2 GPUs on a node, completed where it has ended."""
    given: dict[str, Any] = {
        "cluster_id": NOBODY,
        "cluster": "west",
        "priority_class": "LOW",
        "attempt": 1,
        "deployment_id": uuid4(),
        "deployment": "train",
        "node": "n",
        "replicas": 1,
        "cpu_milli": 4000,
        "ram_mib": 2048,
        "gpu": 2,
        "node_labels": {"gpu": "a100"},
        "queued_ms": milliseconds(begin),
        "outcome": "completed" if end else "",
        **columns,
    }
    return AllocationInterval.objects.create(
        organization_id=org.pk,
        user_id=user.pk,
        username=user.username,
        begin_ms=milliseconds(begin),
        end_ms=milliseconds(end) if end else None,
        **given,
    )


def rows(api: Api, user: User, org: Organization, **parameters: str) -> list[dict[str, Any]]:
    answer = api(user).get(path(org, **parameters))
    assert answer.status_code == 200
    return list(answer.json()["results"])


@pytest.fixture(params=["read", "summed"])
def summed(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Called once all is recorded: with sums of days, and without."""

    def sum_up() -> None:
        if request.param == "summed":
            list(rollups.sum_up(DAY + timedelta(days=30), batch=2))

    return sum_up


def test_an_interval_counts_as_far_as_it_lies_within_the_window(
    api: Api, org: Organization, dev: User, summed: Callable[[], None]
):
    record(org, dev, DAY - 10 * HOUR, DAY + 50 * HOUR, queued_ms=milliseconds(DAY - 12 * HOUR))
    summed()
    windows = [
        ("2026-03-01", "2026-03-11", 60, 2, 1, 1),
        ("2026-03-02T00:00:00Z", "2026-03-03", 24, 0, 0, 0),
        ("2026-03-02T06:30:00%2B01:00", "2026-03-04T01:30:00Z", 44, 0, 0, 0),
        ("2026-03-01T13:00:00Z", "2026-03-01T15:00:00Z", 1, 1, 1, 0),
        ("2026-03-01T13:00:00Z", "2026-03-02T01:00:00Z", 11, 1, 1, 0),
        ("2026-03-04T01:00:00Z", "2026-03-04T12:00:00Z", 1, 0, 0, 1),
        ("2026-03-04T02:00:00Z", "2026-03-05T12:00:00Z", 0, 0, 0, 1),
        ("2026-03-05T12:00:00Z", "2026-03-05T12:00:01Z", None, 0, 0, 0),
    ]
    for begin, end, hours, waited, started, completed in windows:
        answer = api(dev).get(path(org, **{"from": begin, "to": end})).json()
        total = answer["total"]
        assert total["gpu_hours"] == 2 * (hours or 0), (begin, end)
        assert total["core_hours"] == 4 * (hours or 0)
        assert total["gib_hours"] == 2 * (hours or 0)
        found = (total["waiting_hours"], total["started"], total["completed"])
        assert found == (waited, started, completed), (begin, end)


def test_it_is_grouped_by_any_of_the_words_together(
    api: Api, org: Organization, dev: User, ada: User, summed: Callable[[], None]
):
    record(org, dev, DAY, DAY + 30 * HOUR, labels={"team": "vision"})
    record(org, ada, DAY, DAY + HOUR, priority_class="HIGH", cluster="east", cluster_id=ada.pk)
    record(org, ada, DAY + HOUR, DAY + 2 * HOUR, labels={"team": "audio"}, node_labels={})
    summed()

    def hours(*keys: str, **more: str) -> list[tuple[Any, ...]]:
        found = rows(api, dev, org, group_by=",".join(keys), **more)
        return sorted(
            [(*(each[key] for key in keys), each["gpu_hours"]) for each in found], key=str
        )

    assert hours() == [(64,)]
    assert hours("user") == [("ada", 4), ("dev", 60)]
    assert hours("cluster") == [("east", 2), ("west", 62)]
    assert hours("priority") == [("HIGH", 2), ("LOW", 62)]
    assert hours("day") == [("2026-03-02", 52), ("2026-03-03", 12)]
    assert hours("label", label="team") == [("audio", 2), ("vision", 60), (None, 2)]
    assert hours("node_label", node_label="gpu") == [("a100", 62), (None, 2)]
    assert hours("day", "user") == [
        ("2026-03-02", "ada", 4),
        ("2026-03-02", "dev", 48),
        ("2026-03-03", "dev", 12),
    ]
    everything = {"label": "team", "node_label": "gpu"}
    words = ("user", "cluster", "priority", "label", "day", "node_label")
    assert len(hours(*words, **everything)) == 4


def test_what_was_lost_is_what_came_after_the_last_checkpoint_within_the_window(
    api: Api, org: Organization, dev: User, summed: Callable[[], None]
):
    for hour, outcome in enumerate(("evicted", "failed", "lost"), start=1):
        lost = milliseconds(DAY + 30 * HOUR - hour * HOUR)
        record(org, dev, DAY, DAY + 30 * HOUR, outcome=outcome, lost_ms=lost)
    record(org, dev, DAY, DAY + HOUR, outcome="stopped")
    summed()
    [found] = rows(api, dev, org)
    to = {name: found[f"gpu_hours_lost_to_{name}"] for name in ("eviction", "failure", "node_loss")}
    assert to == {"eviction": 2, "failure": 4, "node_loss": 6}
    counts = ("completed", "failed", "evicted", "stopped", "lost")
    assert [found[each] for each in counts] == [0, 1, 1, 1, 1]
    [cut] = rows(api, dev, org, to="2026-03-03T04:30:00Z")
    assert cut["gpu_hours_lost_to_node_loss"] == 3
    assert cut["gpu_hours_lost_to_eviction"] == 0


def test_what_runs_and_what_waits_counts_up_to_now(
    api: Api, org: Organization, dev: User, cluster: Cluster
):
    now = datetime.now(UTC)
    queued = now - 3 * HOUR
    make(cluster, dev, queued_at=queued)
    make(cluster, dev, "RUNNING", gpu=2, started_at=now - HOUR, queued_at=queued)
    since = (now - timedelta(days=2)).isoformat().replace("+", "%2B")
    [found] = rows(api, dev, org, to="2999-01-01", group_by="cluster", **{"from": since})
    assert found["cluster_id"] == str(cluster.pk)
    assert 2 <= found["gpu_hours"] < 2.1
    assert 5 <= found["waiting_hours"] < 5.1
    assert (found["started"], found["completed"]) == (1, 0)


def test_prices_by_the_labels_of_nodes_make_the_cost(
    api: Api, org: Organization, dev: User, ada: User, sams_org: Organization
):
    record(org, dev, DAY, DAY + HOUR)
    record(org, ada, DAY, DAY + HOUR, node_labels={})
    assert [each["cost"] for each in rows(api, dev, org)] == [None]
    zero = {"core_hour": 0, "gib_hour": 0}
    Price.objects.create(organization=sams_org, rank=0, gpu_hour=100, **zero)
    Price.objects.create(
        organization=org, rank=0, label="gpu", value="a100", gpu_hour=2, core_hour="0.5", gib_hour=1
    )
    assert {each["user"]: each["cost"] for each in rows(api, dev, org, group_by="user")} == {
        "dev": 2 * 2 + 4 * 0.5 + 2 * 1,
        "ada": 0,
    }
    Price.objects.create(organization=org, rank=1, gpu_hour=1, **zero)
    Price.objects.create(organization=org, rank=2, gpu_hour=50, **zero)
    answer = api(dev).get(path(org, group_by="user")).json()
    assert {each["user"]: each["cost"] for each in answer["results"]} == {"dev": 8, "ada": 2}
    assert answer["total"]["cost"] == 10


def test_csv_has_the_same_rows_and_no_formula(api: Api, org: Organization, dev: User):
    names = ["=1+1", "+1", "-1", "@sum", "plain", 'a,"b"']
    for number, name in enumerate(names):
        record(org, dev, DAY, DAY + HOUR, cluster=name, cluster_id=UUID(int=number))
    for asked in ({"format": "csv"}, {}):
        answer = api(dev).get(path(org, group_by="cluster", **asked), HTTP_ACCEPT="text/csv, */*")
        assert answer.status_code == 200
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        text = answer.getvalue().decode()
        found = list(csv.DictReader(StringIO(text)))
        shown = [each["cluster"] for each in found]
        assert shown == ["'=1+1", "'+1", "'-1", "'@sum", "plain", 'a,"b"']
        assert {each["gpu_hours"] for each in found} == {"2.0"}
        expected = rows(api, dev, org, group_by="cluster")
        assert [list(each) for each in found] == [list(each) for each in expected]


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("from", {"from": "yesterday"}),
        ("from", {"from": "2026-03-12"}),
        ("from", {"from": "2025-01-01"}),
        ("from", {"from": "0001-01-01"}),
        ("to", {"to": "2026-03-02T00:00:00"}),
        ("group_by", {"group_by": "user,moon"}),
        ("group_by", {"group_by": "user,user"}),
        ("label", {"group_by": "label"}),
        ("label", {"label": "team"}),
        ("node_label", {"group_by": "node_label"}),
        ("node_label", {"group_by": "node_label", "node_label": "x" * 400}),
        ("format", {"format": "xml"}),
        ("limit", {"limit": "3"}),
    ],
)
def test_a_faulty_parameter_is_named(
    api: Api, org: Organization, dev: User, field: str, parameters: dict[str, str]
):
    answer = api(dev).get(path(org, **parameters))
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


def test_more_groups_than_an_answer_has_are_refused(
    api: Api, org: Organization, dev: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parameters, "MOST_GROUPS", 2)
    for number in range(3):
        record(org, dev, DAY, DAY + HOUR, cluster_id=UUID(int=number))
    answer = api(dev).get(path(org, group_by="cluster"))
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["group_by"]
    assert len(rows(api, dev, org, group_by="user")) == 1


@pytest.mark.parametrize(
    ("who", "status"), [("ada", 200), ("dev", 200), ("vera", 200), ("sam", 404)]
)
def test_each_member_sees_what_all_have_used_and_a_stranger_nothing(
    api: Api, org: Organization, dev: User, request: pytest.FixtureRequest, who: str, status: int
):
    record(org, dev, DAY, DAY + HOUR)
    answer = api(request.getfixturevalue(who)).get(path(org, group_by="user"))
    assert answer.status_code == status
    if status == 200:
        assert [each["user"] for each in answer.json()["results"]] == ["dev"]


def test_usage_of_another_organization_is_not_in_it(
    api: Api, org: Organization, sams_org: Organization, dev: User, sam: User
):
    record(sams_org, sam, DAY, DAY + HOUR)
    assert rows(api, dev, org, group_by="user") == []


@pytest.mark.parametrize("scope", ["read", "submit", "manage"])
def test_a_key_of_any_scope_reads_it(anyone: JsonClient, org: Organization, dev: User, scope: str):
    token = create_key(dev, "nightly", KeyScope(scope)).token
    answer = anyone.get(path(org), HTTP_AUTHORIZATION=f"Bearer {token}")
    assert answer.status_code == 200


def test_few_sums_of_one_organization_are_under_way_at_once(
    api: Api, ada: User, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "LONGEST_WAIT_S", 0.1)
    share = answering.share_of(org.pk)
    with slot([share]), slot([share]):
        answer = api(ada).get(path(org))
        assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert api(ada).get(path(org)).status_code == 200
