"""What would let a workload start: each answer equals the plan of the changed snapshot."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.resources import NAMES, Resources
from scheduler.engine.snapshot import Workload
from scheduler.engine.whatif import WhatIf, occupants, plan_with, without
from scheduler.tests.engine.build import NOW, job, node, pool, rack, run
from scheduler.tests.engine.strategies import snapshots, with_quotas

any_snapshot = snapshots(max_queued=14) | with_quotas()


def with_another(snapshot: Snapshot, which: int) -> tuple[Snapshot, Workload]:
    """The snapshot with one of its waiting workloads, or a new one."""
    queued = [*snapshot.queued, replace(job(gpu=1, high=True), owner="ann")]
    return snapshot, queued[which % len(queued)]


def starts(snapshot: Snapshot, workload: Workload, old: Workload) -> bool:
    """Whether the planner itself starts the changed workload, under a key that no other shares."""
    others = tuple(each for each in snapshot.queued if each.id != old.id)
    changed = replace(workload, scheduling_key=f"{workload.scheduling_key}/other")
    return plan_with(replace(snapshot, queued=others), changed).start is not None


@given(any_snapshot, st.integers(0, 100))
@settings(max_examples=examples(300), deadline=None)
def test_the_unchanged_workload_starts_exactly_if_the_planner_starts_it(
    snapshot: Snapshot, which: int
) -> None:
    snapshot, workload = with_another(snapshot, which)
    started = plan_with(snapshot, workload).start is not None
    assert WhatIf(snapshot, workload).starts() == started


@given(any_snapshot, st.integers(0, 100))
@settings(max_examples=examples(150), deadline=None)
def test_the_workload_starts_with_the_largest_amounts_named(snapshot: Snapshot, which: int) -> None:
    """With one GPU more it would not start."""
    snapshot, workload = with_another(snapshot, which)
    for name, amount in WhatIf(snapshot, workload).largest_amounts().items():
        dim = NAMES.index(name)
        assert amount < workload.request[dim]

        def less(amount: int, dim: int = dim) -> Workload:
            amounts = [amount if at == dim else each for at, each in enumerate(workload.request)]
            return replace(workload, request=Resources(*amounts))

        assert starts(snapshot, less(amount), workload)
        if name == "gpu" and amount + 1 < workload.request.gpu:
            assert not starts(snapshot, less(amount + 1), workload)


@given(any_snapshot, st.integers(0, 100))
@settings(max_examples=examples(150), deadline=None)
def test_the_priority_named_is_the_lowest_that_starts(snapshot: Snapshot, which: int) -> None:
    snapshot, workload = with_another(snapshot, which)
    values = {each.name: each.value for each in snapshot.classes}
    found = WhatIf(snapshot, workload).priority_that_starts()
    for name in sorted(values, key=lambda name: values[name]):
        if values[name] > values[workload.priority]:
            does = starts(snapshot, replace(workload, priority=name), workload)
            if found is not None and found[0].name == name:
                assert does
                assert all(each.by == workload.id for each in found[1].evictions)
                return
            assert not does
    assert found is None


@given(any_snapshot, st.integers(0, 100))
@settings(max_examples=examples(150), deadline=None)
def test_the_workload_starts_after_the_ends_named(snapshot: Snapshot, which: int) -> None:
    snapshot, workload = with_another(snapshot, which)
    what_if = WhatIf(snapshot, workload)
    some = occupants(snapshot, workload)[:4]
    enough = {each.ids[0] for each in what_if.after_any_of(some)}
    for running in some:
        ended = replace(without(snapshot, [running]), now_ms=snapshot.now_ms)
        assert (running.id in enough) == (plan_with(ended, workload).start is not None)
    after = what_if.after_limits()
    if after is not None:
        ending = [each for each in snapshot.running if each.ends_ms is not None]
        ending.sort(key=lambda each: (each.ends_ms, each.id))
        last = next(at for at, each in enumerate(ending) if each.id == after.ids[0])
        ended = without(snapshot, ending[: last + 1])
        assert plan_with(ended, workload).start is not None
        assert after.at_ms == max(ending[last].ends_ms or 0, snapshot.now_ms)


@given(any_snapshot, st.integers(0, 100))
@settings(max_examples=examples(150), deadline=None)
def test_a_queue_with_one_workload_more_equals_the_queue_of_all(
    snapshot: Snapshot, which: int
) -> None:
    queued = snapshot.queued
    one = queued[which % len(queued)] if queued else job()
    queue = WaitingQueue(snapshot, (each for each in queued if each is not one))
    more, whole = queue.with_one(one), WaitingQueue(snapshot, {*queued, one})
    assert (list(more), more.heads()) == (list(whole), whole.heads())
    assert list(more.starved(NOW)) == list(whole.starved(NOW))
    assert one not in list(queue)
    assert one not in list(queue.starved(NOW))


def test_an_impossible_request_starts_after_no_end() -> None:
    snapshot = pool(gpu=2, running=[run(gpu=2, ends_ms=NOW + 1000)])
    what_if = WhatIf(snapshot, job(gpu=3))
    assert not what_if.starts()
    assert what_if.after_limits() is None
    assert what_if.largest_amounts() == {"gpu": 0}


def test_the_occupants_have_what_is_short_or_all_that_is_requested_if_it_is_fragmented() -> None:
    gpus, cpus = run(gpu=6), run(cpu=60)
    short = pool(gpu=8, cpu=64, running=[gpus, cpus])
    assert occupants(short, job(gpu=4)) == [gpus]
    assert occupants(short, job(cpu=4)) == [cpus, gpus]
    here, there = run(gpu=6, on="a"), run(gpu=5, on="b")
    split = rack([node("a"), node("b")], running=[here, there])
    assert occupants(split, job(gpu=4)) == [here, there]
