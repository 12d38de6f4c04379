"""Walking the line beside going through everybody."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.board import Board
from scheduler.engine.line import Line
from scheduler.engine.order import order_key
from scheduler.engine.snapshot import STRICT
from scheduler.simulator.waiting import LastingLine
from scheduler.tests.engine.build import job, pool
from scheduler.tests.engine.test_properties import snapshots


@given(snapshots(max_queued=25))
def test_leaving_equals_out_changes_nothing(snapshot: Snapshot) -> None:
    """Everybody is asked who has no refused equal before; and the holder in any case."""
    snapshot = replace(snapshot, state="ACTIVE")
    plan = make_plan(snapshot)
    impossible = {
        wait.scheduling_key for wait in plan.waits if wait.reason.code == "EXCEEDS_CAPACITY"
    }
    possible = [each for each in snapshot.queued if each.scheduling_key not in impossible]
    board, refused = Board(snapshot, Line(snapshot, possible)), set()
    for workload in sorted(possible, key=order_key(snapshot)):
        full = len(board.starts) >= snapshot.max_starts
        if full or (snapshot.policy.queueing == STRICT and board.keepers.head is not None):
            break
        if workload.scheduling_key in refused and not board.keepers.holds(workload):
            continue
        if not board.admit(workload):
            refused.add(workload.scheduling_key)
    assert (tuple(board.starts), tuple(board.evictions)) == (plan.starts, plan.evictions)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.booleans(), st.integers(0, 5))))
def test_a_lasting_line_is_as_one_made_anew(steps: list[tuple[int, int, bool, int]]) -> None:
    """Some enter, some leave: order, heads and who has waited for long are those of a new line."""
    snapshot = pool(gpu=8)
    lasting, waiting = LastingLine(snapshot), []
    for gpu, age, high, leaves in steps:
        workload = job(gpu=gpu, high=high, waited_s=age)
        lasting.enter(workload)
        waiting.append(workload)
        if leaves < len(waiting):
            lasting.leave(waiting.pop(leaves))
        anew = Line(snapshot, waiting)
        since_ms = snapshot.now_ms - 4000
        assert list(lasting) == list(anew)
        assert len(lasting) == len(waiting)
        assert lasting.heads() == anew.heads()
        assert list(lasting.starved(since_ms)) == list(anew.starved(since_ms))
