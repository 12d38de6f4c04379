"""Walking the line beside going through everybody."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.waiting_queue import WaitingQueue
from scheduler.simulator.kept_queue import KeptQueue
from scheduler.tests.engine.build import job, pool
from scheduler.tests.engine.test_properties import snapshots
from scheduler.tests.engine.test_quotas import limited


@given(snapshots(max_queued=25) | limited(max_queued=25))
@settings(max_examples=400, deadline=None)
def test_leaving_equals_out_changes_nothing(snapshot: Snapshot) -> None:
    """As if everybody had a key of their own, so that nobody speaks for another."""
    plan = make_plan(snapshot)
    own_keys = (
        replace(each, scheduling_key=f"{each.scheduling_key}/{each.id}") for each in snapshot.queued
    )
    asked = make_plan(replace(snapshot, queued=tuple(own_keys)))
    assert (asked.starts, asked.evictions) == (plan.starts, plan.evictions)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.booleans(), st.integers(0, 5))))
def test_a_lasting_line_is_as_one_made_anew(steps: list[tuple[int, int, bool, int]]) -> None:
    """Some enter, some leave: order, heads and who has waited for long are those of a new line."""
    snapshot = pool(gpu=8)
    lasting, waiting = KeptQueue(snapshot), []
    for gpu, age, high, leaves in steps:
        workload = job(gpu=gpu, high=high, waited_s=age)
        lasting.enter(workload)
        waiting.append(workload)
        if leaves < len(waiting):
            lasting.leave(waiting.pop(leaves))
        anew = WaitingQueue(snapshot, waiting)
        since_ms = snapshot.now_ms - 4000
        assert list(lasting) == list(anew)
        assert len(lasting) == len(waiting)
        assert lasting.heads() == anew.heads()
        assert list(lasting.starved(since_ms)) == list(anew.starved(since_ms))
