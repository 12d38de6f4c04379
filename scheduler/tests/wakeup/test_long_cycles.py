"""Clusters whose cycles take long run them in turn, and delay no other cluster."""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from scheduler import long_cycles
from scheduler.long_cycles import LONG_S, MARK, mark, turn
from scheduler.models import Trigger
from scheduler.tasks import schedule_cluster
from scheduler.wakeup import is_flag_set, request_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The clusters for which a task is sent."""
    sent: list[UUID] = []
    monkeypatch.setattr("scheduler.wakeup.enqueue", sent.append)
    return sent


@pytest.fixture
def clusters(org: Organization, sams_org: Organization) -> Iterator[list[Cluster]]:
    """Two of one organization and one of another, all marked."""
    found = [make_cluster(org, name="a"), make_cluster(org, name="b"), make_cluster(sams_org)]
    for each in found:
        mark(each.pk, LONG_S)
    yield found
    redis_client().delete(long_cycles.WAITING, long_cycles.TURNS)


def may_run(cluster: Cluster) -> bool:
    with turn(cluster.pk) as answer:
        return answer


def test_a_short_cycle_marks_no_cluster(org: Organization) -> None:
    cluster = make_cluster(org)
    mark(cluster.pk, LONG_S - 0.01)
    assert redis_client().get(MARK.format(cluster.pk)) is None
    mark(cluster.pk, LONG_S)
    assert redis_client().get(MARK.format(cluster.pk)) == str(org.pk)
    assert 0 < redis_client().ttl(MARK.format(cluster.pk)) <= long_cycles.MARKED_S


def test_a_marked_cluster_waits_while_another_has_the_turn_and_is_woken_by_its_end(
    clusters: list[Cluster], woken: list[UUID], org: Organization
) -> None:
    first, second, _ = clusters
    with turn(first.pk) as at_once:
        assert at_once
        assert not may_run(second)
        assert may_run(make_cluster(org, name="short"))
        assert woken == []
    assert woken == [second.pk]
    assert may_run(second)


def test_the_organization_whose_last_turn_is_longest_ago_goes_first(
    clusters: list[Cluster], woken: list[UUID]
) -> None:
    first, second, other = clusters
    with turn(first.pk) as at_once:
        assert at_once
        assert not may_run(second)
        assert not may_run(other)
    assert woken == [other.pk]
    assert not may_run(second)  # although it has waited longer
    assert may_run(other)
    assert woken[-1] == second.pk
    assert may_run(second)


def test_more_may_run_at_the_same_time_where_there_are_more_workers(
    clusters: list[Cluster], woken: list[UUID], settings: object
) -> None:
    settings.SCHEDULER_LONG_CYCLES = 2  # type: ignore[attr-defined]  # pytest-django's
    with ExitStack() as turns:
        answers = [turns.enter_context(turn(each.pk)) for each in clusters]
    assert answers == [True, True, False]


def test_a_task_without_a_turn_leaves_the_wish_for_a_cycle(
    clusters: list[Cluster], woken: list[UUID]
) -> None:
    first, second, _ = clusters
    request_cycle(second.pk, Trigger.CHANGED)
    with turn(first.pk):
        schedule_cluster(str(second.pk))
        assert is_flag_set(second.pk)
    schedule_cluster(str(second.pk))
    assert not is_flag_set(second.pk)


def test_a_turn_whose_message_was_lost_is_asked_for_by_the_next_task(
    clusters: list[Cluster], woken: list[UUID]
) -> None:
    first, second, other = clusters
    with turn(first.pk):
        assert not may_run(other)
    woken.clear()  # the message for the other organization's cluster
    assert not may_run(second)
    assert woken == [other.pk]


def test_a_cluster_whose_mark_has_ended_while_it_waited_keeps_no_other_from_its_turn(
    clusters: list[Cluster], woken: list[UUID]
) -> None:
    """It runs like any other by then, and nothing else would ever take it off the list."""
    first, second, other = clusters
    with turn(first.pk):
        assert not may_run(other)
        redis_client().delete(MARK.format(other.pk))  # as after MARKED_S
        woken.clear()
    assert woken == [other.pk]
    assert may_run(other)
    assert may_run(second)
    assert may_run(first)
    assert not redis_client().exists(long_cycles.WAITING)
