"""GET /api/orgs/{id}/events as text/event-stream, on the real web server."""

import random
import threading
from contextlib import ExitStack
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pytest
from django.db import connection

from accounts.keys.services import create_key
from accounts.models import User
from clusters.tests.allocation import make_cluster
from deployments.api.feed.streams import SLOTS
from deployments.feed import window
from deployments.models import DeploymentEvent
from deployments.services.bulk import create_deployments
from deployments.services.drafting.drafts import Order
from deployments.services.stop import stop_one
from deployments.services.submit import create_deployment
from deployments.tests.feed.listening import EVENT_STREAM, Listener
from deployments.tests.feed.transactions import in_thread
from mlops_platform.api.answers.commit_order import cursor_of
from mlops_platform.api.scopes import KeyScope
from mlops_platform.tests.web.asking import ask, assert_quick, eventually
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import Target, record
from organizations.models import Membership, OrganizationEvent, Role
from organizations.tests.people import make_member

pytestmark = pytest.mark.e2e

SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}


def path(org: Any, query: str = "?since=now") -> str:
    return f"/api/orgs/{org.pk}/events{query}"


def submit(user: User, cluster: Any, count: int = 1) -> list[str]:
    return [str(create_deployment(user, cluster.pk, SPEC).deployment.pk) for _ in range(count)]


def ids(told: list[Any]) -> list[str]:
    return [each["deployment_id"] for each in told]


@pytest.mark.parametrize("person", ["vera", "dev", "ada"])
def test_a_member_is_told_what_happens_as_the_plain_feed_has_it(
    server, request, org, sams_org, sam, cluster, dev, person
):
    user = request.getfixturevalue(person)
    of_deployments = "?target_type=deployment"
    with Listener(server, path(org, f"{of_deployments}&since=now"), user) as listener:
        assert (listener.status, listener.answer.headers["Content-Type"]) == (200, EVENT_STREAM)
        listener.begin()
        submit(sam, make_cluster(sams_org))
        submit(dev, cluster, 3)
        told = listener.hear(3)
        last_id = listener.blocks.last_id
    assert told == ask(server, path(org, of_deployments), user).json()
    assert last_id == told[-1]["cursor"]
    assert ids(told) != ids(told)[:1] * 3


@pytest.mark.parametrize(("person", "status"), [("sam", 404), (None, 401)])
def test_a_stranger_gets_no_stream(server, request, org, person, status):
    user = request.getfixturevalue(person) if person else None
    with Listener(server, path(org), user) as listener:
        assert (listener.status, listener.answer.headers["Content-Type"]) == (
            status,
            "application/json",
        )
        assert listener.error()["code"] in ("not_found", "not_authenticated")


def test_a_stream_from_the_beginning_has_all_that_is_kept(server, org, cluster, dev):
    rows = submit(dev, cluster, 3)
    create_deployments(dev, [Order(cluster.pk, SPEC)] * 1300)  # three windows
    with Listener(server, path(org, ""), dev) as listener:
        told = listener.hear(1303)
        assert ids(told)[:3] == rows
        assert len(set(ids(told))) == 1303
        [last] = submit(dev, cluster)
        assert ids(listener.hear(1304))[-1] == last


def test_filters_choose_among_the_events_as_in_the_plain_feed(server, org, cluster, dev, ada):
    other = make_cluster(org, name="east")
    rows = submit(dev, cluster, 2)
    start = ask(server, path(org), dev).headers["Next-Cursor"]
    queries = [
        "type=STOPPED",
        f"actor_id={ada.pk}",
        f"cluster_id={other.pk}",
        f"deployment_id={rows[0]}",
        f"type=SUBMITTED&actor_id={ada.pk}",
    ]
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(Listener(server, path(org, f"?since=now&{query}"), dev)).begin()
            for query in queries
        ]
        for row in rows:
            assert ask(server, f"/api/deployments/{row}/stop", ada, method="POST").status == 200
        submit(ada, other)
        submit(dev, other)
        for query, listener in zip(queries, listeners, strict=True):
            plain = ask(server, path(org, f"?since={start}&{query}"), dev).json()
            assert plain
            assert listener.hear(len(plain)) == plain


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("?since=yesterday", {}, "since"),
        ("?type=ASLEEP", {}, "type"),
        ("?limit=5", {}, "limit"),
        ("?since=now", {"Last-Event-ID": "yesterday"}, "Last-Event-ID"),
        ("?since=now", {"Last-Event-ID": "W1tb" * 2000}, "Last-Event-ID"),
    ],
)
def test_a_faulty_parameter_is_named(server, org, dev, query, headers, field):
    with Listener(server, path(org, query), dev, headers=headers) as listener:
        assert (listener.status, list(listener.error()["fields"])) == (400, [field])


