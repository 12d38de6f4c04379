"""Preemption within a quota on random clusters: the cheapest victims, compared with all sets."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from random import Random

from hypothesis import given, settings

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import Running, Workload
from scheduler.tests.engine.build import allocated_by, of, owned
from scheduler.tests.engine.crowds import cluster
from scheduler.tests.engine.optimum import Moment, Vector, moments, times_dearer
from scheduler.tests.engine.strategies import with_quotas

OWNERS = ("ann", "ben")
MOST_VICTIMS = 9


def of_two_owners(seed: int) -> Snapshot:
    """A crowded cluster of two owners, the first preemptor's quota of which is nearly full."""
    random, base = Random(seed), cluster(seed)
    running = tuple(allocated_by(random.choice(OWNERS), each) for each in base.running)
    queued = tuple(of(random.choice(OWNERS), each) for each in base.queued)[:1]
    base = owned(replace(base, running=running, queued=queued))
    [waiting] = queued
    had = dict(base.allocated_by_owner).get(waiting.owner, Resources())
    spare = [random.choice([0, 0, amount // 2, amount, ENDLESS]) for amount in waiting.total]
    limit = Resources(*(max(h + s, t) for h, s, t in zip(had, spare, waiting.total, strict=True)))
    policy = replace(base.policy, preemption_within_quota="lower_priority")
    return owned(replace(base, policy=policy), **{waiting.owner: limit})


def best_of(snapshot: Snapshot, moment: Moment) -> Vector | None:
    """The least vector among all sets of victims that make room on the nodes and in the quota."""
    every = (
        chosen
        for number in range(1, len(moment.victims) + 1)
        for chosen in combinations(moment.victims, number)
    )
    enough = (each for each in every if is_enough(snapshot, moment, each))
    return min(map(moment.vector, enough), default=None)


def is_enough(snapshot: Snapshot, moment: Moment, gone: Sequence[Running]) -> bool:
    usage = OwnerUsage(snapshot)
    for each in (*drained(snapshot), *gone):
        usage.shrink(each)
    if usage.over(moment.workload):
        return False
    return moment.fitting_without(gone) >= moment.workload.replicas


def drained(snapshot: Snapshot) -> Iterator[Running]:
    leaving = {each.id for each in snapshot.nodes if each.state == "DRAINING"}
    for each in snapshot.running:
        if any(place.node_id in leaving for place in each.placement):
            yield each


def test_the_victims_are_the_cheapest_that_make_room_in_both(record_property) -> None:
    proved = waits = 0
    ratios: list[float] = []  # of what is not proved
    for seed in range(700):
        snapshot = of_two_owners(seed)
        plan = make_plan(snapshot)
        assert check(snapshot, plan) == []
        for moment, victims, is_proved in moments(snapshot, plan):
            if len(moment.victims) > MOST_VICTIMS:
                continue
            best = best_of(snapshot, moment)
            if is_proved is None:
                assert best is None, f"{seed}: {moment.workload} waits in vain"
                waits += 1
            elif victims:
                assert best is not None
                found = moment.vector(victims)
                if is_proved:
                    assert found == best, seed
                    proved += 1
                else:  # a gang that needs both
                    ratios.append(times_dearer(found, best))
    record_property("victims", f"{proved} proved, {len(ratios)} not: {ratios}")
    assert proved > 60
    assert waits > 60
    assert sum(ratios) / len(ratios) <= 1.1


@given(with_quotas())
@settings(max_examples=examples(120), deadline=None)
def test_only_its_owners_workloads_leave_where_the_nodes_have_room(snapshot: Snapshot) -> None:
    """Were there no quotas, the first preemptor would evict nothing: so all victims are its
    owner's."""
    snapshot = replace(snapshot, state="ACTIVE")
    plan, without = make_plan(snapshot), make_plan(replace(snapshot, quotas=()))
    if not plan.starts or not without.starts or not plan.starts[0].victims:
        return
    first = without.starts[0]
    if first.workload_id != plan.starts[0].workload_id or first.victims:
        return
    owners = {each.id: each.owner for each in snapshot.running}
    waiting: dict[str, Workload] = {each.id: each for each in snapshot.queued}
    owner = waiting[first.workload_id].owner
    assert {owners[victim] for victim in plan.starts[0].victims} == {owner}


@given(with_quotas())
@settings(max_examples=examples(80), deadline=None)
def test_the_policy_changes_nothing_where_no_quota_is_full(snapshot: Snapshot) -> None:
    endless = tuple((owner, Resources(ENDLESS, ENDLESS, ENDLESS)) for owner, _ in snapshot.quotas)
    snapshot = replace(snapshot, quotas=endless)
    off = replace(snapshot, policy=replace(snapshot.policy, preemption_within_quota="never"))
    assert make_plan(off) == make_plan(snapshot)
