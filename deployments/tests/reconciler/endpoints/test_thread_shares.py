"""How the threads of the runtimes' worker are shared among organizations."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from uuid import UUID, uuid4

import pytest

from deployments.reconciler import circuit_breaker, thread_shares
from deployments.reconciler.thread_shares import ThreadShares, Turn
from deployments.tests.reconciler.testbed import Testbed, endpoint_of
from mlops_platform.coordination.redis import redis_client

GENEROUS_S = 10.0
A, B, C = uuid4(), uuid4(), uuid4()  # organizations


class Passes:
    """Passes that go on until `end` lets them; `begun` in the order of their beginning."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self._changed = threading.Condition()
        self._ended: set[UUID] = set()

    def work(self, cluster_id: UUID) -> None:
        with self._changed:
            self.begun.append(cluster_id)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: cluster_id in self._ended, GENEROUS_S)

    def end(self, *cluster_ids: UUID) -> None:
        with self._changed:
            self._ended.update(cluster_ids)
            self._changed.notify_all()

    def has_begun_or_waits(self, turn: Turn, task: "Future[None]") -> bool:
        return turn.cluster_id in self.begun or task.done()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, GENEROUS_S), self.begun


@contextmanager
def running(turns: list[Turn], passes: Passes, shares: ThreadShares) -> Iterator[list[Turn]]:
    """A worker of 16 threads that has taken these tasks, one after the other."""
    with ThreadPoolExecutor(16) as pool:
        for turn in turns:
            task = pool.submit(shares.run, turn, passes.work)
            _until(partial(passes.has_begun_or_waits, turn, task))
        try:
            yield turns
        finally:
            passes.end(*(turn.cluster_id for turn in turns))


def _until(condition: Callable[[], bool]) -> None:
    over = threading.Event()
    for _ in range(1000):
        if condition():
            return
        over.wait(0.01)
    raise AssertionError


def turns(organization_id: UUID, count: int, *, doubtful: bool = False) -> list[Turn]:
    return [Turn(uuid4(), organization_id, doubtful) for _ in range(count)]


def test_one_organization_has_a_quarter_of_the_threads_and_its_other_clusters_wait_without_one():
    passes, shares = Passes(), ThreadShares(16)
    with running(turns(A, 20), passes, shares) as of_a:
        assert passes.begun == [each.cluster_id for each in of_a[:4]]
        with running(turns(B, 1), passes, shares) as of_b:
            assert passes.begun[4:] == [of_b[0].cluster_id]


def test_a_thread_that_ends_a_pass_takes_the_next_cluster_that_waits():
    passes, shares = Passes(), ThreadShares(16)
    with running(turns(A, 6), passes, shares) as of_a:
        passes.end(of_a[2].cluster_id)
        passes.wait_for(5)
        assert passes.begun[4] == of_a[4].cluster_id
    assert set(passes.begun) == {each.cluster_id for each in of_a}
    assert len(passes.begun) == 6


def test_a_cluster_that_waits_and_is_requested_again_waits_once():
    passes, shares = Passes(), ThreadShares(16)
    of_a = turns(A, 5)
    with running([*of_a, of_a[4], of_a[4]], passes, shares):
        pass
    assert passes.begun.count(of_a[4].cluster_id) == 1


def test_doubtful_clusters_leave_half_of_the_threads_however_many_organizations_they_have():
    passes, shares = Passes(), ThreadShares(16)
    doubtful = [turns(uuid4(), 1, doubtful=True)[0] for _ in range(30)]
    with running(doubtful, passes, shares):
        assert len(passes.begun) == 8
        with running(turns(B, 4) + turns(C, 4), passes, shares):
            assert len(passes.begun) == 16


def test_organizations_that_wait_take_turns():
    passes, shares = Passes(), ThreadShares(4)  # one thread each, two for doubtful ones
    of_a, of_b = turns(A, 3, doubtful=True), turns(B, 3, doubtful=True)
    of_c = turns(C, 1, doubtful=True)
    with running([*of_a, *of_b, *of_c], passes, shares):
        passes.end(of_a[0].cluster_id)
        passes.wait_for(3)
        passes.end(*(each.cluster_id for each in (*of_a, *of_b)))
        passes.wait_for(4)
    assert len(passes.begun) == 7
    assert of_c[0].cluster_id in passes.begun[2:5]


def test_a_pass_that_fails_leaves_the_next_cluster_to_a_task_of_its_own():
    passes, shares = Passes(), ThreadShares(4)
    [first], [second] = turns(A, 1), turns(A, 1)

    def fail(_: UUID) -> None:
        shares.run(second, passes.work)  # it waits
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        shares.run(first, fail)
    assert redis_client().llen("runtimes") == 1
    passes.end(second.cluster_id)
    shares.run(second, passes.work)
    assert passes.begun == [second.cluster_id]


@pytest.mark.django_db
def test_a_cluster_is_doubtful_while_an_endpoint_is_new_or_has_failed_of_late(testbed: Testbed, a):
    cluster_id = testbed.cluster.pk
    assert thread_shares._is_doubtful(cluster_id)
    testbed.reconcile()
    assert not thread_shares._is_doubtful(cluster_id)
    for blame in (circuit_breaker.failed, circuit_breaker.doubt):
        blame(endpoint_of(a))
        assert thread_shares._is_doubtful(cluster_id)
        circuit_breaker.answered(endpoint_of(a))
    assert not thread_shares._is_doubtful(cluster_id)