def test_a_cursor_that_has_expired_gets_410(server, org, dev):
    seen = window.seen_now()
    for bad in (
        cursor_of(seen.position, seen._replace(life="another")),
        cursor_of(seen.position, seen, seen.at - timedelta(days=400)),
    ):
        with Listener(server, path(org), dev, last_id=bad) as listener:
            assert (listener.status, listener.error()["code"]) == (410, "cursor_expired")


def test_the_last_id_goes_before_since(server, org, cluster, dev):
    with Listener(server, path(org), dev) as listener:
        last_id = listener.begin().blocks.last_id  # though nothing has been told
    rows = submit(dev, cluster, 2)
    with Listener(server, path(org), dev, last_id=last_id) as listener:
        assert ids(listener.hear(2)) == rows


def test_a_client_that_connects_again_in_a_storm_misses_and_doubles_nothing(
    server, org, cluster, dev, ada
):
    """Its connections break anywhere, also in the middle of an event, and so do the reader's."""
    over = threading.Event()
    chance = random.Random(11)

    def storm() -> None:
        rows = []
        while not over.is_set():
            rows.append(create_deployment(dev, cluster.pk, SPEC).deployment)
            if len(rows) % 3 == 0:
                stop_one(rows.pop(), dev)
            if len(rows) % 7 == 0:
                target = Target(TargetType.CLUSTER, cluster.pk, cluster.name, cluster.pk)
                record(org.pk, OrganizationEventType.CLUSTER_CHANGED, target)
            if len(rows) % 50 == 0:
                create_deployments(dev, [Order(cluster.pk, SPEC)] * 200)

    told: list[tuple[str | None, str]] = []
    last_id = ""
    threads = [in_thread(storm) for _ in range(2)]
    try:
        for turn in range(12):
            query = "?since=now" if turn else ""
            with Listener(server, path(org, query), ada, last_id=last_id) as listener:
                assert listener.status == 200
                count = chance.randrange(5, 200)
                if turn % 4 == 2:
                    _break_other_connections()
                told += _told(listener.hear(count))
                last_id = listener.blocks.last_id
    finally:
        over.set()
        for thread in threads:
            thread.join()
    columns = ("transaction_id", "pk", "type")
    of_deployments = DeploymentEvent.objects.values_list(*columns, "deployment_id")
    of_else = OrganizationEvent.objects.values_list(*columns)
    rows: list[tuple[tuple[int, int, int], tuple[str | None, str]]]
    rows = [((each[0], 0, each[1]), (str(each[3]), each[2])) for each in of_deployments]
    rows += [((each[0], 1, each[1]), (None, each[2])) for each in of_else]
    expected = [event for _, event in sorted(rows, key=itemgetter(0))]
    with Listener(server, path(org), ada, last_id=last_id) as listener:
        told += _told(listener.hear(len(expected) - len(told)))
    assert told == expected


def _told(events: list[Any]) -> list[tuple[str | None, str]]:
    return [(each["deployment_id"], each["type"]) for each in events]


