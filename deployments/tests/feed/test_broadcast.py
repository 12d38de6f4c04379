"""The one reader of all streams: what it costs, and how streams end and go on."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from accounts.api.requests import Bearer
from deployments.api.feed import streams
from deployments.feed import broadcast, window
from deployments.feed.broadcast import Broadcaster
from deployments.feed.follower import Follower, Passed
from deployments.lifecycle.timeline import record
from deployments.models import DeploymentEvent, EventType
from deployments.services.bulk import create_deployments
from deployments.services.drafting.drafts import Order
from deployments.services.submit import create_deployment
from deployments.tests.feed.listening import EVENT_STREAM, Blocks
from deployments.tests.feed.transactions import beside
from deployments.tests.workloads import make
from mlops_platform.api.answers.commit_order import cursor_of
from organizations.tests.people import client_for

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 30.0
SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}


class Turns(Broadcaster):
    """A reader without a thread: each turn is the test's."""

    def __init__(self) -> None:
        super().__init__(streams.BROADCASTER._texts)

    def add(self, follower: Follower) -> None:
        self._followers[follower] = None

    def turn(self) -> bool:
        return self._look()

    def turns(self) -> None:
        while self.turn():
            pass


@pytest.fixture
def reader() -> Turns:
    return Turns()


def follow(reader: Broadcaster, org: Any, user: Any, seen: Any = None) -> Follower:
    seen = seen or window.seen_now()
    bearer = Bearer(user.pk, lambda: user, expires_in_s=900)  # its token counts
    follower = Follower(org.pk, bearer, Passed(seen.position, seen, None), "")
    reader.add(follower)
    return follower


def told(follower: Follower) -> Blocks:
    blocks = Blocks()
    blocks.feed(follower.take()[0])
    return blocks


def submit(user: Any, cluster: Any, count: int = 1) -> list[str]:
    return [str(create_deployment(user, cluster.pk, SPEC).deployment.pk) for _ in range(count)]


def ids(blocks: Blocks) -> list[str]:
    return [each["deployment_id"] for each in blocks.told]


@pytest.mark.parametrize("count", [1, 100])
def test_while_nothing_happens_any_number_of_streams_costs_one_query(
    reader, org, dev, count, django_assert_num_queries
):
    for _ in range(count):
        follow(reader, org, dev)
    reader.turn()
    for _ in range(3):
        with django_assert_num_queries(1):
            assert not reader.turn()


@pytest.mark.parametrize("count", [1, 100])
def test_an_event_costs_five_queries_for_any_number_of_streams(
    reader, org, dev, cluster, sams_org, sam, count, django_assert_num_queries
):
    followers = [follow(reader, org, dev) for _ in range(count)]
    strangers = [follow(reader, sams_org, sam) for _ in range(count)]
    reader.turn()
    rows = submit(dev, cluster)
    # the horizon, the window, the rows, their names, the memberships
    with django_assert_num_queries(5):
        reader.turn()
    assert [ids(told(each)) for each in followers] == [rows] * count
    assert [each.take() for each in strangers] == [(b"", False)] * count


def test_an_event_behind_a_transaction_that_still_runs_is_told_after_it(reader, org, dev, cluster):
    follower = follow(reader, org, dev)
    reader.turns()
    with beside(lambda: create_deployment(dev, cluster.pk, SPEC).deployment) as first:
        second = make(cluster, dev)
        record(second.pk, EventType.CHECKPOINTED, at=second.created_at)
        reader.turns()
        assert ids(told(follower)) == []
    reader.turns()
    assert ids(told(follower)) == [str(first.pk), str(second.pk)]


def test_a_stream_that_has_not_been_taken_is_read_for_no_further(reader, org, dev, cluster):
    slow, quick = follow(reader, org, dev), follow(reader, org, dev)
    create_deployments(dev, [Order(cluster.pk, SPEC)] * (2 * broadcast.WINDOW + 100))
    seen: list[str] = []
    for _ in range(5):
        reader.turn()
        seen += ids(told(quick))
    assert len(seen) == 2 * broadcast.WINDOW + 100
    first = ids(told(slow))
    assert len(first) == broadcast.WINDOW
    for _ in range(5):
        reader.turn()
        first += ids(told(slow))
    assert first == seen


