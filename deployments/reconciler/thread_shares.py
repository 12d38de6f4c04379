"""Shares the threads of the runtimes' worker among organizations, so that none waits for others.

An endpoint that drips or hangs costs a thread for the whole time of a pass. So the passes of one
organization have at most a quarter of a worker's threads at a time. Half of them is left to passes
over clusters whose endpoints are not doubtful: that have answered, and have not failed or cost much
time of late. So a user with many organizations, each with an endpoint that hangs, gains no more.

A pass that finds its share taken gives its thread back at once, and its cluster waits; a thread
that ends a pass takes the next cluster whose turn has come. The counts are of this process, as its
threads are; a cluster that waits in a process that ends is found by the next sweep.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from uuid import UUID

from django.conf import settings

from clusters.models import Cluster, Endpoint
from deployments import wakeup
from deployments.reconciler import circuit_breaker

TURNS_S = 60.0  # a thread takes waiting clusters for so long; then a new task does


@dataclass(frozen=True, slots=True)
class Turn:
    """A cluster that wants a pass."""

    cluster_id: UUID
    organization_id: UUID
    doubtful: bool
    since: float = field(default_factory=time.monotonic, compare=False)


class ThreadShares:
    """Counts the passes that run, and keeps the clusters that wait, by organization."""

    def __init__(self, threads: int) -> None:
        self._most_of_one = max(threads // 4, 1)
        self._most_doubtful = max(threads // 2, 1)
        self._running: dict[UUID, int] = {}
        self._doubtful = 0
        self._waiting: dict[UUID, dict[UUID, Turn]] = {}  # in the order of their turns
        self._lock = Lock()

    def run(self, turn: Turn, work: Callable[[UUID], None]) -> None:
        """Do the work for the cluster, unless its share is taken, and for those that wait."""
        until = time.monotonic() + TURNS_S
        next_turn = self._enter(turn)
        while next_turn is not None and time.monotonic() < until:
            try:
                work(next_turn.cluster_id)
            except BaseException:
                self._hand_on(self._leave(next_turn))
                raise
            next_turn = self._leave(next_turn)
        self._hand_on(next_turn)

    def _hand_on(self, turn: Turn | None) -> None:
        """Let a task of its own do the work: this thread does no more."""
        if turn is not None:
            with self._lock:
                self._count(turn, -1)
            wakeup.enqueue(turn.cluster_id)

    def _enter(self, turn: Turn) -> Turn | None:
        with self._lock:
            if not self._fits(turn):
                self._waiting.setdefault(turn.organization_id, {})[turn.cluster_id] = turn
                return None
            self._forget(turn)
            self._count(turn, 1)
            return turn

    def _leave(self, turn: Turn) -> Turn | None:
        """The first cluster that waits and fits now; next time it is another organization's."""
        with self._lock:
            self._count(turn, -1)
            for organization_id, turns in list(self._waiting.items()):
                for waiting in list(turns.values()):
                    if time.monotonic() - waiting.since > wakeup.STALE_S:
                        self._forget(waiting)  # a sweep has sent another message
                    elif self._fits(waiting):
                        self._forget(waiting)
                        if organization_id in self._waiting:
                            self._waiting[organization_id] = self._waiting.pop(organization_id)
                        self._count(waiting, 1)
                        return waiting
            return None

    # --- The caller of these has the lock -------------------------------------------------------

    def _fits(self, turn: Turn) -> bool:
        if self._running.get(turn.organization_id, 0) >= self._most_of_one:
            return False
        return not turn.doubtful or self._doubtful < self._most_doubtful

    def _count(self, turn: Turn, change: int) -> None:
        count = self._running.get(turn.organization_id, 0) + change
        self._running[turn.organization_id] = count
        if not count:
            del self._running[turn.organization_id]
        self._doubtful += change * turn.doubtful

    def _forget(self, turn: Turn) -> None:
        turns = self._waiting.get(turn.organization_id, {})
        turns.pop(turn.cluster_id, None)
        if not turns:
            self._waiting.pop(turn.organization_id, None)


@lru_cache(maxsize=1)
def _shares(threads: int) -> ThreadShares:
    return ThreadShares(threads)


def run(cluster_id: UUID, work: Callable[[UUID], None]) -> None:
    """Do the work for the cluster as soon as its organization's share allows it, here or in another
    thread. Two queries at most, and one for each cluster that is new to this process."""
    organization_id = _organization_of(cluster_id)
    if organization_id is None:
        work(cluster_id)  # it is deleted: nothing is called
        return
    turn = Turn(cluster_id, organization_id, _is_doubtful(cluster_id))
    _shares(settings.RUNTIMES_THREADS).run(turn, work)


@lru_cache(maxsize=10_000)
def _known_organization(cluster_id: UUID) -> UUID:
    return Cluster.objects.values_list("organization_id", flat=True).get(pk=cluster_id)


def _organization_of(cluster_id: UUID) -> UUID | None:
    try:
        return _known_organization(cluster_id)
    except Cluster.DoesNotExist:
        return None


def _is_doubtful(cluster_id: UUID) -> bool:
    """Whether a pass over it may take long: an endpoint is new, has failed, or was slow."""
    endpoints = dict(Endpoint.objects.filter(cluster=cluster_id).values_list("pk", "seen_at"))
    return None in endpoints.values() or circuit_breaker.are_doubtful(endpoints)
