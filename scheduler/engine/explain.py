"""Why a workload waits, in the numbers of the end of a cycle."""

from scheduler.engine import reasons
from scheduler.engine.board import Board
from scheduler.engine.capacity import Capacity
from scheduler.engine.reasons import Reason
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import STRICT, Snapshot, Workload
from scheduler.engine.victims import add_up


def impossible(capacity: Capacity, workload: Workload) -> Reason | None:
    """Why not even the empty cluster could run it; None if it could."""
    request, replicas = workload.request, workload.replicas
    if capacity.possible(request, replicas, workload.selector):
        return None
    bins = list(capacity.ever_eligible(workload.selector))
    if not bins:
        return reasons.no_node(dict(workload.selector))
    total = add_up(capacity.totals[at] for at in bins)
    if not workload.total.fits_in(total):
        return reasons.exceeds_capacity(workload.total, total)
    largest = max((capacity.totals[at] for at in bins), key=lambda r: _rank(request, r))
    if not request.fits_in(largest):
        return reasons.exceeds_capacity(request, largest, on_a_node=True)
    room = sum(request.count_in(capacity.totals[at]) for at in bins)
    return reasons.too_many_replicas(replicas, room)


class Explainer:
    """Answers for many workloads of one board; equal ones are answered once."""

    def __init__(self, snapshot: Snapshot, board: Board) -> None:
        self._board = board
        self._strict = snapshot.policy.queueing == STRICT
        self._told: dict[tuple[str, bool], Reason] = {}

    def why(self, workload: Workload) -> Reason:
        board = self._board
        if self._strict and board.head is not None and workload is not board.head:
            return reasons.blocked_by(board.head.id)
        key = (workload.scheduling_key, board.holds(workload))
        if key not in self._told:
            self._told[key] = self._look(workload)
        return self._told[key]

    def _look(self, workload: Workload) -> Reason:
        board = self._board
        if board.fits(workload) is None:
            return self._short(workload)
        if (keeper := board.keeper(workload)) is not None:
            return reasons.reserved_for(keeper.id)
        return reasons.NOT_YET_EVALUATED  # the cycle reached its limit before its turn

    def _short(self, workload: Workload) -> Reason:
        """What is missing in all, or that no node has enough of what is there in all."""
        capacity = self._board.capacity
        rooms = [capacity.free[at] for at in capacity.eligible(workload.selector)]
        free = add_up(rooms)
        closed = len(list(capacity.ever_eligible(workload.selector))) - len(rooms)
        if not workload.total.fits_in(free):
            return reasons.insufficient(workload.total, free, closed)
        best = max(rooms, key=lambda room: _rank(workload.request, room))
        room_for = sum(workload.request.count_in(room) for room in rooms)
        return reasons.fragmented(workload.request, workload.replicas, free, best, room_for)


def _rank(request: Resources, room: Resources) -> tuple[int, ...]:
    """How near a room comes to one request: the worst resource first, in millionths."""
    shares = sorted(
        min(1_000_000 * have // want, 1_000_000) if want else 1_000_000
        for want, have in zip(request, room, strict=True)
    )
    return (*shares, *room)
