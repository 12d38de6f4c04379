"""The bounds by which a snapshot may leave workloads out: never too narrow."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.resources import Resources
from scheduler.engine.upper_bounds import MOST_BOUNDS, bounds_of, evictable_below, free_by_bin
from scheduler.tests.engine.build import job, node, rack, run, size
from scheduler.tests.engine.test_properties import snapshots

amounts = st.builds(Resources, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(amounts, max_size=30))
def test_each_amount_fits_in_one_of_a_few_boxes(given_: list[Resources]) -> None:
    found = bounds_of(given_)
    assert len(found) <= MOST_BOUNDS
    assert all(any(amount.fits_in(box) for box in found) for amount in given_)


@given(snapshots())
def test_whoever_starts_fits_in_what_could_come_free(snapshot: Snapshot) -> None:
    """A single one in one room, a gang in all of them, with all gone whom anybody might evict."""
    snapshot = replace(snapshot, state="ACTIVE")
    victims = {running.id for running in evictable_below(ClusterView(snapshot), below=2**31)}
    there = free_by_bin(ClusterView(snapshot), victims)
    started = {start.workload_id for start in make_plan(snapshot).starts}
    for workload in snapshot.queued:
        if workload.id in started:
            assert sum(workload.request.count_in(room) for room in there) >= workload.replicas
            assert workload.replicas > 1 or any(
                workload.total.fits_in(box) for box in bounds_of(there)
            )


def test_closed_nodes_offer_nothing_and_the_drained_leave() -> None:
    """A gang that drains on one node leaves the other one too."""
    gang = run(gpu=2, replicas=2, on={"a": 1, "b": 1})
    nodes = [node("a"), node("b", state="DRAINING"), node("c", state="CORDONED")]
    snapshot = rack(nodes, running=[gang])
    assert free_by_bin(ClusterView(snapshot)) == [size(8, 64, 512)]


def test_what_a_plan_starts_is_taken_off() -> None:
    snapshot = rack([node("a", gpu=4)], queued=[job(gpu=3, cpu=1, ram=1)])
    assert free_by_bin(ClusterView(snapshot), (), make_plan(snapshot).starts) == [size(1, 63, 511)]


def test_only_who_may_be_evicted_could_yield() -> None:
    young, old = run(gpu=1, ran_s=10, id="young"), run(gpu=1, ran_s=900, id="old")
    equal = run(gpu=1, high=True, id="equal")
    snapshot = rack([node("a")], running=[young, old, equal], preempt_exempt_s=60)
    assert [running.id for running in evictable_below(ClusterView(snapshot), below=1000)] == ["old"]
