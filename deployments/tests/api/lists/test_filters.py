"""The filters of GET /api/deployments, its counts and parts, and those of one cluster."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clusters.models import Cluster, Node, NodeState
from clusters.tests.allocation import make_cluster, make_node
from deployments.api.finding import totals
from deployments.models import Deployment, Status, WaitReason
from deployments.tests.workloads import body, make
from scheduler import cycle
from scheduler.models import Trigger

PATH = "/api/deployments"
T = datetime(2026, 3, 1, 9, tzinfo=UTC)


def inside(cluster):
    return f"{PATH.replace('deployments', 'clusters')}/{cluster.pk}/deployments"


def names(response):
    assert response.status_code == 200, response.content
    return sorted(row["name"] for row in response.json())


def found(client, cluster, query):
    """The names in the list, which that of the cluster, and the counts, agree with."""
    shown = names(client.get(f"{PATH}?{query}"))
    assert names(client.get(f"{inside(cluster)}?{query}")) == shown
    for path in (PATH, inside(cluster)):
        counts = client.get(f"{path}/counts?{query}").json()
        assert sum(counts["counts"].values()) == len(shown)
        header = client.get(f"{path}?{query}&total=true&limit=1").headers["X-Total-Count"]
        assert header == str(len(shown))
    return " ".join(shown)


@pytest.fixture
def many(cluster, dev):
    nodes = [make_node(cluster, name=name) for name in ("gpu-1", "gpu-2")]
    one, both = [nodes[0].pk], [node.pk for node in nodes]
    make(cluster, dev, name="lr-1", labels={"team": "vision", "sweep": "lr"})
    make(
        *(cluster, dev, Status.RUNNING),
        name="lr-2",
        labels={"team": "audio"},
        started_at=T,
        ran_on=one,
    )
    ended: dict[str, Any] = {"started_at": T, "finished_at": T + timedelta(hours=1)}
    failed: dict[str, Any] = {**ended, "labels": {"team": "vision"}, "reason_code": "OUT_OF_MEMORY"}
    make(cluster, dev, Status.FAILED, name="lr%3", ran_on=both, **failed)
    make(cluster, dev, Status.COMPLETED, name="LR-4", labels={"sweep": ""}, **ended)
    make(cluster, dev, name="eval")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=RUNNING,QUEUED", "eval lr-1 lr-2"),
        ("status=failed&status=completed", "LR-4 lr%3"),
        ("name=lr*", "lr%3 lr-1 lr-2"),
        ("name=lr-%3F", "lr-1 lr-2"),
        ("name=lr%253", "lr%3"),
        ("name=lr%25*", "lr%3"),
        ("name=l*2", "lr-2"),
        ("name=lr-1", "lr-1"),
        ("name=lr", ""),
        ("name=%F4%8F%BF%BF*", ""),
        ("label=team=vision", "lr%3 lr-1"),
        ("label=team", "lr%3 lr-1 lr-2"),
        ("label=team=vision&label=sweep=lr", "lr-1"),
        ("label=sweep=", "LR-4"),
        ("label=sweep", "LR-4 lr-1"),
        ("label=other", ""),
        ("node=gpu-1", "lr%3 lr-2"),
        ("node=gpu-2", "lr%3"),
        ("node=gpu-3", ""),
        ("reason=OUT_OF_MEMORY", "lr%3"),
        ("reason=out_of_memory", "lr%3"),
        ("reason=EXITED", ""),
        ("started_after=2026-03-01T08:59:59Z", "LR-4 lr%3 lr-2"),
        ("started_after=2026-03-01T09:00:00Z", ""),
        ("finished_after=2026-03-01T09:59:59Z", "LR-4 lr%3"),
        ("finished_after=2026-03-01T10:00:00Z", ""),
        ("label=team&status=RUNNING,FAILED&name=lr*&started_after=2026-01-01", "lr%3 lr-2"),
    ],
)
def test_each_finds_what_it_says_for_every_member(api, vera, cluster, many, query, expected):
    if query.endswith("2026-01-01"):
        query += "T00:00:00Z"
    assert found(api(vera), cluster, query) == expected


def test_a_start_and_an_end_before_a_time(api, vera, dev, cluster):
    row = make(cluster, dev, Status.COMPLETED, name="then")
    make(cluster, dev, name="never")
    at = row.created_at
    Deployment.objects.filter(pk=row.pk).update(started_at=at, finished_at=at)
    for name in ("started", "finished"):
        for milliseconds, expected in ((0, ""), (2, "then")):
            text = (at + timedelta(milliseconds=milliseconds)).isoformat().replace("+00:00", "Z")
            assert found(api(vera), cluster, f"{name}_before={text}") == expected


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_a_stranger_finds_nothing_by_any_name(api, sam, cluster, many, person, request):
    assert names(api(request.getfixturevalue(person)).get(f"{PATH}?node=gpu-1")) != []
    for query in (
        "name=lr*",
        "label=team",
        "node=gpu-1",
        f"node={Node.objects.get(name='gpu-1').pk}",
    ):
        assert names(api(sam).get(f"{PATH}?{query}")) == []
        assert set(api(sam).get(f"{PATH}/counts?{query}").json()["counts"].values()) == {0}
        assert api(sam).get(f"{inside(cluster)}?{query}").status_code == 404
        assert api(sam).get(f"{inside(cluster)}/counts?{query}").status_code == 404


def test_a_page_goes_on_where_the_last_one_ended(api, dev, cluster, org):
    for at in (cluster, make_cluster(org, name="east")):
        for number in range(7):
            status = Status.COMPLETED if number % 2 else Status.QUEUED
            make(at, dev, status, name=f"lr-{number}", labels={"n": str(number % 3)})
    for ordering in ("created_at", "-status", "priority", "name"):
        query = "name=lr-*" if ordering == "name" else "label=n&name=lr*"
        path, seen = f"{PATH}?{query}&ordering={ordering}&limit=3", []
        while path:
            answer = api(dev).get(path)
            seen += [row["id"] for row in answer.json()]
            path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0]
        assert len(set(seen)) == len(seen) == 14


def test_names_are_in_order_beside_the_filter_by_name_alone(api, dev, cluster, many):
    shown = api(dev).get(f"{PATH}?name=lr*&ordering=-name").json()
    assert [row["name"] for row in shown] == ["lr-2", "lr-1", "lr%3"]
    assert api(dev).get(f"{PATH}?name=lr*&label=a&ordering=name").status_code == 400


def test_a_node_is_found_by_what_a_cycle_starts_there_also_after_the_end(api, dev, org):
    pool = make_cluster(org, name="of nodes")
    node = make_node(pool, name="gpu-7", gpu=1)
    answer = api(dev).post(PATH, body(pool, name="one")).json()
    api(dev).post(PATH, body(pool, name="two"))
    cycle.run(pool.pk, Trigger.SUBMITTED)
    assert found(api(dev), pool, "node=gpu-7") == "one"
    api(dev).post(f"{PATH}/{answer['id']}/stop")
    cycle.run(pool.pk, Trigger.STOPPED)
    for text in ("gpu-7", node.pk):
        assert found(api(dev), pool, f"node={text}") == "one two"
    assert Deployment.objects.get(pk=answer["id"]).ran_on == [node.pk]


def test_what_an_earlier_version_has_started_is_found_while_it_runs(api, dev, cluster):
    node = make_node(cluster, name="gpu-1")
    row = make(cluster, dev, Status.RUNNING, name="old")
    placement = [{"node_id": str(node.pk), "node": "gpu-1", "replicas": 1}]
    Deployment.objects.filter(pk=row.pk).update(placement=placement)
    assert found(api(dev), cluster, "node=gpu-1") == "old"


def test_reasons_are_those_that_answers_show(api, dev, org, cluster):
    """Stored for a key or one deployment, derived, of dependencies, retries and nodes."""
    pool = make_cluster(org, name="pool", total_gpu=1)
    rows: list[dict[str, Any]] = [
        {"name": "runs"},
        {"name": "waits"},
        {"name": "waits-too"},
        {"name": "never", "required_gpu": 2},
    ]
    ids = [api(dev).post(PATH, body(pool, **each)).json()["id"] for each in rows]
    api(dev).post(PATH, body(pool, name="after", depends_on=[ids[0]]))
    cycle.run(pool.pk, Trigger.SUBMITTED)
    WaitReason.objects.filter(scheduling_key__contains="2x1").delete()  # so it is derived
    again = make(pool, dev, name="again", retry_at=T + timedelta(days=9999))
    own = make(pool, dev, name="own")
    WaitReason.objects.create(
        cluster=pool, scheduling_key=own.scheduling_key, deployment=own, code="FRAGMENTED"
    )
    make(pool, dev, name="new", cpu_milli=1)
    node = make_node(cluster, name="gpu-1", observed=NodeState.NOT_READY)
    lost = make(cluster, dev, Status.RUNNING, name="lost")
    placement = [{"node_id": str(node.pk), "node": "gpu-1", "replicas": 1}]
    Deployment.objects.filter(pk=lost.pk).update(placement=placement)
    shown: dict[str, list[str]] = {}
    for row in api(dev).get(PATH).json():
        if row["reason"]:
            shown.setdefault(row["reason"]["code"], []).append(row["name"])
    assert set(shown) >= {"NODE_AWAY", "BACKOFF", "FRAGMENTED", "NOT_YET_EVALUATED"}
    assert set(shown) >= {"WAITING_FOR_DEPENDENCIES", "INSUFFICIENT_CAPACITY"}
    assert len(shown) >= 7, shown
    for code, expected in shown.items():
        assert names(api(dev).get(f"{PATH}?reason={code}")) == sorted(expected), code
    assert again.retry_at


def test_what_follows_changes_is_narrowed_by_all_of_them(transactional_db, api, dev, cluster):
    start = api(dev).get(f"{PATH}?updated_after=now").headers["Next-Cursor"]
    ids = [
        api(dev).post(PATH, body(cluster, name=name, labels={"n": name[-1]})).json()["id"]
        for name in ("lr-1", "lr-2", "eval")
    ]
    query = f"updated_after={start}&name=lr*&label=n=2&fields=name"
    for path in (PATH, inside(cluster)):
        [row] = api(dev).get(f"{path}?{query}").json()
        assert (row.pop("id"), row) == (ids[1], {"name": "lr-2"})
    assert api(dev).get(f"{PATH}?updated_after={start}&total=true").status_code == 400


def test_a_list_shows_the_fields_that_are_asked_for(
    api, dev, cluster, many, django_assert_num_queries
):
    rows = api(dev).get(PATH).json()
    for names_ in (["id"], ["status", "name"], ["reason"], ["queue_position", "id"], list(rows[0])):
        shown = api(dev).get(f"{PATH}?fields={','.join(names_)}").json()
        assert shown == [{name: row[name] for name in ("id", *names_)} for row in rows]
    with django_assert_num_queries(3):  # the caller, the page
        api(dev).get(f"{PATH}?fields=id,status")


def test_counts_name_every_status_and_say_where_they_end(api, vera, cluster, many, monkeypatch):
    counts = api(vera).get(f"{PATH}/counts").json()
    assert counts["counts"] == {
        **dict.fromkeys(Status.values, 0),
        "QUEUED": 2,
        "RUNNING": 1,
        "FAILED": 1,
        "COMPLETED": 1,
    }
    assert counts["capped"] == []
    monkeypatch.setattr(totals, "MOST_COUNTED", 1)
    counts = api(vera).get(f"{inside(cluster)}/counts").json()
    assert (counts["counts"]["QUEUED"], counts["capped"]) == (1, ["QUEUED"])
    for query in ("", "&name=lr*"):
        answer = api(vera).get(f"{PATH}?total=true&limit=2{query}")
        assert answer.headers["X-Total-Count"] == "1+"
    assert "X-Total-Count" not in api(vera).get(PATH).headers
    assert api(vera).get(f"{PATH}?total=false").headers.get("X-Total-Count") is None


TIMES = [
    "created_after",
    *(f"{what}_{side}" for what in ("started", "finished") for side in ("after", "before")),
]


@pytest.mark.parametrize("name", TIMES)
def test_a_time_of_any_zone_is_taken_and_none_that_is_out_of_range(api, vera, cluster, many, name):
    same = ["2026-03-01T19:30:00%2B20:00", "2026-02-28T23:30:00Z", "2026-02-28T23:30:00"]
    answers = [names(api(vera).get(f"{PATH}?{name}={each}")) for each in same]
    assert answers[0] == answers[1] == answers[2]
    for text in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00%2B23:59"):
        answer = api(vera).get(f"{PATH}?{name}={text}")
        assert (answer.status_code, list(answer.json()["fields"])) == (400, [name])


@pytest.mark.parametrize("query", ["limit=1", "cursor=x", "ordering=name", "fields=id", "x=1"])
def test_counts_take_the_filters_alone(api, vera, cluster, query):
    for path in (PATH, inside(cluster)):
        answer = api(vera).get(f"{path}/counts?{query}")
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == [query.partition("=")[0]]


def test_nobody_counts_without_a_token(anyone, cluster):
    assert anyone.get(f"{PATH}/counts").status_code == 401
    assert anyone.get(f"{inside(cluster)}/counts").status_code == 401


def test_a_cluster_that_is_gone_has_no_counts(api, ada, cluster):
    Cluster.objects.filter(pk=cluster.pk).update(deleted_at=T)
    assert api(ada).get(f"{inside(cluster)}/counts").status_code == 404
