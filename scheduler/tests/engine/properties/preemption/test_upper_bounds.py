"""The upper bounds by which a snapshot may leave workloads out are never too low."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.resources import Resources
from scheduler.engine.upper_bounds import MOST_BOUNDS, bounds_of, evictable_below, free_by_bin
from scheduler.tests.engine.build import job, node, rack, run, size
from scheduler.tests.engine.plans import fitting
from scheduler.tests.engine.strategies import snapshots

amounts = st.builds(Resources, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(amounts, max_size=30))
def test_each_amount_fits_in_one_of_its_few_bounds(given_: list[Resources]) -> None:
    found = bounds_of(given_)
    assert len(found) <= MOST_BOUNDS
    assert all(any(amount.fits_in(bound) for bound in found) for amount in given_)


@given(snapshots())
def test_a_workload_that_starts_fits_in_what_could_come_free(snapshot: Snapshot) -> None:
    """A single replica fits in one bin, a gang in all bins, after all evictable workloads have
    left."""
    snapshot = replace(snapshot, state="ACTIVE")
    victims = {running.id for running in evictable_below(ClusterView(snapshot), below=2**31)}
    free = free_by_bin(ClusterView(snapshot), victims)
    started = {start.workload_id for start in make_plan(snapshot).starts}
    for workload in snapshot.queued:
        if workload.id in started:
            assert fitting(free, workload) >= workload.replicas
            assert workload.replicas > 1 or any(
                workload.total.fits_in(bound) for bound in bounds_of(free)
            )


def test_closed_nodes_have_nothing_free_and_drained_workloads_leave() -> None:
    """A gang drained from one node leaves its other node too."""
    gang = run(gpu=2, replicas=2, on={"a": 1, "b": 1})
    nodes = [node("a"), node("b", state="DRAINING"), node("c", state="CORDONED")]
    snapshot = rack(nodes, running=[gang])
    assert free_by_bin(ClusterView(snapshot)) == [size(8, 64, 512)]


def test_the_starts_of_a_plan_are_subtracted() -> None:
    snapshot = rack([node("a", gpu=4)], queued=[job(gpu=3, cpu=1, ram=1)])
    assert free_by_bin(ClusterView(snapshot), (), make_plan(snapshot).starts) == [size(1, 63, 511)]


def test_only_workloads_that_may_be_evicted_count() -> None:
    """A young one counts: one that has waited for its exempt time may evict it."""
    young, old = run(gpu=1, ran_s=10, id="young"), run(gpu=1, preemptions=5, id="evicted often")
    equal = run(gpu=1, high=True, id="equal")
    snapshot = rack([node("a")], running=[young, old, equal], preempt_exempt_s=60)
    assert [each.id for each in evictable_below(ClusterView(snapshot), below=1000)] == ["young"]
