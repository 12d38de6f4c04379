"""The waiting queue, compared with queues that skip no equals and are not kept."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.simulator.kept_queue import KeptQueue
from scheduler.tests.engine.build import job, pool
from scheduler.tests.engine.strategies import snapshots, with_quotas


@given(snapshots(max_queued=25) | with_quotas(max_queued=25))
@settings(max_examples=examples(400), deadline=None)
def test_skipping_equals_of_a_refused_workload_changes_nothing(snapshot: Snapshot) -> None:
    """Compared with a queue in which every workload has a scheduling key of its own."""
    plan = make_plan(snapshot)
    own_keys = (
        replace(each, scheduling_key=f"{each.scheduling_key}/{each.id}") for each in snapshot.queued
    )
    separate = make_plan(replace(snapshot, queued=tuple(own_keys)))
    assert (separate.starts, separate.evictions) == (plan.starts, plan.evictions)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.booleans(), st.integers(0, 5))))
def test_a_kept_queue_equals_a_new_one(steps: list[tuple[int, int, bool, int]]) -> None:
    """While workloads enter and leave, its order, heads and starved ones are those of a new
    queue."""
    snapshot = pool(gpu=8)
    kept, waiting = KeptQueue(snapshot), []
    for gpu, age, high, leaves in steps:
        workload = job(gpu=gpu, high=high, waited_s=age)
        kept.enter(workload)
        waiting.append(workload)
        if leaves < len(waiting):
            kept.leave(waiting.pop(leaves))
        anew = WaitingQueue(snapshot, waiting)
        since_ms = snapshot.now_ms - 4000
        assert list(kept) == list(anew)
        assert len(kept) == len(waiting)
        assert kept.heads() == anew.heads()
        assert list(kept.starved(since_ms)) == list(anew.starved(since_ms))
