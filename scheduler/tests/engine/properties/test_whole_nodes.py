"""Properties of plans with workloads that take whole nodes, or all GPUs of nodes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import GPUS, NODE, Running, Workload
from scheduler.tests.engine.optimum import moments
from scheduler.tests.engine.plans import (
    FreeAmounts,
    carried_out,
    evicted_ids,
    free_after,
    plan,
    release,
    replayed_plan,
    started,
)
from scheduler.tests.engine.strategies import snapshots, with_quotas, with_shares, with_whole_nodes

ANY = with_whole_nodes(snapshots() | with_quotas() | with_shares())


@given(ANY)
@settings(max_examples=examples(400), deadline=None)
def test_every_plan_keeps_the_invariants_and_replays(snapshot: Snapshot) -> None:
    made = replayed_plan(snapshot)
    whole = {each.id for each in snapshot.queued if each.whole}
    assert {each.workload_id for each in made.starts if each.given} == whole & {*started(made)}
    assert not [each for each in made.waits if "#" in each.scheduling_key]


@given(ANY)
@settings(max_examples=examples(200), deadline=None)
def test_what_one_cycle_refuses_another_at_the_same_moment_does_not_start(
    snapshot: Snapshot,
) -> None:
    snapshot = replace(snapshot, state="ACTIVE")
    made = plan(snapshot)
    another = plan(carried_out(snapshot, made))
    if not made.unfinished and not evicted_ids(another) & {*started(made)}:
        assert started(another) == []


@given(with_whole_nodes(snapshots()))
@settings(max_examples=examples(200), deadline=None)
def test_one_that_waits_could_not_have_started(snapshot: Snapshot) -> None:
    snapshot = replace(snapshot, max_starts=1000, state="ACTIVE")
    made = plan(snapshot)
    own = {wait.workload_id: wait.reason.code for wait in made.waits if wait.workload_id}
    by_key = {wait.scheduling_key: wait.reason.code for wait in made.waits if not wait.workload_id}
    free = free_after(snapshot, made)
    for workload in snapshot.queued:
        if workload.whole and workload.id not in started(made) and fits(snapshot, workload, free):
            code = own.get(workload.id) or by_key[workload.scheduling_key]
            assert code in ("BLOCKED_BY_HEAD", "RESERVED_FOR_HEAD")


@given(with_whole_nodes(snapshots(max_running=6, max_queued=1)), st.sampled_from([NODE, GPUS]))
@settings(max_examples=examples(400), deadline=None)
def test_the_victims_are_the_cheapest_of_all_nodes(snapshot: Snapshot, takes: str) -> None:
    """Compared with all sets of victims."""
    if not snapshot.queued:
        return
    policy = replace(snapshot.policy, low_share_percent=0, preemption_delay_s=0)
    policy = replace(policy, preemption="lower_priority", reserve_after_s=10**6)
    workload = replace(snapshot.queued[0], priority="HIGH", whole=takes)
    snapshot = replace(snapshot, state="ACTIVE", max_starts=1, policy=policy, queued=(workload,))
    made = plan(snapshot)
    moment, victims, proved = next(moments(snapshot, made))
    sets = chain.from_iterable(
        combinations(moment.victims, number) for number in range(len(moment.victims) + 1)
    )
    enough = [gone for gone in sets if fits(snapshot, workload, without(moment.free, gone))]
    if not enough:
        assert not made.starts
    elif not enough[0]:
        assert made.starts
        assert not victims
    elif proved:
        assert moment.vector(victims) == min(map(moment.vector, enough))
    else:
        assert made.starts


def without(free: FreeAmounts, gone: Sequence[Running]) -> FreeAmounts:
    free = dict(free)
    for victim in gone:
        release(free, victim)
    return free


def fits(snapshot: Snapshot, workload: Workload, free: FreeAmounts) -> bool:
    """Whether enough nodes of one size are empty, or have all GPUs and enough of the rest free."""
    return any(count >= workload.replicas for count in _empty(snapshot, workload, free))


def _empty(snapshot: Snapshot, workload: Workload, free: FreeAmounts) -> Iterator[int]:
    """For each size, the number of nodes."""
    sizes: Counter[Resources] = Counter()
    for node in snapshot.nodes:
        has, asks, left = node.capacity, workload.request, free.get(node.id)
        if node.state != "READY" or not set(workload.selector) <= set(node.labels):
            continue
        if left is None or not asks.fits_in(has):
            continue
        if workload.whole == GPUS and has.gpu == left.gpu > 0 and asks.fits_in(left):
            sizes[asks._replace(gpu=has.gpu)] += 1
        elif workload.whole == NODE and left == has:
            sizes[has] += 1
    return iter(sizes.values())