def test_many_streams_that_are_far_behind_take_turns(reader, org, dev, cluster):
    start = window.seen_now()
    followers = [follow(reader, org, dev, start)]
    rows = []
    for _ in range(2 * broadcast.BEHIND_AT_ONCE + 3):
        rows += submit(dev, cluster)
        followers.append(follow(reader, org, dev))
    reader.turns()
    for number, each in enumerate(followers):
        assert ids(told(each)) == rows[number:]


def test_streams_end_where_the_database_has_another_life(reader, org, dev, cluster, monkeypatch):
    follower = follow(reader, org, dev)
    reader.turns()
    submit(dev, cluster)
    other = window.seen_now()._replace(life="another")
    monkeypatch.setattr(window, "seen_now", lambda: other)
    reader.turns()
    piece, ended = follower.take()
    blocks = Blocks()
    blocks.feed(piece)
    assert ended
    assert [(name, data["code"]) for name, data in blocks.events] == [("end", "cursor_expired")]


def test_a_stream_that_the_retention_overtakes_ends(reader, org, dev, cluster, settings):
    follower = follow(reader, org, dev)
    create_deployments(dev, [Order(cluster.pk, SPEC)] * (broadcast.WINDOW + 1))
    DeploymentEvent.objects.update(at=window.seen_now().at - timedelta(days=3))
    reader.turn()
    settings.EVENTS_RETENTION_DAYS = 2
    reader.turn()
    piece, ended = follower.take()
    assert ended
    assert b"cursor_expired" in piece


def test_a_reader_waits_while_the_database_is_away(reader, org, dev, cluster, monkeypatch):
    follower = follow(reader, org, dev)
    reader.turns()
    rows = submit(dev, cluster)
    with monkeypatch.context() as patch:
        for error in (OperationalError("away"), ValueError("a fault of our own")):

            def fail(error: Exception = error) -> None:
                raise error

            patch.setattr(window, "seen_now", fail)
            assert reader._look_in_peace() == broadcast.AWAY_S
    assert follower.take() == (b"", False)
    reader.turns()
    assert ids(told(follower)) == rows


def test_streams_are_read_for_again_once_the_system_has_a_thread(org, dev, cluster, monkeypatch):
    broadcaster, arrived = Broadcaster(streams.BROADCASTER._texts), threading.Event()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            follow(broadcaster, org, dev)
    follower = follow(broadcaster, org, dev)
    follower.wake = arrived.set
    rows = submit(dev, cluster)
    assert arrived.wait(PATIENCE_S)
    assert ids(told(follower)) == rows
    thread = broadcaster._thread
    for each in list(broadcaster._followers):
        broadcaster.remove(each)
    assert thread is not None
    thread.join(PATIENCE_S)  # its connection to the database is closed


def test_an_idle_stream_says_where_to_go_on(reader, org, dev, cluster):
    """Also where all that has happened is none of what its client wants."""
    follower = follow(reader, org, dev)
    follower.wanted = lambda entry: entry.type == "STOPPED"
    reader.turns()
    submit(dev, cluster, 3)
    reader.turns()
    assert follower.take() == (b"", False)
    cursor = follower.cursor()
    rows = submit(dev, cluster)
    plain = client_for(dev).get(f"/api/orgs/{org.pk}/events", {"since": cursor}).json()
    assert [each["deployment_id"] for each in plain] == rows


def test_a_stream_whose_pieces_were_not_taken_says_nothing_of_its_place(reader, org, dev, cluster):
    follower = follow(reader, org, dev)
    submit(dev, cluster)
    reader.turns()
    assert follower.cursor() == ""
    [event] = told(follower).told
    assert follower.cursor() >= event["cursor"][:16]


def test_another_web_server_has_streams_too(org, dev, cluster, monkeypatch):
    monkeypatch.setattr("mlops_platform.api.answers.streams.IDLE_S", 0.05)
    seen = window.seen_now()
    cursor = cursor_of(seen.position, seen)
    answer: Any = client_for(dev).get(
        f"/api/orgs/{org.pk}/events", HTTP_ACCEPT=EVENT_STREAM, HTTP_LAST_EVENT_ID=cursor
    )
    assert answer["Content-Type"] == EVENT_STREAM
    rows = submit(dev, cluster)
    blocks = Blocks()
    pieces: Iterator[bytes] = answer.streaming_content
    while not blocks.told:
        blocks.feed(next(pieces))
    answer.close()
    assert ids(blocks) == rows
    assert not streams.SLOTS._taken
