"""The share that preemption leaves to LOW against a model that tries every set of victims."""

from dataclasses import replace
from itertools import chain, combinations

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.resources import add_up
from scheduler.engine.snapshot import Running
from scheduler.tests.engine.build import job, node, pool, rack, run
from scheduler.tests.engine.plans import evicted_ids, plan
from scheduler.tests.engine.strategies import snapshots, with_quotas

patiently = settings(suppress_health_check=[HealthCheck.too_slow])
percents = st.sampled_from([10, 25, 50, 75, 100])


def with_share(snapshot: Snapshot, percent: int) -> Snapshot:
    return replace(snapshot, policy=replace(snapshot.policy, low_share_percent=percent))


@patiently
@given(base=snapshots() | with_quotas(), percent=percents)
def test_no_plan_takes_low_below_its_share(base: Snapshot, percent: int) -> None:
    """The checker, which `plan` asks, knows the share, and shares no code with the planner."""
    plan(with_share(base, percent))


@patiently
@given(base=snapshots() | with_quotas(), percent=percents)
def test_where_nothing_may_be_taken_that_would_break_it_the_plan_is_that_without(
    base: Snapshot, percent: int
) -> None:
    """A class that may preempt is not guaranteed anything."""
    classes = tuple(replace(each, may_preempt=each.preemptible) for each in base.classes)
    base = replace(base, classes=classes)
    without = replace(base, policy=replace(base.policy, class_cost_ratio=1))
    assert make_plan(with_share(without, percent)) == make_plan(without)


@st.composite
def full_of_gpus(draw: st.DrawFn) -> Snapshot:
    """A full pool or rack, and one HIGH replica that asks for some of its GPUs."""
    names = draw(st.sampled_from([[], ["a", "b"]]))
    bins: list[str | None] = [*names] or [None]
    running = [
        run(
            gpu=draw(st.integers(1, 4)),
            high=draw(st.sampled_from([False, False, False, True])),
            ran_s=draw(st.sampled_from([1, 100, 1000, 5000])),
            on=draw(st.sampled_from(bins)),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]
    queued = [job(gpu=draw(st.integers(1, 8)), high=True)]
    percent = draw(percents)
    if not names:
        gpu = sum(each.total.gpu for each in running)
        return pool(gpu, running=running, queued=queued, low_share_percent=percent)
    sizes = {
        name: sum(each.total.gpu for each in running if each.placement[0].node_id == name)
        for name in names
    }
    nodes = [node(name, gpu=sizes[name]) for name in names]
    return rack(nodes, running=running, queued=queued, low_share_percent=percent)


def possible_victims(snapshot: Snapshot) -> list[set[str]]:
    """The model: every set of LOW on one node that frees enough and leaves the share."""
    lows = [each for each in snapshot.running if each.priority == "LOW"]
    kept = -(-snapshot.total.gpu * snapshot.policy.low_share_percent // 100)
    allocated, [high] = add_up(each.total for each in lows).gpu, snapshot.queued

    def is_enough(victims: tuple[Running, ...]) -> bool:
        taken = sum(each.total.gpu for each in victims)
        one_node = len({each.placement[0].node_id for each in victims}) == 1
        return one_node and taken >= high.total.gpu and allocated - taken >= kept

    sets = chain.from_iterable(combinations(lows, n) for n in range(1, len(lows) + 1))
    return [{each.id for each in victims} for victims in sets if is_enough(victims)]


@given(base=full_of_gpus())
def test_one_replica_finds_victims_exactly_where_some_keep_the_share_and_the_cheapest(
    base: Snapshot,
) -> None:
    made, possible = plan(base), possible_victims(base)
    cost = {
        each.id: each.total.gpu * ((base.now_ms - (each.started_ms or 0)) // 1000 + 60)
        for each in base.running
    }
    event(f"possible {bool(possible)}")
    if not possible:
        assert evicted_ids(made) == set()
        return
    least = min(sum(cost[id_] for id_ in victims) for victims in possible)
    assert evicted_ids(made) in possible
    found = sum(cost[id_] for id_ in evicted_ids(made))
    assert abs(found - least) * 10_000 <= least  # shares are counted in millionths