def _break_other_connections() -> int:
    """Ends the sessions of readers, as a restart of PostgreSQL does; how many these were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE '%pg_stat_activity%'"
        )
        return cursor.rowcount


def test_a_stream_goes_on_after_its_reader_has_lost_the_database(server, org, cluster, dev):
    with Listener(server, path(org), dev) as listener:
        listener.begin()
        first = submit(dev, cluster)
        assert ids(listener.hear(1)) == first
        eventually(lambda: _break_other_connections() > 0)
        second = submit(dev, cluster)
        assert ids(listener.hear(2)) == first + second


def test_a_client_that_takes_slowly_misses_nothing_and_delays_no_other(
    server, org, cluster, dev, ada
):
    with Listener(server, path(org), ada) as slow, Listener(server, path(org), dev) as quick:
        slow.begin()
        quick.begin()
        for _ in range(4):
            create_deployments(dev, [Order(cluster.pk, SPEC)] * 800)
        assert len(quick.hear(3200)) == 3200
        assert slow.hear(3200) == quick.told


def lose_membership(user: User) -> None:
    Membership.objects.filter(user=user).delete()


def lose_account(user: User) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])


def change_password(user: User) -> None:
    user.set_password("another-horse-battery")
    user.save(update_fields=["password"])


@pytest.mark.parametrize("lose_access", [lose_membership, lose_account, change_password])
@pytest.mark.parametrize("quiet", [True, False])
def test_a_stream_ends_when_its_user_may_not_read_any_more(
    server, org, cluster, dev, vera, lose_access, quiet
):
    with Listener(server, path(org), vera) as listener, Listener(server, path(org), dev) as other:
        listener.begin()
        other.begin()
        before = submit(dev, cluster)
        assert ids(listener.hear(1)) == before
        lose_access(vera)
        later = [] if quiet else submit(dev, cluster)
        assert ids(listener.listen()) == before  # nothing of what happened later
        assert [name for name, _ in listener.blocks.events] == ["message", "end"]
        assert listener.blocks.events[-1][1]["code"] == "not_allowed"
        later += submit(dev, cluster)
        assert ids(other.hear(1 + len(later))) == before + later


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.VIEWER])
def test_a_stream_of_an_admin_ends_with_the_role_and_shows_nothing_that_came_later(
    server, org, cluster, dev, ada, role
):
    with Listener(server, path(org), ada) as listener:
        listener.begin()
        before = submit(dev, cluster)
        assert ids(listener.hear(1)) == before
        Membership.objects.filter(user=ada).update(role=role)
        create_key(dev, "nightly", KeyScope.READ)
        assert ids(listener.listen()) == before
        assert listener.blocks.events[-1][1]["code"] == "not_allowed"


def test_another_role_leaves_a_stream_open(server, org, cluster, dev, vera):
    with Listener(server, path(org), vera) as listener:
        listener.begin()
        first = submit(dev, cluster)
        assert ids(listener.hear(1)) == first
        Membership.objects.filter(user=vera).update(role=Role.ADMIN)
        second = submit(dev, cluster)
        assert ids(listener.hear(2)) == first + second


def test_a_stream_ends_with_its_access_token(server, org, dev, monkeypatch):
    short = timedelta(seconds=-27)  # three seconds, with the leeway
    monkeypatch.setattr("rest_framework_simplejwt.tokens.AccessToken.lifetime", short)
    with Listener(server, path(org), dev) as listener:
        assert listener.status == 200
        listener.listen()
        assert [event["code"] for _, event in listener.blocks.events] == ["token_expired"]


def test_streams_end_with_the_server(own_server, org, dev):
    with Listener(own_server.address, path(org), dev) as listener:
        listener.begin()
        own_server.process.terminate()
        assert listener.listen() == []
        assert own_server.process.wait(30) == 0


def test_200_streams_of_one_organization_leave_all_others_alone(
    server, org, sams_org, sam, cluster, dev
):
    most, of_user = SLOTS.limits["organization"], SLOTS.limits["user"]
    people = [make_member(org, f"member{n}", Role.VIEWER) for n in range(most // of_user)]
    assert most >= 200
    with ExitStack() as stack:
        streams = [
            stack.enter_context(Listener(server, path(org), user)).begin()
            for user in people
            for _ in range(of_user)
        ]
        for user in (people[0], dev):  # the user's own slots, and the organization's
            with Listener(server, path(org), user) as refused:
                assert refused.status == 429
                assert int(refused.answer.headers["Retry-After"]) > 0
                assert refused.error()["code"] == "throttled"
        theirs = stack.enter_context(Listener(server, path(sams_org), sam)).begin()
        own = submit(sam, make_cluster(sams_org))
        rows = submit(dev, cluster, 5)
        for _ in range(5):
            assert_quick(server, sam)
        assert ids(theirs.hear(1)) == own
        for each in streams:
            assert ids(each.hear(5)) == rows

    def is_free() -> bool:
        with Listener(server, path(org), people[0]) as again:
            return again.status == 200

    eventually(is_free)
