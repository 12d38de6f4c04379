"""GET /api/orgs/{id}/events"""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from clusters.services.deletion import delete_cluster
from clusters.services.nodes import change_node
from clusters.tests.allocation import make_cluster, make_node
from clusters.tests.paging import all_rows
from deployments.feed import window
from deployments.lifecycle.timeline import record
from deployments.models import Deployment, DeploymentEvent, EventType, Status
from deployments.services.submit import create_deployment
from deployments.tests.feed.transactions import beside
from deployments.tests.workloads import body, make
from mlops_platform.api.answers.commit_order import Position, cursor_of, horizon
from mlops_platform.tests.equipment.errors import error_body
from organizations.models import OrganizationEvent

pytestmark = pytest.mark.django_db(transaction=True)

SPEC = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}


def path(org: Any, query: str = "") -> str:
    return f"/api/orgs/{org.pk}/events{query}"


def following(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.headers["Next-Cursor"])


def types(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [each["type"] for each in answer.json()]


@pytest.mark.parametrize(
    ("person", "status"), [("vera", 200), ("dev", 200), ("ada", 200), ("sam", 404), (None, 401)]
)
def test_members_read_their_organizations_events(
    api, anyone, request, org, cluster, dev, person, status
):
    create_deployment(dev, cluster.pk, SPEC)
    client = api(request.getfixturevalue(person)) if person else anyone
    answer = client.get(path(org, "?target_type=deployment"))
    assert answer.status_code == status
    if status == 200:
        assert types(answer) == ["SUBMITTED"]
    else:
        assert "Next-Cursor" not in answer.headers
        assert error_body(answer)["code"] in ("not_found", "not_authenticated")


def test_an_organization_that_is_none_is_not_found(api, ada, org):
    assert api(ada).get("/api/orgs/0199d1c5-3f10-7e42-8a6b-9c0d51e27f34/events").status_code == 404


def test_events_of_other_organizations_stay_out(api, ada, sam, org, sams_org, cluster):
    theirs = make_cluster(sams_org)
    create_deployment(sam, theirs.pk, SPEC)
    mine = api(ada).get(path(org)).json()
    assert {each["type"] for each in mine} <= {"ORGANIZATION_CREATED", "MEMBER_JOINED"}
    [event] = api(sam).get(path(sams_org, "?target_type=deployment")).json()
    assert event["cluster_id"] == str(theirs.pk)
    cursor = event["cursor"]  # it may be given anywhere, and shows no more
    assert types(api(ada).get(path(org, f"?since={cursor}"))) == []


def test_what_happened_is_told_in_order_with_who_did_it(api, ada, dev, org, cluster):
    submitted = api(dev).post("/api/deployments", body(cluster)).json()
    api(ada).patch(f"/api/deployments/{submitted['id']}", {"priority": "HIGH"})
    api(dev).post(f"/api/deployments/{submitted['id']}/stop")
    told = api(dev).get(path(org)).json()
    assert [(each["type"], each["actor"]) for each in told] == [
        ("SUBMITTED", "dev"),
        ("CHANGED", "ada"),
        ("STOPPED", "dev"),
    ]
    assert {each["deployment_id"] for each in told} == {submitted["id"]}
    assert {each["cluster_id"] for each in told} == {str(cluster.pk)}
    timeline = api(dev).get(f"/api/deployments/{submitted['id']}/events").json()
    assert [{k: v for k, v in each.items() if k in timeline[0]} for each in told] == timeline
    assert [each["actor_kind"] for each in told] == ["user"] * 3
    assert len({each["request_id"] for each in told}) == 3
    target = {"type": "deployment", "id": submitted["id"], "name": submitted["name"]}
    assert {**told[0]["target"], "name": submitted["name"]} == target


def test_a_client_goes_on_after_any_answer_and_any_event(api, dev, org, cluster):
    start = following(api(dev).get(path(org, "?since=now")))
    rows = [create_deployment(dev, cluster.pk, SPEC).deployment for _ in range(5)]
    everything = api(dev).get(path(org, f"?since={start}"))
    told = everything.json()
    assert [each["deployment_id"] for each in told] == [str(row.pk) for row in rows]
    assert types(api(dev).get(path(org, f"?since={following(everything)}"))) == []
    for number, each in enumerate(told):
        rest = api(dev).get(path(org, f"?since={each['cursor']}")).json()
        assert [x["deployment_id"] for x in rest] == [
            x["deployment_id"] for x in told[number + 1 :]
        ]
    assert types(api(dev).get(path(org, "?since=now"))) == []


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_are_linked_while_more_is_there(api, dev, org, cluster, limit):
    rows = [create_deployment(dev, cluster.pk, SPEC).deployment for _ in range(5)]
    told = all_rows(api(dev), path(org, f"?limit={limit}"))
    assert [each["deployment_id"] for each in told] == [str(row.pk) for row in rows]
    assert "Link" not in api(dev).get(path(org, "?since=now")).headers


@pytest.mark.parametrize("size", [1, 3, 2000])
def test_filters_find_every_event_however_few_there_are(
    api, ada, dev, org, cluster, size, monkeypatch
):
    monkeypatch.setattr(window, "WINDOW", size)
    other = make_cluster(org, name="east")
    rows = []
    for number in range(6):
        user, where = (ada, other) if number == 4 else (dev, cluster)
        rows.append(create_deployment(user, where.pk, SPEC).deployment)
    api(ada).post(f"/api/deployments/{rows[1].pk}/stop")
    for query, expected in {
        f"cluster_id={other.pk}": [("SUBMITTED", rows[4])],
        f"deployment_id={rows[1].pk}": [("SUBMITTED", rows[1]), ("STOPPED", rows[1])],
        f"actor_id={ada.pk}": [("SUBMITTED", rows[4]), ("STOPPED", rows[1])],
        "type=STOPPED": [("STOPPED", rows[1])],
        f"type=STOPPED&actor_id={dev.pk}": [],
    }.items():
        told = all_rows(api(dev), path(org, f"?limit=1&{query}"))
        assert [(each["type"], each["deployment_id"]) for each in told] == [
            (kind, str(row.pk)) for kind, row in expected
        ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("since=2026-03-01T09:00:00Z", "since"),
        ("since=", "since"),
        ("since=%00", "since"),
        ("since=W10", "since"),  # []
        ("since=bnVsbA", "since"),  # null
        ("since=WzEsMiwzXQ", "since"),  # [1,2,3]
        ("since=WyJ4IiwtMSwwLDBd", "since"),  # ["x",-1,0,0]
        ("since=WyJ4IiwxZTQwMCwwLDBd", "since"),  # ["x",1e400,0,0]
        ("since=" + "W1tb" * 20_000, "since"),
        ("cursor=x", "cursor"),
        ("cursor=now&since=now", "since"),
        ("since=now&since=now", "since"),
        ("type=ASLEEP", "type"),
        ("cluster_id=x", "cluster_id"),
        ("deployment_id=", "deployment_id"),
        ("actor_id=me", "actor_id"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("targets=x", "targets"),
        ("target_type=shelf", "target_type"),
    ],
)
def test_a_faulty_parameter_is_named(api, dev, org, query, field):
    answer = api(dev).get(path(org, f"?{query}"))
    assert answer.status_code == 400
    assert list(error_body(answer)["fields"]) == [field]


def test_a_cursor_of_another_life_of_the_database_has_expired(api, dev, org, cluster):
    create_deployment(dev, cluster.pk, SPEC)
    seen = window.seen_now()
    good = cursor_of(seen.position, seen)
    assert api(dev).get(path(org, f"?since={good}")).status_code == 200
    for bad in (
        cursor_of(seen.position, seen._replace(life="another")),
        cursor_of(Position(seen.next_transaction + 1, 0), seen),  # not given by this database
    ):
        answer = api(dev).get(path(org, f"?since={bad}"))
        assert (answer.status_code, error_body(answer)["code"]) == (410, "cursor_expired")
        assert "begin anew" in error_body(answer)["detail"].lower()


def test_a_cursor_older_than_what_is_kept_has_expired(api, dev, org, cluster, settings):
    settings.EVENTS_RETENTION_DAYS = 2
    seen = window.seen_now()
    for days, status in ((1, 200), (2, 410)):
        old = cursor_of(seen.position, seen, seen.at - timedelta(days=days))
        assert api(dev).get(path(org, f"?since={old}")).status_code == status
        listed = api(dev).get(f"/api/deployments?updated_after={old}")
        assert listed.status_code == status


def test_a_cursor_in_the_middle_of_a_long_history_is_as_old_as_what_it_has_passed(
    api, dev, org, cluster, settings
):
    """While its client pauses, the retention may delete what comes next."""
    seen = window.seen_now()
    for _ in range(3):
        create_deployment(dev, cluster.pk, SPEC)
    DeploymentEvent.objects.update(at=seen.at - timedelta(days=3))
    start = cursor_of(Position(seen.transaction, 0), seen)
    cursors = {}
    for call in (path(org, "?since="), "/api/deployments?updated_after="):
        answer = api(dev).get(f"{call}{start}&limit=1")
        assert "Link" in answer.headers
        cursors[call] = following(answer)
    for days, status in ((30, 200), (2, 410)):
        settings.EVENTS_RETENTION_DAYS = days
        for call, cursor in cursors.items():
            assert api(dev).get(call + cursor).status_code == status


def test_a_client_that_begins_at_the_oldest_event_is_not_turned_away_on_its_way(
    api, dev, org, cluster, settings
):
    """Until the retention has run, there are events that are older than any cursor may be."""
    settings.EVENTS_RETENTION_DAYS = 2
    seen = window.seen_now()
    rows = [create_deployment(dev, cluster.pk, SPEC).deployment for _ in range(6)]
    for row, hours in zip(rows, (49, 47.5, 46.5, 45.9, 45, 1), strict=True):
        DeploymentEvent.objects.filter(deployment=row).update(at=seen.at - timedelta(hours=hours))
    OrganizationEvent.objects.update(at=seen.at - timedelta(hours=50))
    told = all_rows(api(dev), path(org, "?limit=1"))
    assert [each["deployment_id"] for each in told] == [str(row.pk) for row in rows[3:]]


def test_a_table_that_was_restored_has_another_life(org):
    before = window.seen_now().life
    assert window.seen_now().life == before
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE restored (id bigint)")
    assert horizon("restored").life != before


def test_what_a_transaction_has_not_committed_is_not_told_and_not_passed_over(
    api, dev, org, cluster
):
    with beside(lambda: create_deployment(dev, cluster.pk, SPEC).deployment) as first:
        second = make(cluster, dev)
        record(second.pk, EventType.CHECKPOINTED, at=second.created_at)
        answer = api(dev).get(path(org))
        assert types(answer) == []  # the second is committed, and comes after the first
    told = api(dev).get(path(org, f"?since={following(answer)}")).json()
    assert [each["deployment_id"] for each in told] == [str(first.pk), str(second.pk)]


def test_a_transaction_that_was_rolled_back_delays_nothing(api, dev, org, cluster):
    def undo() -> None:
        create_deployment(dev, cluster.pk, SPEC)
        transaction.set_rollback(True)

    with beside(undo):
        pass
    row = create_deployment(dev, cluster.pk, SPEC).deployment
    assert [each["deployment_id"] for each in api(dev).get(path(org)).json()] == [str(row.pk)]


def test_a_transaction_that_only_reads_delays_nothing(api, dev, org, cluster):
    with beside(lambda: list(Deployment.objects.all()), writes=False):
        create_deployment(dev, cluster.pk, SPEC)
        assert types(api(dev).get(path(org))) == ["SUBMITTED"]


def test_a_deleted_cluster_is_the_last_that_is_told_of_it(api, ada, dev, org, cluster):
    row = create_deployment(dev, cluster.pk, SPEC).deployment
    cursor = following(api(dev).get(path(org)))
    delete_cluster(cluster, force=True)
    assert not DeploymentEvent.objects.filter(deployment=row.pk).exists()
    [told] = api(dev).get(path(org, f"?since={cursor}")).json()
    assert (told["type"], told["cluster_id"], told["deployment_id"]) == (
        "CLUSTER_DELETED",
        str(cluster.pk),
        None,
    )
    assert told["details"] == {"name": cluster.name}


def test_a_node_that_is_renamed_changes_what_is_placed_on_it(api, ada, dev, org, cluster):
    node = make_node(cluster)
    row = make(cluster, dev, Status.RUNNING)
    row.placement = [{"node_id": str(node.pk), "node": node.name, "replicas": 1}]
    row.save()
    start = following(api(dev).get(path(org, "?since=now")))
    change_node(node, {"name": "renamed"})
    of_node, of_deployment = sorted(
        api(dev).get(path(org, f"?since={start}")).json(),
        key=lambda each: each["deployment_id"] or "",
    )
    assert (of_deployment["type"], of_deployment["deployment_id"]) == ("CHANGED", str(row.pk))
    assert (of_node["type"], of_node["target"]["id"]) == ("NODE_CHANGED", str(node.pk))
    assert (of_node["before"], of_node["after"]) == ({"name": "node-1"}, {"name": "renamed"})


@pytest.mark.parametrize("count", [1, 50])
def test_queries_do_not_grow_with_events(api, dev, org, cluster, count, django_assert_num_queries):
    for _ in range(count):
        create_deployment(dev, cluster.pk, SPEC)
    start = following(api(dev).get(path(org, "?limit=1")))
    create_deployment(dev, cluster.pk, SPEC)
    with django_assert_num_queries(
        6
    ):  # the caller, the role, the horizon, the window, the rows, names
        api(dev).get(path(org, f"?since={start}"))
    with django_assert_num_queries(7):  # and the oldest
        api(dev).get(path(org))


def test_rows_of_earlier_versions_are_in_no_feed(api, dev, org, cluster):
    row = make(cluster, dev)
    DeploymentEvent.objects.create(deployment=row, type=EventType.NOTICE)
    assert types(api(dev).get(path(org))) == []
